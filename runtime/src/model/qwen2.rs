//! Qwen2 and Qwen2.5: biased Q, K and V, rotation of halves.

use super::config::{Config, PLAIN, Traits};
use crate::gguf::{Gguf, ModelError};

/// Reads the `qwen2.*` keys.
pub(super) fn config(gguf: &Gguf) -> Result<Config, ModelError> {
    Config::read(gguf, "qwen2", Traits { qkv_bias: true, ..PLAIN })
}
