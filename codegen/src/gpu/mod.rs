//! A GPU for those who compare what kernels give, or time them: its context, modules, memory, and launches.
//!
//! `apr` has an executor of its own, which serves; this one looks after buffers of one kernel, with guards around them.
mod launch;
mod memory;
mod module;
pub mod read_rate;
mod stream;

pub use launch::{MOST_CTAS, grid, parameters, run};
pub use memory::{BETWEEN, Memory};
pub use module::{Function, Module};
pub use stream::{Graph, Stream};

use crate::nvrtc::Arch;
use cudarc::driver::sys::{self, CUdevice_attribute as Attribute};
use cudarc::driver::{DriverError, result};

/// What a GPU, or its driver, could not do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct GpuError(pub String);

/// What a failed call of the driver says.
fn failed(doing: &str) -> impl Fn(DriverError) -> GpuError {
    move |error| GpuError(format!("{doing}: {error}"))
}

/// A GPU; its context is shared by all threads that have called [`Gpu::enter`].
#[derive(Clone, Debug)]
pub struct Gpu {
    context: usize,
    /// What kernels are compiled for.
    pub arch: Arch,
    /// Name of the product.
    pub name: String,
}

impl Gpu {
    /// GPU `number` of the driver, which becomes that of this thread, or why there is none.
    pub fn open(number: u32) -> Result<Gpu, GpuError> {
        // SAFETY: looking for the library has no conditions. Without it, every other call would panic.
        if !unsafe { sys::is_culib_present() } {
            return Err(GpuError("there is no NVIDIA driver (libcuda was not found)".into()));
        }
        result::init().map_err(failed("starting the driver"))?;
        let device = result::device::get(number as i32).map_err(failed("looking for a GPU"))?;
        // SAFETY: the device is one that the driver gave.
        let attribute = |which| unsafe { result::device::get_attribute(device, which) }.map_err(failed("asking a GPU"));
        let major = attribute(Attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR)?;
        let minor = attribute(Attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR)?;
        let name = result::device::get_name(device).map_err(failed("asking a GPU for its name"))?;
        // SAFETY: as above; it is kept until the process ends.
        let context = unsafe { result::primary_ctx::retain(device) }.map_err(failed("opening a GPU"))?;
        let arch = Arch::of_capability(major.unsigned_abs(), minor.unsigned_abs());
        let gpu = Gpu { context: context as usize, arch, name };
        gpu.enter()?;
        Ok(gpu)
    }

    /// Makes the GPU that of this thread.
    pub fn enter(&self) -> Result<(), GpuError> {
        // SAFETY: the context is never released.
        unsafe { result::ctx::set_current(self.context as sys::CUcontext) }
            .map_err(failed("entering the GPU's context"))
    }

    /// Waits until all of its work is done.
    pub fn wait(&self) -> Result<(), GpuError> {
        result::ctx::synchronize().map_err(failed("running a kernel"))
    }
}
