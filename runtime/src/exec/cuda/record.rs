//! The step record on the device: what kernels read instead of taking as parameters, so that recorded work fits every step.
use super::{
    CudaError, Gpu,
    driver::{DeviceMemory, Pinned, Stream},
};
use crate::plan::{BoundStage, Size, Step};

/// The sizes that integer scalars of a plan can be, as `i32`s in host and device memory.
pub struct Record {
    sizes: Vec<Size>,
    host: Pinned,
    device: DeviceMemory,
}

impl Record {
    /// Room for all integer scalars of the stages.
    pub fn new<'s>(gpu: &Gpu, stages: impl Iterator<Item = &'s BoundStage>) -> Result<Record, CudaError> {
        let mut sizes: Vec<Size> = Vec::new();
        for size in stages.flat_map(|stage| &stage.ints[stage.kernel.dims..]) {
            if !sizes.contains(size) {
                sizes.push(*size);
            }
        }
        let bytes = 4 * sizes.len();
        Ok(Record { sizes, host: Pinned::new(gpu, bytes)?, device: DeviceMemory::new(gpu, bytes, "the step record")? })
    }

    /// Sets it for a step. The stream must have come to the end of the last one.
    pub fn set(&mut self, step: &Step) {
        for (size, to) in self.sizes.iter().zip(self.host.bytes_mut().as_chunks_mut().0) {
            *to = i32::try_from(step.get(*size)).unwrap_or(-1).to_le_bytes();
        }
    }

    /// Puts the copy to the device on the stream.
    pub fn upload(&self, stream: &Stream) -> Result<(), CudaError> {
        // SAFETY: both lie in this record, which lives as long as the executor whose stream it is.
        unsafe { stream.upload(self.device.address(), self.host.bytes()) }
    }

    /// Where a size is on the device.
    pub fn address(&self, size: Size) -> Option<u64> {
        self.sizes.iter().position(|s| *s == size).map(|place| self.device.address() + 4 * place as u64)
    }
}
