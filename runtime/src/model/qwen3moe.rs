//! Qwen3 with a mixture of experts in the place of each feed-forward network.

use super::config::{Config, Traits};
use super::qwen3;
use crate::gguf::{Gguf, ModelError};

/// Reads the `qwen3moe.*` keys.
pub(super) fn config(gguf: &Gguf) -> Result<Config, ModelError> {
    Config::read(gguf, "qwen3moe", Traits { experts: true, ..qwen3::TRAITS })
}
