//! Memory of a GPU with some buffers, each between bytes that nothing may write.
use super::{GpuError, failed};
use cudarc::driver::result;

/// Buffers begin at multiples of this, and at least as many bytes lie between them.
const ALIGNED: usize = 256;

/// What lies between buffers.
pub const BETWEEN: u8 = 0x5c;

/// Buffers in memory of the GPU.
#[derive(Debug)]
pub struct Memory {
    start: u64,
    len: usize,
    /// Offset and length of each buffer.
    places: Vec<(usize, usize)>,
}

impl Memory {
    /// Takes memory for buffers of so many bytes; they hold [`BETWEEN`] at first.
    pub fn new(lens: impl IntoIterator<Item = usize>) -> Result<Memory, GpuError> {
        let (mut places, mut end) = (Vec::new(), ALIGNED);
        for len in lens {
            places.push((end, len));
            end = (end + len).next_multiple_of(ALIGNED) + ALIGNED;
        }
        // SAFETY: written completely just below.
        let start = unsafe { result::malloc_sync(end) }.map_err(failed("taking memory"))?;
        let memory = Memory { start, len: end, places };
        memory.set(0, memory.len, BETWEEN)?;
        Ok(memory)
    }

    /// Memory with these buffers.
    pub fn holding<'b>(buffers: impl IntoIterator<Item = &'b [u8]>) -> Result<Memory, GpuError> {
        let buffers: Vec<&[u8]> = buffers.into_iter().collect();
        let memory = Memory::new(buffers.iter().map(|bytes| bytes.len()))?;
        buffers.iter().enumerate().try_for_each(|(i, bytes)| memory.write(i, bytes))?;
        Ok(memory)
    }

    /// Where a buffer is.
    pub fn address(&self, buffer: usize) -> u64 {
        self.start + self.places[buffer].0 as u64
    }

    /// Where all buffers are.
    pub fn addresses(&self) -> Vec<u64> {
        (0..self.places.len()).map(|i| self.address(i)).collect()
    }

    /// Copies bytes to a buffer of that length.
    pub fn write(&self, buffer: usize, bytes: &[u8]) -> Result<(), GpuError> {
        if bytes.len() != self.places[buffer].1 {
            return Err(GpuError(format!("{} bytes for a buffer of {}", bytes.len(), self.places[buffer].1)));
        }
        if bytes.is_empty() {
            return Ok(());
        }
        // SAFETY: there are as many bytes.
        unsafe { result::memcpy_htod_sync(self.address(buffer), bytes) }.map_err(failed("copying to the GPU"))
    }

    /// Makes all bytes of a buffer this one.
    pub fn fill(&self, buffer: usize, byte: u8) -> Result<(), GpuError> {
        let (offset, len) = self.places[buffer];
        self.set(offset, len, byte)
    }

    fn set(&self, offset: usize, len: usize, byte: u8) -> Result<(), GpuError> {
        if len == 0 {
            return Ok(());
        }
        // SAFETY: the bytes are in the memory.
        unsafe { result::memset_d8_sync(self.start + offset as u64, byte, len) }.map_err(failed("filling memory"))
    }

    /// What a buffer holds now.
    pub fn read(&self, buffer: usize) -> Result<Vec<u8>, GpuError> {
        let (offset, len) = self.places[buffer];
        self.bytes(offset, len)
    }

    fn bytes(&self, offset: usize, len: usize) -> Result<Vec<u8>, GpuError> {
        let mut bytes = vec![0; len];
        if len == 0 {
            return Ok(bytes);
        }
        // SAFETY: the bytes are in the memory.
        unsafe { result::memcpy_dtoh_sync(&mut bytes, self.start + offset as u64) }
            .map_err(failed("copying from the GPU"))?;
        Ok(bytes)
    }

    /// Whether what lies around the buffers is as it was; else where it is not.
    pub fn intact(&self) -> Result<(), GpuError> {
        let ends = std::iter::once(0).chain(self.places.iter().map(|(offset, len)| offset + len));
        let begins = self.places.iter().map(|(offset, _)| *offset).chain([self.len]);
        for (number, (end, begin)) in ends.zip(begins).enumerate() {
            if self.bytes(end, begin - end)?.iter().any(|byte| *byte != BETWEEN) {
                let what = format!("in front of buffer {number} of {}", self.places.len());
                return Err(GpuError(format!("something was written around the buffers, {what}")));
            }
        }
        Ok(())
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: taken once; the driver waits for work that uses it. Where the GPU was lost, so was this.
        let _ = unsafe { result::free_sync(self.start) };
    }
}
