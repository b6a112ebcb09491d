//! How fast a GPU reads its memory: the kernel that says so, which `apr bench` uses as well.
use super::{Function, Gpu, GpuError, Memory, Module, Stream};
use crate::nvrtc::Compiler;

/// The kernel. It has integers alone and computes nothing that anybody looks at, so there is nothing to audit.
/// Its parameters: an address, how many times 16 bytes are read from it, and where it may write 4 bytes.
pub const SOURCE: &str = include_str!("read_rate.cu");
/// Its name.
pub const ENTRY: &str = "read_all";
/// Bytes that are read: several times what a GPU's caches have.
pub const BYTES: usize = 1 << 30;
/// Threads of a CTA.
pub const THREADS: usize = 256;
/// Bytes that a CTA reads: each thread eight times 16.
pub const CTA_BYTES: usize = THREADS * 128;

/// How often it is measured, and how often the kernel runs each time.
const ROUNDS: usize = 4;
const PER_ROUND: usize = 8;

/// The best rate of several rounds, in bytes a second. Takes [`BYTES`] of memory meanwhile.
pub fn read_rate(gpu: &Gpu, compiler: &Compiler) -> Result<f64, GpuError> {
    let compiled = compiler.compile(SOURCE, ENTRY, &gpu.arch, &[]).map_err(|e| GpuError(e.to_string()))?;
    let module = Module::load(&compiled.cubin)?;
    let function = module.function(ENTRY, THREADS, 0)?;
    let memory = Memory::new([BYTES, 4])?;
    let stream = Stream::new(gpu)?;
    gpu.wait()?;
    let mut best = 0f64;
    for _ in 0..ROUNDS {
        let seconds = stream.seconds(|| (0..PER_ROUND).try_for_each(|_| read(&stream, function, &memory)))?;
        best = best.max((PER_ROUND * BYTES) as f64 / seconds);
    }
    Ok(best)
}

fn read(stream: &Stream, function: Function, memory: &Memory) -> Result<(), GpuError> {
    let mut values = [memory.address(0), (BYTES / 16) as u64, memory.address(1)];
    // SAFETY: the kernel takes these three, reads the memory's bytes, and may write 4 to the other; both outlive the work. It
    // need not wait for the launch before it, as it reads what none writes.
    unsafe { stream.launch(function, [BYTES / CTA_BYTES, THREADS, 0], &mut values) }
}
