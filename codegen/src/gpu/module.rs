//! Machine code that is loaded, and its kernels.
use super::{GpuError, failed};
use cudarc::driver::result;
use cudarc::driver::sys::{self, CUfunction_attribute as Attribute};
use std::ffi::CString;

/// More dynamic shared memory than this must be asked for.
const FREE_SHARED: usize = 48 << 10;

/// Loaded machine code.
#[derive(Debug)]
pub struct Module(sys::CUmodule);

/// A kernel of a [`Module`] that lives.
#[derive(Clone, Copy, Debug)]
pub struct Function(pub(super) sys::CUfunction);

impl Module {
    /// Loads a cubin for the GPU of this thread.
    pub fn load(cubin: &[u8]) -> Result<Module, GpuError> {
        // SAFETY: a cubin carries its own length.
        let module = unsafe { result::module::load_data(cubin.as_ptr().cast()) };
        module.map(Module).map_err(failed("loading kernels"))
    }

    /// A kernel, for CTAs of `threads` with `shared` bytes of dynamic shared memory; an error where its registers do not allow
    /// as many threads.
    pub fn function(&self, entry: &str, threads: usize, shared: usize) -> Result<Function, GpuError> {
        let name = CString::new(entry).map_err(|e| GpuError(e.to_string()))?;
        // SAFETY: the module is loaded, and the function is its.
        unsafe {
            let function = result::module::get_function(self.0, name).map_err(failed("finding a kernel"))?;
            let most = Attribute::CU_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK;
            let most = result::function::get_function_attribute(function, most);
            let most = most.map_err(failed("asking for a kernel's threads"))?.unsigned_abs() as usize;
            if threads > most {
                return Err(GpuError(format!("{entry} takes CTAs of {threads} threads, the GPU has {most} for it")));
            }
            if shared > FREE_SHARED {
                let which = Attribute::CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES;
                result::function::set_function_attribute(function, which, shared as i32)
                    .map_err(failed("asking for shared memory"))?;
            }
            Ok(Function(function))
        }
    }
}

impl Drop for Module {
    fn drop(&mut self) {
        // SAFETY: loaded once. Where the GPU was lost, so was this.
        let _ = unsafe { result::module::unload(self.0) };
    }
}
