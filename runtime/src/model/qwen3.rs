//! Qwen3: each head of Q and K is normed before the rotation of halves.

use super::config::{Config, RopeLayout, Traits};
use crate::gguf::{Gguf, ModelError};

/// What sets the family apart; its mixtures of experts share it.
pub(super) const TRAITS: Traits =
    Traits { rope_layout: RopeLayout::Halves, qkv_bias: false, head_norms: true, rope_factors: false, experts: false };

/// Reads the `qwen3.*` keys.
pub(super) fn config(gguf: &Gguf) -> Result<Config, ModelError> {
    Config::read(gguf, "qwen3", TRAITS)
}
