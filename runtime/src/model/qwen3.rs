//! Qwen3: each head of Q and K is normed before the rotation of halves.

use super::config::{Config, RopeLayout, Traits};
use crate::gguf::{Gguf, ModelError};

/// Reads the `qwen3.*` keys.
pub(super) fn config(gguf: &Gguf) -> Result<Config, ModelError> {
    let traits = Traits {
        rope_layout: RopeLayout::Halves,
        qkv_bias: false,
        head_norms: true,
        rope_factors: false,
        experts: false,
    };
    Config::read(gguf, "qwen3", traits)
}
