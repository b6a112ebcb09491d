//! Qwen3 with a mixture of experts in the place of each feed-forward network.

use super::config::{Config, RopeLayout, Traits};
use crate::gguf::{Gguf, ModelError};

/// Reads the `qwen3moe.*` keys.
pub(super) fn config(gguf: &Gguf) -> Result<Config, ModelError> {
    let traits = Traits {
        rope_layout: RopeLayout::Halves,
        qkv_bias: false,
        head_norms: true,
        rope_factors: false,
        experts: true,
    };
    Config::read(gguf, "qwen3moe", traits)
}
