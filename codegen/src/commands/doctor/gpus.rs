//! The NVIDIA driver and its GPUs, asked through libcuda.
use kgen::nvrtc::Arch;
use libloading::Library;
use serde::Serialize;
use std::ffi::{CStr, c_char, c_int, c_uint};
use std::ptr;

/// The driver.
#[derive(Serialize)]
pub struct Driver {
    /// The CUDA version that it is for, as 13.0.
    pub cuda_version: String,
    /// Its GPUs.
    pub gpus: Vec<Gpu>,
}

/// A GPU.
#[derive(Serialize)]
pub struct Gpu {
    /// As in `cuda:0`.
    pub number: i32,
    /// Of the product.
    pub name: String,
    /// As 9.0.
    pub compute_capability: String,
    /// What kernels are compiled for, as sm_90.
    pub arch: String,
    /// The architecture whose schedules it uses.
    pub schedules: &'static str,
    /// All its memory.
    pub memory_bytes: usize,
    /// Whether kernels run on it: its compute capability is 8.0 or more.
    pub supported: bool,
}

type Status = c_int;
/// Attributes of a device, by their numbers in cuda.h.
const MAJOR: c_int = 75;
const MINOR: c_int = 76;

/// The functions that are needed.
struct Cuda {
    library: Library,
}

macro_rules! call {
    ($cuda:expr, $name:literal, ($($ty:ty),*), $($arg:expr),*) => {{
        // SAFETY: the type is that of the function in cuda.h, and the arguments can be read or written as it says.
        let status = unsafe {
            let function = $cuda.library.get::<unsafe extern "C" fn($($ty),*) -> Status>($name);
            function.map_err(|e| e.to_string())?($($arg),*)
        };
        $cuda.check(status)
    }};
}

/// Asks the driver; the error is what it says, or that there is none.
pub fn find() -> Result<Driver, String> {
    // SAFETY: the driver's library has no initializers that ask anything of the program.
    let library = unsafe { Library::new("libcuda.so.1").or_else(|_| Library::new("libcuda.so")) };
    let library = library.map_err(|_| "there is no NVIDIA driver: libcuda.so.1 was not found".to_string())?;
    let cuda = Cuda { library };
    call!(cuda, c"cuInit", (c_uint), 0)?;
    let (mut version, mut count) = (0, 0);
    call!(cuda, c"cuDriverGetVersion", (*mut c_int), &mut version)?;
    call!(cuda, c"cuDeviceGetCount", (*mut c_int), &mut count)?;
    let gpus = (0..count).map(|number| cuda.gpu(number)).collect::<Result<_, _>>()?;
    let driver = Driver { cuda_version: format!("{}.{}", version / 1000, version % 1000 / 10), gpus };
    // Unloading a driver that has threads is asking for trouble.
    std::mem::forget(cuda.library);
    Ok(driver)
}

impl Cuda {
    fn gpu(&self, number: i32) -> Result<Gpu, String> {
        let (mut device, mut name, mut memory_bytes) = (0, [0 as c_char; 256], 0);
        let (mut major, mut minor) = (0, 0);
        call!(self, c"cuDeviceGet", (*mut c_int, c_int), &mut device, number)?;
        let len = name.len() as c_int;
        call!(self, c"cuDeviceGetName", (*mut c_char, c_int, c_int), name.as_mut_ptr(), len, device)?;
        call!(self, c"cuDeviceTotalMem_v2", (*mut usize, c_int), &mut memory_bytes, device)?;
        call!(self, c"cuDeviceGetAttribute", (*mut c_int, c_int, c_int), &mut major, MAJOR, device)?;
        call!(self, c"cuDeviceGetAttribute", (*mut c_int, c_int, c_int), &mut minor, MINOR, device)?;
        // SAFETY: the array ends with a zero, since the driver writes no more than its length with one.
        let name = unsafe { CStr::from_ptr(name.as_ptr()) }.to_string_lossy().into_owned();
        let arch = Arch::of_capability(major.unsigned_abs(), minor.unsigned_abs());
        Ok(Gpu {
            number,
            name,
            compute_capability: format!("{major}.{minor}"),
            arch: arch.to_string(),
            schedules: arch.schedules(),
            memory_bytes,
            supported: major >= 8,
        })
    }

    fn check(&self, status: Status) -> Result<(), String> {
        if status == 0 {
            return Ok(());
        }
        type GetText = unsafe extern "C" fn(Status, *mut *const c_char) -> Status;
        let mut text = ptr::null();
        // SAFETY: as in cuda.h; the text is a constant of the library, or stays null.
        let text = unsafe {
            if let Ok(get) = self.library.get::<GetText>(c"cuGetErrorString") {
                get(status, &mut text);
            }
            (!text.is_null()).then(|| CStr::from_ptr(text).to_string_lossy().into_owned())
        };
        Err(format!("the NVIDIA driver failed: {}", text.unwrap_or_else(|| format!("error {status}"))))
    }
}
