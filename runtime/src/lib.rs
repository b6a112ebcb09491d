//! apr: loads quantized models and runs them with equal bits on every device.

mod error;
pub mod exec;
pub mod gguf;
pub mod plan;

pub use error::{EXIT_CODES, Error};
