//! Weights to the GPU: through two buffers in turn, so that one is filled while the other is copied.
use super::{
    CudaError, Gpu,
    driver::{Event, Pinned, Stream},
};
use crate::exec::weights::Packing;
use indicatif::{ProgressBar, ProgressStyle};
use std::{num::NonZero, thread};

/// Bytes of a buffer: enough that starting a copy costs nothing.
const CHUNK: usize = 32 << 20;
/// Bytes that a thread is worth being started for.
const PART: usize = 1 << 20;
/// Threads that fill a buffer; one alone is slower than the bus.
const MOST_THREADS: usize = 4;

/// Copies in progress, with a bar on standard error where that is a terminal.
pub struct Upload<'s> {
    stream: &'s Stream,
    buffers: [(Pinned, Event); 2],
    next: usize,
    threads: usize,
    bar: ProgressBar,
}

impl<'s> Upload<'s> {
    /// For `total` bytes, in pieces of at most `largest`.
    pub fn new(gpu: &Gpu, stream: &'s Stream, total: usize, largest: usize) -> Result<Self, CudaError> {
        let len = CHUNK.min(largest);
        let buffers = [(Pinned::new(gpu, len)?, Event::new()?), (Pinned::new(gpu, len)?, Event::new()?)];
        let threads = thread::available_parallelism().map_or(1, NonZero::get).min(MOST_THREADS);
        let style = ProgressStyle::with_template("weights to the GPU {bar:40} {bytes}/{total_bytes} {bytes_per_sec}")
            .unwrap_or_else(|_| ProgressStyle::default_bar());
        let bar = ProgressBar::new(total as u64).with_style(style);
        Ok(Upload { stream, buffers, next: 0, threads, bar })
    }

    /// Copies bytes to an address, packed where they are to be; `release` is told which are not needed any more.
    ///
    /// # Safety
    /// There is memory for them at `to` that lives until [`Self::finish`] or the stream's end.
    pub unsafe fn copy(
        &mut self,
        mut to: u64,
        bytes: &[u8],
        packing: Option<Packing>,
        release: impl Fn(&[u8]),
    ) -> Result<(), CudaError> {
        // A tile that is larger than a buffer cannot be packed in it; no format comes near.
        let tile = packing.map_or(1, |packing| packing.tile_bytes()).max(1);
        for chunk in bytes.chunks((CHUNK / tile).max(1) * tile) {
            let (pinned, copied) = &mut self.buffers[self.next];
            copied.wait()?;
            let pinned = &mut pinned.bytes_mut()[..chunk.len().next_multiple_of(tile)];
            match packing {
                Some(packing) => packing.pack(chunk, pinned, self.threads),
                None => fill(pinned, chunk, self.threads),
            }
            release(chunk);
            // SAFETY: promised by the caller; the buffer is not written before `copied` is reached.
            unsafe { self.stream.upload(to, pinned)? };
            copied.record(self.stream)?;
            to += pinned.len() as u64;
            self.next = 1 - self.next;
            self.bar.inc(pinned.len() as u64);
        }
        Ok(())
    }

    /// Waits for everything.
    pub fn finish(self) -> Result<(), CudaError> {
        self.stream.wait("copying weights to the GPU")?;
        self.bar.finish_and_clear();
        Ok(())
    }
}

impl Drop for Upload<'_> {
    fn drop(&mut self) {
        // The buffers are being copied from; a GPU that is lost does not copy.
        let _ = self.stream.wait("copying weights to the GPU");
    }
}

/// Copies by several threads: reading a mapped file is slow in one.
fn fill(to: &mut [u8], from: &[u8], threads: usize) {
    let part = to.len().div_ceil(threads).max(PART);
    thread::scope(|scope| {
        for (to, from) in to.chunks_mut(part).zip(from.chunks(part)) {
            scope.spawn(|| to.copy_from_slice(from));
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filling_copies_everything() {
        for len in [0, 1, PART, PART + 1, 3 * PART + 5, 9 * PART] {
            let from: Vec<u8> = (0..len).map(|i| i as u8).collect();
            let mut to = vec![255; len];
            fill(&mut to, &from, 4);
            assert_eq!(to, from);
        }
    }
}
