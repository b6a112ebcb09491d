//! apr: loads quantized models and runs them with equal bits on every device.

pub mod commands;
pub mod gguf;
pub mod math;
pub mod model;
pub mod synth;
pub mod text;
