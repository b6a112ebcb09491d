//! A GPU that runs random kernels: its context, modules, memory and launches.
use crate::case::Checked;
use cudarc::driver::result;
use cudarc::driver::sys::{self, CUdevice_attribute as Attribute, CUfunction_attribute as OfFunction};
use kgen::cuda::Source;
use kgen::loop_ir::Func;
use kgen::nvrtc::Arch;
use std::ffi::{CString, c_void};

/// More dynamic shared memory than this must be asked for.
const FREE_SHARED: usize = 48 << 10;

/// CTAs of a launch: few, so that groups take several work items in turn.
const MOST_CTAS: usize = 2;

/// The first GPU; its context is shared by all threads that have called [`Gpu::enter`].
pub struct Gpu {
    context: usize,
    pub arch: Arch,
    pub name: String,
}

/// What a failed call of the driver says.
fn failed(doing: &str) -> impl Fn(cudarc::driver::DriverError) -> String {
    move |error| format!("{doing}: {error}")
}

impl Gpu {
    /// The first GPU, or why there is none.
    pub fn open() -> Checked<Gpu> {
        // SAFETY: looking for the library has no conditions. Without it, every other call would panic.
        if !unsafe { sys::is_culib_present() } {
            return Err("there is no NVIDIA driver (libcuda was not found)".into());
        }
        result::init().map_err(failed("starting the driver"))?;
        let device = result::device::get(0).map_err(failed("looking for a GPU"))?;
        // SAFETY: the device is one that the driver gave.
        let attribute = |which| unsafe { result::device::get_attribute(device, which) }.map_err(failed("asking a GPU"));
        let major = attribute(Attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR)?;
        let minor = attribute(Attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR)?;
        let name = result::device::get_name(device).map_err(failed("asking a GPU for its name"))?;
        // SAFETY: as above; it is kept until the process ends.
        let context = unsafe { result::primary_ctx::retain(device) }.map_err(failed("opening a GPU"))?;
        let arch = Arch::of_capability(major.unsigned_abs(), minor.unsigned_abs());
        Ok(Gpu { context: context as usize, arch, name })
    }

    /// Makes the GPU that of this thread.
    pub fn enter(&self) -> Checked<()> {
        // SAFETY: the context is never released.
        unsafe { result::ctx::set_current(self.context as sys::CUcontext) }
            .map_err(failed("entering the GPU's context"))
    }
}

/// Loaded machine code.
pub struct Module(sys::CUmodule);

impl Module {
    /// Loads a cubin for the GPU of this thread.
    pub fn load(cubin: &[u8]) -> Checked<Module> {
        // SAFETY: a cubin carries its own length.
        let module = unsafe { result::module::load_data(cubin.as_ptr().cast()) };
        module.map(Module).map_err(failed("loading kernels"))
    }

    /// Runs a kernel of it with CTAs of `threads` on a copy of the buffers; what they hold afterwards.
    pub fn run(
        &self,
        (source, func, threads): (&Source, &Func, usize),
        (ints, floats): (&[i32], &[f32]),
        buffers: &[Vec<u8>],
    ) -> Checked<Vec<Vec<u8>>> {
        let work = func.work_items(ints).ok_or("the number of work items is no i32")?.max(0) as usize;
        let counters = func.counters(ints).ok_or("the number of counters is no i32")?.max(0) as usize;
        // After the buffers: integer scalars, scratch memory, and counters, which are 0 before and after.
        let scalars = ints[func.dims..].iter().flat_map(|v| v.to_le_bytes()).collect();
        let mut all = buffers.to_vec();
        all.extend([scalars, vec![BETWEEN; work * source.scratch_per_item], vec![0; 4 * counters]]);
        let memory = Memory::holding(&all)?;
        let mut values = parameters(&memory, func, (ints, floats));
        let grid = work.div_ceil(source.at_once).clamp(1, MOST_CTAS);
        // SAFETY: the values are the kernel's parameters, and the memory lives until it is done, just below.
        unsafe { self.launch(&source.entry, [grid, threads, source.shared], &mut values)? };
        result::ctx::synchronize().map_err(failed("running a kernel"))?;
        let mut out = memory.read(&all)?;
        if out.pop().is_some_and(|counters| counters.iter().any(|byte| *byte != 0)) {
            return Err("the counters are not 0 at the end".into());
        }
        out.truncate(buffers.len());
        Ok(out)
    }

    /// Starts a kernel: CTAs, threads of each, and bytes of shared memory of each.
    ///
    /// # Safety
    /// The values are the kernel's parameters, and what they point to lives until it is done.
    unsafe fn launch(&self, entry: &str, [grid, threads, shared]: [usize; 3], values: &mut [u64]) -> Checked<()> {
        let mut pointers: Vec<*mut c_void> = values.iter_mut().map(|value| (&raw mut *value).cast()).collect();
        let name = CString::new(entry).map_err(|e| e.to_string())?;
        // SAFETY: the module is loaded; the rest is promised by the caller.
        unsafe {
            let function = result::module::get_function(self.0, name).map_err(failed("finding a kernel"))?;
            if shared > FREE_SHARED {
                let which = OfFunction::CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES;
                result::function::set_function_attribute(function, which, shared as i32)
                    .map_err(failed("asking for shared memory"))?;
            }
            let size = |n: usize| (n as u32, 1, 1);
            let stream = std::ptr::null_mut();
            result::launch_kernel(function, size(grid), size(threads), shared as u32, stream, &mut pointers)
                .map_err(failed("starting a kernel"))
        }
    }
}

impl Drop for Module {
    fn drop(&mut self) {
        // SAFETY: loaded once. Where the GPU was lost, so was this.
        let _ = unsafe { result::module::unload(self.0) };
    }
}

/// The parameters of a kernel, each in the first bytes of a number: buffers, dims, addresses of integer scalars, floats, and
/// where it has them, scratch memory and counters.
fn parameters(memory: &Memory, func: &Func, (ints, floats): (&[i32], &[f32])) -> Vec<u64> {
    let (buffers, more) = memory.addresses.split_at(func.buffers.len());
    let dims = ints[..func.dims].iter().map(|v| *v as u32 as u64);
    let scalars = (0..func.ints - func.dims).map(|i| more[0] + 4 * i as u64);
    let floats = floats.iter().map(|v| v.to_bits() as u64);
    let scratch = if func.scratch.is_some() { &more[1..] } else { &[] };
    buffers.iter().copied().chain(dims).chain(scalars).chain(floats).chain(scratch.iter().copied()).collect()
}

/// Memory of the GPU with all buffers, each between bytes that nothing may write.
struct Memory {
    start: u64,
    len: usize,
    /// Of each buffer.
    addresses: Vec<u64>,
}

/// Buffers begin at multiples of this.
const ALIGNED: usize = 256;

/// What lies between buffers.
const BETWEEN: u8 = 0x5c;

impl Memory {
    fn holding(buffers: &[Vec<u8>]) -> Checked<Memory> {
        let mut image = vec![BETWEEN; ALIGNED];
        let mut offsets = Vec::new();
        for buffer in buffers {
            offsets.push(image.len());
            image.extend(buffer);
            image.resize(image.len().next_multiple_of(ALIGNED) + ALIGNED, BETWEEN);
        }
        // SAFETY: written completely just below.
        let start = unsafe { result::malloc_sync(image.len()) }.map_err(failed("taking memory"))?;
        let addresses = offsets.iter().map(|offset| start + *offset as u64).collect();
        let memory = Memory { start, len: image.len(), addresses };
        // SAFETY: there are as many bytes.
        unsafe { result::memcpy_htod_sync(start, &image) }.map_err(failed("copying to the GPU"))?;
        Ok(memory)
    }

    /// What the buffers hold now.
    fn read(&self, like: &[Vec<u8>]) -> Checked<Vec<Vec<u8>>> {
        let mut image = vec![0; self.len];
        // SAFETY: there are as many bytes.
        unsafe { result::memcpy_dtoh_sync(&mut image, self.start) }.map_err(failed("copying from the GPU"))?;
        let mut out = Vec::new();
        let mut done = 0;
        for (address, buffer) in self.addresses.iter().zip(like) {
            let at = (address - self.start) as usize;
            if image[done..at].iter().any(|byte| *byte != BETWEEN) {
                return Err("something was written in front of a buffer".into());
            }
            done = at + buffer.len();
            out.push(image[at..done].to_vec());
        }
        if image[done..].iter().any(|byte| *byte != BETWEEN) {
            return Err("something was written behind the last buffer".into());
        }
        Ok(out)
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: taken once. Where the GPU was lost, so was this.
        let _ = unsafe { result::free_sync(self.start) };
    }
}
