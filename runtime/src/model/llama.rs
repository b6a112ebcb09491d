//! Llama 2 and 3, and what has their form, as Mistral and TinyLlama: rotation of pairs, its frequencies perhaps stretched.

use super::config::{Config, PLAIN, Traits};
use super::rope::RopeLayout;
use crate::gguf::{Gguf, ModelError};

/// Reads the `llama.*` keys.
pub(super) fn config(gguf: &Gguf) -> Result<Config, ModelError> {
    Config::read(gguf, "llama", Traits { rope_layout: RopeLayout::Pairs, rope_factors: true, ..PLAIN })
}
