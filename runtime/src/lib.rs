//! apr: loads quantized models and runs them with equal bits on every device.

pub mod commands;
mod error;
pub mod exec;
pub mod generate;
pub mod math;
pub mod model;
pub mod parity;
pub mod plan;
pub mod synth;
pub mod text;

pub use gguf;

pub use error::{EXIT_CODES, Error};
