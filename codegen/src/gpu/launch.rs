//! The parameters of emitted kernels, and one launch of them.
use super::{Gpu, GpuError, Memory, Module, Stream};
use crate::cuda::Source;
use crate::loop_ir::Func;

/// The most CTAs of a launch; more work than they take at a time is done in turns.
pub const MOST_CTAS: usize = 65535 * 8;

/// CTAs of a launch of so many work items.
pub fn grid(source: &Source, work: usize, most: usize) -> usize {
    work.div_ceil(source.at_once.max(1)).clamp(1, most)
}

/// The parameters of a kernel, each in the first bytes of a number: buffers, dims, addresses of integer scalars (which lie one
/// after the other at `scalars`), floats, and where it has them, scratch memory and counters.
pub fn parameters(
    func: &Func,
    buffers: &[u64],
    (ints, floats): (&[i32], &[f32]),
    scalars: u64,
    scratch: [u64; 2],
) -> Vec<u64> {
    let dims = ints[..func.dims].iter().map(|v| *v as u32 as u64);
    let scalars = (0..func.ints - func.dims).map(|i| scalars + 4 * i as u64);
    let floats = floats.iter().map(|v| v.to_bits() as u64);
    let scratch: &[u64] = if func.scratch.is_some() { &scratch } else { &[] };
    buffers.iter().copied().chain(dims).chain(scalars).chain(floats).chain(scratch.iter().copied()).collect()
}

/// Runs a kernel of a module once by at most `most_ctas` CTAs, on a copy of the buffers, which lie as the function wants them;
/// what they hold afterwards. An error where something around them was written, or counters are left.
pub fn run(
    gpu: &Gpu,
    module: &Module,
    (source, func): (&Source, &Func),
    (ints, floats): (&[i32], &[f32]),
    buffers: &[Vec<u8>],
    most_ctas: usize,
) -> Result<Vec<Vec<u8>>, GpuError> {
    let number = |n: Option<i32>, what: &str| {
        n.map(|n| n.max(0) as usize).ok_or_else(|| GpuError(format!("the number of {what} is no i32")))
    };
    let (work, counters) = (number(func.work_items(ints), "work items")?, number(func.counters(ints), "counters")?);
    let scalars: Vec<u8> = ints[func.dims..].iter().flat_map(|v| v.to_le_bytes()).collect();
    let lens = [scalars.len(), work * source.scratch_per_item, 4 * counters];
    let memory = Memory::new(buffers.iter().map(Vec::len).chain(lens))?;
    let n = buffers.len();
    buffers.iter().chain([&scalars]).enumerate().try_for_each(|(i, bytes)| memory.write(i, bytes))?;
    memory.fill(n + 2, 0)?;
    let addresses = memory.addresses();
    let mut values =
        parameters(func, &addresses[..n], (ints, floats), addresses[n], [addresses[n + 1], addresses[n + 2]]);
    let function = module.function(&source.entry, source.threads, source.shared)?;
    let shape = [grid(source, work, most_ctas), source.threads, source.shared];
    let stream = Stream::new(gpu)?;
    gpu.wait()?;
    // SAFETY: the values are the kernel's parameters, and the memory lives until it is done, just below.
    unsafe { stream.launch(function, shape, &mut values)? };
    stream.wait()?;
    memory.intact()?;
    if memory.read(n + 2)?.iter().any(|byte| *byte != 0) {
        return Err(GpuError("the counters are not 0 at the end".into()));
    }
    (0..n).map(|i| memory.read(i)).collect()
}
