//! Layers that attend to the last positions only, between layers that attend to all.

use super::config::Keys;
use super::rope::{self, Factors, Rope, RopeLayout};
use crate::gguf::ModelError;

/// The largest window that the attention kernels take.
const MOST_WINDOW: u64 = 1 << 22;

/// The local layers of a model.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Local {
    /// The positions that a query sees, its own among them.
    pub window: usize,
    /// Of so many layers, the last is not local.
    pub period: usize,
    /// Their rotation.
    pub rope: Rope,
}

impl Local {
    pub(super) fn read(keys: &Keys<'_>, period: usize, head_dim: usize) -> Result<Self, ModelError> {
        let period = keys.opt_count("attention.sliding_window_pattern", 1 << 10)?.unwrap_or(period);
        let rope = Rope {
            dims: head_dim,
            base: rope::base(keys, "rope.freq_base_swa")?,
            layout: RopeLayout::Halves,
            scale: 1.0,
            amplitude: 1.0,
            factors: Factors::None,
        };
        Ok(Self { window: keys.count("attention.sliding_window", MOST_WINDOW)?, period, rope })
    }

    /// Whether a layer is one.
    pub fn has(&self, layer: usize) -> bool {
        layer % self.period < self.period - 1
    }
}
