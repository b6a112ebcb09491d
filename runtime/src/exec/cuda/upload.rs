//! Weights to the GPU: through two buffers in turn, so that one is filled while the other is copied.
use super::{
    CudaError, Gpu,
    driver::{Event, Pinned, Stream},
};
use crate::exec::{ExecError, cpu::Pool, weights::Packing};
use std::{num::NonZero, thread};

/// Bytes of a buffer: enough that starting a copy costs nothing.
const CHUNK: usize = 32 << 20;
/// Bytes that another thread is worth being told of.
const PART: usize = 1 << 20;
/// Threads that fill a buffer; one alone is slower than the bus.
const MOST_THREADS: usize = 4;

/// Copies in progress.
pub struct Upload<'s> {
    stream: &'s Stream,
    buffers: [(Pinned, Event); 2],
    next: usize,
    pool: Pool,
}

impl<'s> Upload<'s> {
    /// For buffers of at most `largest` bytes.
    pub fn new(gpu: &Gpu, stream: &'s Stream, largest: usize) -> Result<Self, ExecError> {
        let len = CHUNK.min(largest);
        let buffers = [(Pinned::new(gpu, len)?, Event::new()?), (Pinned::new(gpu, len)?, Event::new()?)];
        let threads = thread::available_parallelism().map_or(1, NonZero::get).min(MOST_THREADS);
        let pool = Pool::new(threads).map_err(|source| ExecError::Threads { threads, source })?;
        Ok(Upload { stream, buffers, next: 0, pool })
    }

    /// Copies bytes to an address, packed where they are to be; `done` is told which are not needed any more.
    ///
    /// # Safety
    /// There is memory for them at `to` that lives until [`Self::finish`] or the stream's end.
    pub unsafe fn copy(
        &mut self,
        mut to: u64,
        bytes: &[u8],
        packing: Option<Packing>,
        done: impl Fn(&[u8]),
    ) -> Result<(), ExecError> {
        // A tile that is larger than a buffer cannot be packed in it; no format comes near.
        let tile = packing.map_or(1, |packing| packing.tile_bytes()).max(1);
        for chunk in bytes.chunks((CHUNK / tile).max(1) * tile) {
            let (pinned, copied) = &mut self.buffers[self.next];
            copied.wait()?;
            let pinned = &mut pinned.bytes_mut()[..chunk.len().next_multiple_of(tile)];
            let filled = match packing {
                Some(packing) => packing.pack(chunk, pinned, &mut self.pool),
                // One thread alone reads a mapped file slowly.
                None => self.pool.share_out(pinned, PART, |at, part| part.copy_from_slice(&chunk[at..at + part.len()])),
            };
            filled.map_err(|source| ExecError::Panicked { stage: "copying weights to the GPU".into(), source })?;
            done(chunk);
            // SAFETY: promised by the caller; the buffer is not written before `copied` is reached.
            unsafe { self.stream.upload(to, pinned)? };
            copied.record(self.stream)?;
            to += pinned.len() as u64;
            self.next = 1 - self.next;
        }
        Ok(())
    }

    /// Waits for everything.
    pub fn finish(self) -> Result<(), CudaError> {
        self.stream.wait("copying weights to the GPU")
    }
}

impl Drop for Upload<'_> {
    fn drop(&mut self) {
        // The buffers are being copied from; a GPU that is lost does not copy.
        let _ = self.stream.wait("copying weights to the GPU");
    }
}
