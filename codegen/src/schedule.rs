//! Schedules: how a kernel is placed on a machine. Data, not code; no schedule can change a bit of a result.
use crate::ir::Kernel;
use crate::lower;
use crate::target::Target;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A schedule of one kernel for one target.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Schedule {
    /// Lanes that run in lockstep: 1, 4, 8 or 16; on CUDA, where they are threads of a warp, also 2 and 32.
    pub width: usize,
    /// Instruction for dots of bytes, by its name in the intrinsic table; `None` is plain integer arithmetic.
    #[serde(default)]
    pub dot: Option<String>,
    /// Parallel axes whose iterations threads (on CUDA, groups of threads) share, outermost first.
    pub split: Vec<String>,
    /// Iterations of a parallel axis that are done side by side, sharing what they load.
    #[serde(default)]
    pub tile: BTreeMap<String, usize>,
    /// A merge whose parts workers share: each does one, the last to arrive merges them. On CUDA only.
    #[serde(default)]
    pub parts: Option<String>,
    /// Exact reductions over at most this many elements are unrolled.
    #[serde(default)]
    pub unroll: usize,
    /// Sizes up to which the schedule is for: `{"T": 1}` is for one token. Of a kernel's schedules the first that fits is used.
    #[serde(default)]
    pub most: BTreeMap<String, i32>,
    /// Threads of a CTA, on CUDA.
    #[serde(default = "cta")]
    pub threads: usize,
}

fn cta() -> usize {
    128
}

impl Schedule {
    /// Plain code, nothing side by side.
    pub fn plain(split: &[&str]) -> Schedule {
        let split = split.iter().map(|s| s.to_string()).collect();
        Schedule {
            width: 1,
            dot: None,
            split,
            tile: BTreeMap::new(),
            parts: None,
            unroll: 0,
            most: BTreeMap::new(),
            threads: cta(),
        }
    }
}

/// Draws a schedule from all that could be legal for a kernel; [`Target::legal`] says which are.
pub fn draw(kernel: &Kernel, target: Target, mut choose: impl FnMut(usize) -> usize) -> Schedule {
    let axes = lower::outer_axes(kernel);
    let mut pick = |options: &[usize]| options[choose(options.len())];
    let width = pick(target.widths());
    let dots = target.dots();
    let dot = dots.get(pick(&[0, 1, 2, 3])).map(|name| name.to_string());
    let mut left = axes.clone();
    let mut split = Vec::new();
    let count = 1 + pick(&(0..left.len()).collect::<Vec<_>>());
    while split.len() < count {
        split.push(left.remove(pick(&(0..left.len()).collect::<Vec<_>>())));
    }
    let merges = if target == Target::Cuda { lower::merge_axes(kernel) } else { Vec::new() };
    let parts = merges.into_iter().find(|_| pick(&[0, 1]) == 1);
    if parts.is_some() {
        split.append(&mut left);
    }
    let axes = if parts.is_some() { Vec::new() } else { axes };
    let tile = axes.iter().map(|a| (a.clone(), pick(&[1, 1, 1, 2, 3, 4]))).filter(|(_, n)| *n > 1).collect();
    let (unroll, threads) = (pick(&[0, 4, 8, 16, 32]), pick(&[32, 64, 128, 256]));
    Schedule { width, dot, split, tile, parts, unroll, most: BTreeMap::new(), threads }
}
