//! apr: loads quantized models and runs them with equal bits on every device.

mod aside;
pub mod commands;
mod error;
pub mod exec;
pub mod generate;
pub mod gguf;
pub mod math;
pub mod model;
pub mod parity;
pub mod plan;
pub mod synth;
pub mod text;

pub use error::{EXIT_CODES, Error};
