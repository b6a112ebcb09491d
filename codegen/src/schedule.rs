//! Schedules: how a kernel is placed on a machine. Data, not code; no schedule can change a bit of a result.
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A schedule of one kernel for a CPU.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Schedule {
    /// Lanes that run in lockstep: 1, 4, 8 or 16.
    pub width: usize,
    /// Instruction for dots of bytes, by its name in the intrinsic table; `None` is plain integer arithmetic.
    #[serde(default)]
    pub dot: Option<String>,
    /// Parallel axes whose iterations threads share, outermost first.
    pub split: Vec<String>,
    /// Iterations of a parallel axis that are done side by side, sharing what they load.
    #[serde(default)]
    pub tile: BTreeMap<String, usize>,
    /// Exact reductions over at most this many elements are unrolled.
    #[serde(default)]
    pub unroll: usize,
}

impl Schedule {
    /// Plain code, nothing side by side.
    pub fn plain(split: &[&str]) -> Schedule {
        let split = split.iter().map(|s| s.to_string()).collect();
        Schedule { width: 1, dot: None, split, tile: BTreeMap::new(), unroll: 0 }
    }
}
