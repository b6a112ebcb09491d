//! Gemma 3: five of six layers are local, heads of Q and K are normed, norms after each block, GELU, scaled embeddings.

use super::config::{Config, Gate, PLAIN, Traits};
use crate::gguf::{Gguf, ModelError};

/// Layers of the 27B model, whose scores are scaled by the width of a head if the heads had that of the residual stream.
const LAYERS_27B: usize = 62;

/// Reads the `gemma3.*` keys.
pub(super) fn config(gguf: &Gguf) -> Result<Config, ModelError> {
    let traits = Traits {
        local: Some(6),
        head_norms: true,
        post_norms: true,
        gate: Gate::Gelu,
        scaled_embedding: true,
        ..PLAIN
    };
    let config = Config::read(gguf, "gemma3", traits)?;
    if config.n_layers != LAYERS_27B {
        return Ok(Config { score_scale: config.head_dim, ..config });
    }
    if !config.hidden.is_multiple_of(config.n_heads) {
        let why = format!("{} heads do not divide {}", config.n_heads, config.hidden);
        return Err(ModelError::metadata("gemma3.attention.head_count", why));
    }
    Ok(Config { score_scale: config.hidden / config.n_heads, ..config })
}
