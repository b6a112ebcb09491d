//! What a GPU's failure means, and the way out.
use cudarc::driver::{DriverError, sys::CUresult};

/// The GPU cannot serve.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}\n  help: {help}")]
pub struct CudaError {
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub help: String,
}

/// The way out that is always there.
pub const USE_CPU: &str = "use --device cpu; the CPU gives the same bits";

impl CudaError {
    /// With its own way out.
    pub(super) fn new(message: impl Into<String>, help: impl Into<String>) -> CudaError {
        CudaError { message: message.into(), help: help.into() }
    }

    /// A call of the driver that failed while something was done (`allocating the KV cache`).
    pub(super) fn call(doing: &str, error: DriverError) -> CudaError {
        let text = match (error.error_name(), error.error_string()) {
            (Ok(name), Ok(text)) => format!("{} ({})", text.to_string_lossy(), name.to_string_lossy()),
            _ => format!("error {}", error.0 as u32),
        };
        CudaError::new(format!("CUDA failed while {doing}: {text}"), format!("{}{USE_CPU}", way_out(error.0)))
    }
}

/// What to do about a driver's error, before the CPU is the way out.
fn way_out(error: CUresult) -> &'static str {
    use CUresult as R;
    match error {
        R::CUDA_ERROR_OUT_OF_MEMORY => "end other programs on the GPU, or ask for fewer tokens (--max-tokens); else ",
        R::CUDA_ERROR_NO_DEVICE | R::CUDA_ERROR_INVALID_DEVICE => {
            "check nvidia-smi and CUDA_VISIBLE_DEVICES, and in a container that it was started with GPUs; else "
        }
        R::CUDA_ERROR_STUB_LIBRARY => {
            "the library path has the stub of libcuda from a CUDA toolkit: take it out; else "
        }
        R::CUDA_ERROR_INVALID_IMAGE
        | R::CUDA_ERROR_NO_BINARY_FOR_GPU
        | R::CUDA_ERROR_UNSUPPORTED_PTX_VERSION
        | R::CUDA_ERROR_INVALID_PTX => {
            "update the NVIDIA driver, or install the NVRTC of the driver's CUDA version (see kgen doctor); else "
        }
        R::CUDA_ERROR_SYSTEM_DRIVER_MISMATCH | R::CUDA_ERROR_COMPAT_NOT_SUPPORTED_ON_DEVICE => {
            "the NVIDIA driver was changed while it was in use, or does not fit its libraries: restart the machine; else "
        }
        R::CUDA_ERROR_SYSTEM_NOT_READY => "start nvidia-fabricmanager, which this machine's GPUs need; else ",
        R::CUDA_ERROR_DEVICE_UNAVAILABLE => "another program has the GPU for itself (see nvidia-smi); else ",
        R::CUDA_ERROR_ECC_UNCORRECTABLE
        | R::CUDA_ERROR_NVLINK_UNCORRECTABLE
        | R::CUDA_ERROR_HARDWARE_STACK_ERROR
        | R::CUDA_ERROR_EXTERNAL_DEVICE
        | R::CUDA_ERROR_CONTEXT_IS_DESTROYED
        | R::CUDA_ERROR_UNKNOWN => "the GPU is lost: look for Xid in the system's log (dmesg) and reset the GPU; else ",
        R::CUDA_ERROR_ILLEGAL_ADDRESS
        | R::CUDA_ERROR_MISALIGNED_ADDRESS
        | R::CUDA_ERROR_ILLEGAL_INSTRUCTION
        | R::CUDA_ERROR_INVALID_ADDRESS_SPACE
        | R::CUDA_ERROR_INVALID_PC
        | R::CUDA_ERROR_LAUNCH_FAILED
        | R::CUDA_ERROR_LAUNCH_TIMEOUT
        | R::CUDA_ERROR_ASSERT => {
            "a kernel crashed: set CUDA_LAUNCH_BLOCKING=1 to see which, and report it with this message; else "
        }
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_out_ends_with_the_cpu() {
        for error in
            [CUresult::CUDA_ERROR_OUT_OF_MEMORY, CUresult::CUDA_ERROR_LAUNCH_FAILED, CUresult::CUDA_ERROR_NOT_FOUND]
        {
            let text = format!("{}{USE_CPU}", way_out(error));
            assert!(text.ends_with("use --device cpu; the CPU gives the same bits"), "{text}");
        }
        assert!(way_out(CUresult::CUDA_ERROR_OUT_OF_MEMORY).contains("--max-tokens"));
    }
}
