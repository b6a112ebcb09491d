//! The CUDA executor: the plan's kernels on an NVIDIA GPU, one stream, weights in device memory as they are in the file.
mod beside;
mod compile;
mod driver;
mod error;
mod executor;
mod fault;
mod gpu;
mod graph;
mod indices;
mod kernels;
mod memory;
mod read_rate;
mod record;
mod scratch;
mod stages;
mod tensors;
mod tuned;
mod upload;

pub use error::{CudaError, USE_CPU};
pub use executor::{Cuda, Setup};
pub use gpu::{Gpu, list};
pub use memory::Need;
