//! How fast a GPU moves memory: the better of a kernel that only reads and a copy on the device.
use super::{
    CudaError, Gpu,
    compile::not_compiled,
    driver::{DeviceMemory, Module, Stream},
};
use crate::exec::ReadRate;
use kgen::gpu::read_rate::{BYTES, CTA_BYTES, ENTRY, SOURCE, THREADS};
use kgen::nvrtc::Compiler;
use std::time::Instant;

/// How often it is measured, and how much work is put on the stream each time: enough that starting it does not count.
const ROUNDS: usize = 4;
const PER_ROUND: usize = 8;

/// Measures both ways with memory of its own, which is given back.
pub fn read_rate(gpu: &Gpu, stream: &Stream) -> Result<ReadRate, CudaError> {
    let compiled = Compiler::new().compile(SOURCE, ENTRY, &gpu.arch(), &[]).map_err(not_compiled)?;
    let module = Module::load(gpu, &compiled.cubin, ENTRY)?;
    let memory = DeviceMemory::new(gpu, BYTES, "measuring the memory's rate")?;
    let sum = DeviceMemory::new(gpu, 4, "measuring the memory's rate")?;
    stream.zero(&memory)?;
    let read = || {
        let mut values = [memory.address(), (BYTES / 16) as u64, sum.address()];
        let shape = ((BYTES / CTA_BYTES) as u32, THREADS as u32, 0);
        // SAFETY: the kernel takes these three, reads the memory's bytes, and may write 4 to the other; both outlive the work.
        let started = unsafe { stream.launch(module.function, shape, &mut values) };
        started.map_err(|error| CudaError::call("reading memory", error))
    };
    let half = BYTES / 2;
    // SAFETY: both halves are in the memory, which outlives the work.
    let copy = || unsafe { stream.copy(memory.address() + half as u64, memory.address(), half) };
    let read = measure(stream, "a kernel that reads", read)?;
    Ok(read.or_faster(measure(stream, "a copy on the device, read and written", copy)?))
}

/// The best rate of something that moves [`BYTES`] bytes each time.
fn measure(
    stream: &Stream,
    way: &'static str,
    work: impl Fn() -> Result<(), CudaError>,
) -> Result<ReadRate, CudaError> {
    let mut best = ReadRate { bytes_a_second: 0.0, way };
    for _ in 0..ROUNDS {
        stream.wait("measuring the memory's rate")?;
        let start = Instant::now();
        (0..PER_ROUND).try_for_each(|_| work())?;
        stream.wait("measuring the memory's rate")?;
        let bytes_a_second = (PER_ROUND * BYTES) as f64 / start.elapsed().as_secs_f64();
        best = best.or_faster(ReadRate { bytes_a_second, way });
    }
    Ok(best)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_compiles_into_wide_loads() {
        let compiler = Compiler::with_cache(None);
        if let Err(error) = compiler.nvrtc() {
            eprintln!("skipped: {error}");
            return;
        }
        let compiled = compiler.compile(SOURCE, ENTRY, &"sm_90".parse().unwrap(), &[]).unwrap();
        assert_eq!(compiled.ptx.matches("ld.global.nc.v4.u32").count(), 8, "{}", compiled.ptx);
        assert_eq!(BYTES % CTA_BYTES, 0);
    }
}
