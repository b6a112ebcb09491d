//! Llama 2 and 3, and what has their form, as Mistral and TinyLlama: rotation of pairs, its frequencies perhaps stretched.

use super::config::{Config, RopeLayout, Traits};
use crate::gguf::{Gguf, ModelError};

/// Reads the `llama.*` keys.
pub(super) fn config(gguf: &Gguf) -> Result<Config, ModelError> {
    let traits = Traits {
        rope_layout: RopeLayout::Pairs,
        qkv_bias: false,
        head_norms: false,
        rope_factors: true,
        experts: false,
    };
    Config::read(gguf, "llama", traits)
}
