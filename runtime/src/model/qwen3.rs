//! Qwen3: each head of Q and K is normed before the rotation of halves.

use super::config::{Config, PLAIN, Traits};
use crate::gguf::{Gguf, ModelError};

/// What sets the family apart; its mixtures of experts share it.
pub(super) const TRAITS: Traits = Traits { head_norms: true, ..PLAIN };

/// Reads the `qwen3.*` keys.
pub(super) fn config(gguf: &Gguf) -> Result<Config, ModelError> {
    Config::read(gguf, "qwen3", TRAITS)
}
