//! Qwen2 and Qwen2.5: biased Q, K and V, rotation of halves.

use super::config::{Config, RopeLayout, Traits};
use crate::gguf::{Gguf, ModelError};

/// Reads the `qwen2.*` keys.
pub(super) fn config(gguf: &Gguf) -> Result<Config, ModelError> {
    let traits = Traits {
        rope_layout: RopeLayout::Halves,
        qkv_bias: true,
        head_norms: false,
        rope_factors: false,
        experts: false,
    };
    Config::read(gguf, "qwen2", traits)
}
