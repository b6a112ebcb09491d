//! A GPU: whether it is there, what it is, and its context.
use super::{CudaError, error::USE_CPU, tuned};
use cudarc::driver::{
    DriverError, result,
    sys::{self, CUdevice, CUdevice_attribute as Attribute},
};
use kgen::{nvrtc::Arch, text::hex};
use std::{fmt, sync::Arc};

/// Compute capabilities before this lack instructions that the kernels have.
const OLDEST: (i32, i32) = (8, 0);

/// A GPU with its primary context, which is current in the thread that has opened it.
#[derive(Clone)]
pub struct Gpu(Arc<Inner>);

struct Inner {
    device: CUdevice,
    number: u32,
    name: String,
    capability: (i32, i32),
    driver: i32,
}

impl Drop for Inner {
    fn drop(&mut self) {
        // SAFETY: retained once by `open`. What lives in the context holds on to this value.
        let _ = unsafe { result::primary_ctx::release(self.device) };
    }
}

impl fmt::Debug for Gpu {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Gpu(cuda:{}, {}, {})", self.number(), self.name(), self.arch())
    }
}

/// Loads the driver; the names of the GPUs, at least one. No context is made.
pub fn list() -> Result<Vec<String>, CudaError> {
    // Every other call would panic where the library is missing.
    // SAFETY: loading libcuda has no conditions.
    if !unsafe { sys::is_culib_present() } {
        let help = format!("install the NVIDIA driver, and in a container start it with GPUs; else {USE_CPU}");
        return Err(CudaError::new("there is no NVIDIA driver (libcuda was not found)", help));
    }
    let failed = |error| CudaError::call("looking for GPUs", error);
    result::init().map_err(failed)?;
    let count = result::device::get_count().map_err(failed)?;
    if count < 1 {
        return Err(failed(DriverError(sys::CUresult::CUDA_ERROR_NO_DEVICE)));
    }
    let name = |number| result::device::get(number).and_then(result::device::get_name);
    (0..count).map(name).collect::<Result<_, _>>().map_err(failed)
}

impl Gpu {
    /// Opens GPU `number`, and makes its context that of this thread.
    pub fn open(number: u32) -> Result<Gpu, CudaError> {
        let names = list()?;
        let Some(name) = names.get(number as usize).cloned() else {
            let (s, last) = (if names.len() == 1 { "" } else { "s" }, names.len() - 1);
            let message = format!("there is no GPU {number}: this machine has {} GPU{s}", names.len());
            return Err(CudaError::new(
                message,
                format!("use --device cuda:N with N from 0 to {last}, or --device cpu"),
            ));
        };
        let doing = format!("opening GPU {number}");
        let failed = |error| CudaError::call(&doing, error);
        let device = result::device::get(number as i32).map_err(failed)?;
        // SAFETY: the device is one that the driver gave.
        let attribute = |which| unsafe { result::device::get_attribute(device, which) }.map_err(failed);
        let capability = (
            attribute(Attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR)?,
            attribute(Attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR)?,
        );
        if capability < OLDEST {
            let ((major, minor), (least, _)) = (capability, OLDEST);
            let message = format!("GPU {number} ({name}) has compute capability {major}.{minor}; {least}.0 is needed");
            return Err(CudaError::new(message, USE_CPU));
        }
        let mut driver = 0;
        // SAFETY: the number can be written.
        unsafe { sys::cuDriverGetVersion(&mut driver) }.result().map_err(failed)?;
        tuned::take(&arch(capability))?;
        // SAFETY: as above; released when the last owner is dropped.
        let context = unsafe { result::primary_ctx::retain(device) }.map_err(failed)?;
        let gpu = Gpu(Arc::new(Inner { device, number, name, capability, driver }));
        // SAFETY: the context was just retained.
        unsafe { result::ctx::set_current(context) }.map_err(failed)?;
        Ok(gpu)
    }

    /// Its number, as in `cuda:0`.
    pub fn number(&self) -> u32 {
        self.0.number
    }

    /// The name of the product.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// What kernels are compiled for.
    pub fn arch(&self) -> Arch {
        arch(self.0.capability)
    }

    /// The CUDA version that the driver is for, as 13.0.
    pub fn driver(&self) -> String {
        format!("{}.{}", self.0.driver / 1000, self.0.driver % 1000 / 10)
    }

    /// Which GPU it is, and what drives it: name, UUID, compute capability, and the driver's versions.
    pub fn identity(&self) -> Result<String, CudaError> {
        let uuid = result::device::get_uuid(self.0.device);
        let uuid = uuid.map_err(|error| CudaError::call("asking for the GPU's UUID", error))?;
        let uuid = hex(&uuid.bytes.map(|byte| byte as u8));
        // The kernel driver's own version, where it says it: two drivers can be for one version of CUDA.
        let driver = std::fs::read_to_string("/proc/driver/nvidia/version").unwrap_or_default();
        let driver = driver.lines().next().unwrap_or_default();
        Ok(format!("{}, {uuid}, {}, CUDA {}, {driver}", self.name(), self.arch(), self.driver()))
    }

    /// Free and total bytes of its memory.
    pub fn memory(&self) -> Result<(usize, usize), CudaError> {
        result::mem_get_info().map_err(|error| CudaError::call("asking for free memory", error))
    }
}

fn arch((major, minor): (i32, i32)) -> Arch {
    Arch::of_capability(major.unsigned_abs(), minor.unsigned_abs())
}
