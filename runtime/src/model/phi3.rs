//! Phi-3, Phi-3.5 and Phi-4: fused tensors, factors of the rotation for short and long contexts, perhaps a part of each head rotated.

use super::config::{Config, PLAIN, Traits};
use crate::gguf::{Gguf, ModelError};

/// Reads the `phi3.*` keys. `phi3.attention.sliding_window` is no window that llama.cpp applies: see docs/decisions.md.
pub(super) fn config(gguf: &Gguf) -> Result<Config, ModelError> {
    Config::read(gguf, "phi3", Traits { fused: true, long_rope: true, ignores_window: true, ..PLAIN })
}
