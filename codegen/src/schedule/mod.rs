//! Schedules: how a kernel is placed on a machine. Data, not code; no schedule can change a bit of a result.
mod draw;
pub mod file;

pub use draw::draw;

use crate::ir::Kernel;
use crate::layout::SideBySide;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A schedule of one kernel for one target.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Schedule {
    /// Lanes that run in lockstep: 1, 4, 8 or 16; on CUDA, where they are threads of a warp, also 2 and 32.
    pub width: usize,
    /// Instruction for dots of bytes, by its name in [`crate::instructions`]; `None` is plain integer arithmetic.
    #[serde(default)]
    pub dot: Option<String>,
    /// Instruction for dots of numbers of 16 bits, likewise. It also adds up the halves that a `pairs_` instruction leaves.
    #[serde(default)]
    pub dot2: Option<String>,
    /// Exact reductions that stay loops in any case, dots among them, by the names of their axes.
    #[serde(default)]
    pub rolled: Vec<String>,
    /// Iterations of a reduction that is unrolled which are done side by side: their dots share loops, and what they load.
    #[serde(default = "alone")]
    pub jam: usize,
    /// Parallel axes whose iterations threads (on CUDA, groups of threads) share, outermost first.
    pub split: Vec<String>,
    /// An outer parallel axis whose iterations the lanes do, each lane one; else lanes share what is inside of an iteration.
    #[serde(default)]
    pub lanes: Option<String>,
    /// An outer parallel axis that is the columns of products of matrices, of which `lanes` is the rows: 32 lanes have 16 rows and 8
    /// columns together. On CUDA only.
    #[serde(default)]
    pub columns: Option<String>,
    /// Whether a dot's scale of some bits is split into its upper and its lower ones, by which the row's bytes are multiplied before
    /// products of matrices: two products instead of a multiplication of each sum.
    #[serde(default)]
    pub split_scales: bool,
    /// Whether products of matrices have all columns of the tile at once, which lie in the team's memory by pieces: where rows are
    /// multiplied by split scales.
    #[serde(default)]
    pub wide: bool,
    /// How many of a tile's products side by side along the columns have a term of a float sum computed at once; the others follow, for
    /// fewer registers. 0 is all of them.
    #[serde(default)]
    pub abreast: usize,
    /// How the rows of weights lie in memory, by buffer; one after the other where nothing is said.
    #[serde(default)]
    pub layout: BTreeMap<String, SideBySide>,
    /// Iterations of a parallel axis (on the axis of lanes registers of them, of rows and columns those of a product) that are done side by side, sharing what they load.
    #[serde(default)]
    pub tile: BTreeMap<String, usize>,
    /// A merge whose parts workers or teams share: each does one, the last to arrive merges them. On CUDA only.
    #[serde(default)]
    pub parts: Option<String>,
    /// Groups of threads that do each work item together: they share the segments or terms of a sum, the elements of an argmax or
    /// of a map, and parallel axes inside of the item. On CUDA only, where more than 1.
    #[serde(default = "alone")]
    pub team: usize,
    /// Members of a team that share the rows and the columns of products of matrices, by axis: each does a tile of its own, and the
    /// team shares what it copies.
    #[serde(default)]
    pub members: BTreeMap<String, usize>,
    /// Buffers whose rows a team copies to its own memory first. `most` bounds the length of the rows. Where members do products of
    /// their own, the blocks of the team's rows and columns for a term of a sum, one term ahead.
    #[serde(default)]
    pub stage: Vec<String>,
    /// Loads from buffers or scratch memory that an innermost loop should have under way at once: as many of its iterations are
    /// written out. On CUDA only, where more than 1.
    #[serde(default = "alone")]
    pub in_flight: usize,
    /// CTAs for which a multiprocessor should have registers at a time: the fewer, the more loads a compiler begins at once. 0 leaves it
    /// to the compiler. On CUDA only.
    #[serde(default)]
    pub resident: usize,
    /// Whether lanes may read elements of an array that are no neighbours. On CUDA only.
    #[serde(default)]
    pub strided: bool,
    /// Whether a worker asks for the weights of its first item before its launch waits for the one before it, where lanes do rows.
    /// On CUDA only.
    #[serde(default)]
    pub early: bool,
    /// How many iterations ahead innermost loops load weights, where lanes do rows.
    #[serde(default)]
    pub ahead: usize,
    /// How many bytes ahead weights are asked for, where lanes do rows; 0 is not at all. On CPUs only.
    #[serde(default)]
    pub prefetch: usize,
    /// Exact reductions over at most this many elements are unrolled.
    #[serde(default)]
    pub unroll: usize,
    /// Sizes up to which the schedule is for: `{"T": 1}` is for one token. Of a kernel's schedules the first that fits is used.
    #[serde(default)]
    pub most: BTreeMap<String, i32>,
    /// Threads of a CTA, on CUDA; of a team, where groups form teams.
    #[serde(default = "cta")]
    pub threads: usize,
}

fn alone() -> usize {
    1
}

fn cta() -> usize {
    128
}

impl Schedule {
    /// Whether it is for these sizes: `ints` are a kernel's dims and integer scalars.
    pub fn fits(&self, kernel: &Kernel, ints: &[i32]) -> bool {
        let mut sizes = kernel.dims.iter().map(|v| &kernel.vars[v.0 as usize].name).zip(ints);
        sizes.all(|(name, size)| self.most.get(name).is_none_or(|most| size <= most))
    }

    /// Plain code, nothing side by side.
    pub fn plain(split: &[&str]) -> Schedule {
        let split = split.iter().map(|s| s.to_string()).collect();
        Schedule {
            width: 1,
            dot: None,
            dot2: None,
            rolled: Vec::new(),
            jam: 1,
            split,
            lanes: None,
            columns: None,
            split_scales: false,
            wide: false,
            abreast: 0,
            layout: BTreeMap::new(),
            tile: BTreeMap::new(),
            parts: None,
            team: 1,
            members: BTreeMap::new(),
            stage: Vec::new(),
            in_flight: 1,
            resident: 0,
            strided: false,
            early: false,
            ahead: 0,
            prefetch: 0,
            unroll: 0,
            most: BTreeMap::new(),
            threads: cta(),
        }
    }
}
