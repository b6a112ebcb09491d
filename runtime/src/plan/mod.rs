//! A model's forward pass as data: stages over named buffers, written once and run by every executor.
mod activations;
mod bind;
mod build;
mod experts;
mod norm;
mod pairs;
mod schedule;
mod transformer;
mod units;

pub use activations::Activations;
pub use bind::{BoundStage, PlanError};
pub use pairs::{Pair, pairs};
pub use schedule::{Placements, PlanSchedule};
pub use transformer::{transformer, transformer_with};
pub use units::{Unit, units};

use crate::gguf::{Gguf, Tensor};
use std::{fmt, ops::Range, sync::Arc};

/// A size that is fixed by the model or known for each [`Step`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Size {
    /// The same always.
    Fixed(usize),
    /// Tokens that the step feeds.
    Tokens,
    /// How many of these, counted from the last, get logits.
    Outputs,
    /// Two for each token: activations in two planes.
    TwiceTokens,
    /// Two for each of the outputs.
    TwiceOutputs,
    /// Position of the step's first token.
    Position,
    /// Chunks of the KV cache.
    Chunks,
    /// Positions that the KV cache holds: [`CHUNK`] for each chunk.
    Capacity,
}

/// Positions in a chunk of the KV cache.
pub const CHUNK: usize = 64;

/// The step record: what differs between two runs of a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// Tokens to feed, at least 1.
    pub tokens: usize,
    /// How many of them get logits: none, the last, or all.
    pub outputs: usize,
    /// Position of the first one.
    pub position: usize,
    /// Chunks of the KV cache.
    pub chunks: usize,
}

impl Step {
    /// The value of a size in this step.
    pub fn get(&self, size: Size) -> usize {
        match size {
            Size::Fixed(n) => n,
            Size::Tokens => self.tokens,
            Size::Outputs => self.outputs,
            Size::TwiceTokens => self.tokens.saturating_mul(2),
            Size::TwiceOutputs => self.outputs.saturating_mul(2),
            Size::Position => self.position,
            Size::Chunks => self.chunks,
            Size::Capacity => self.chunks.saturating_mul(CHUNK),
        }
    }
}

/// What a buffer is, and so where an executor gets its bytes.
#[derive(Clone)]
pub enum Role {
    /// A tensor of the model file, of the buffer's name, or a part of one.
    Weight(Option<Part>),
    /// The tokens of the step.
    Input,
    /// Constants: the function gives each row.
    Table(RowFn),
    /// Kept from step to step; zero at first.
    Cache,
    /// Written and read within a step.
    Activation,
}

/// Some rows of a tensor of the model file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// The tensor's name.
    pub tensor: String,
    /// The first row and the one past the last.
    pub rows: (u64, u64),
}

/// Fills row `index` of a table.
pub type RowFn = Arc<dyn Fn(usize, &mut [f32]) + Send + Sync>;

impl fmt::Debug for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Role::Weight(_) => "Weight",
            Role::Input => "Input",
            Role::Table(_) => "Table",
            Role::Cache => "Cache",
            Role::Activation => "Activation",
        })
    }
}

/// A named tensor in memory, row-major.
#[derive(Clone, Debug)]
pub struct Buffer {
    /// Its name; a weight's is that of its tensor, with the rows where it is a part.
    pub name: String,
    /// Where its bytes come from.
    pub role: Role,
    /// Bytes of an element: a number, or a block of a quantized format.
    pub elem_bytes: usize,
    /// Extents in elements; only the first may differ from step to step.
    pub shape: Vec<Size>,
}

impl Buffer {
    /// Bytes of a part of the first extent 1; `None` where that overflows.
    pub fn row_bytes(&self, step: &Step) -> Option<usize> {
        self.shape[1..].iter().try_fold(self.elem_bytes, |bytes, &size| bytes.checked_mul(step.get(size)))
    }

    /// What a weight is in the model file; `None` where it is not there.
    pub fn tensor<'m>(&self, model: &'m Gguf) -> Option<Tensor<'m>> {
        match &self.role {
            Role::Weight(Some(part)) => model.tensor(&part.tensor)?.part(part.rows),
            _ => model.tensor(&self.name),
        }
    }

    /// All its bytes in this step; `None` where that overflows.
    pub fn bytes(&self, step: &Step) -> Option<usize> {
        self.row_bytes(step)?.checked_mul(step.get(self.shape[0]))
    }

    /// The bytes that a step can change: of a cache, the chunks of the step's positions; else all. Empty where sizes overflow.
    pub fn changed(&self, step: &Step) -> Range<usize> {
        let (row, all) = (self.row_bytes(step).unwrap_or(0), self.bytes(step).unwrap_or(0));
        match self.role {
            Role::Cache => {
                let end = (step.position + step.tokens).div_ceil(CHUNK);
                (step.position / CHUNK * row).min(all)..(end * row).min(all)
            }
            _ => 0..all,
        }
    }
}

/// Index of a buffer in its plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct BufferId(pub usize);

/// A buffer given to a stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arg {
    /// Which.
    pub buffer: BufferId,
    /// Only its last [`Size::Outputs`] rows.
    pub outputs_only: bool,
}

/// A call of a kernel; what it reads and writes follows from the kernel. Parameters are given by name. A stage with a
/// dim of 0 has nothing to do in that step.
#[derive(Clone, Debug)]
pub struct Stage {
    /// What it computes, as `blk.3.attn_q`.
    pub name: String,
    /// Name of the kernel.
    pub kernel: String,
    /// Integer parameters.
    pub ints: Vec<(&'static str, Size)>,
    /// Float parameters.
    pub floats: Vec<(&'static str, f32)>,
    /// Buffers.
    pub args: Vec<(&'static str, Arg)>,
}

/// The forward pass of a model.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// Everything that stages read and write.
    pub buffers: Vec<Buffer>,
    /// In the order in which they are run.
    pub stages: Vec<Stage>,
}

/// The buffer of the logits of all outputs: f32 `[Outputs, vocabulary]`.
pub const LOGITS: &str = "logits";
/// The buffer of the largest logit's token of all outputs: i32 `[Outputs]`. It is that of a NaN where there is one.
pub const BEST: &str = "best";

impl Plan {
    /// The buffer of this name.
    pub fn find(&self, name: &str) -> Option<BufferId> {
        self.buffers.iter().position(|b| b.name == name).map(BufferId)
    }

    /// A buffer of this plan.
    pub fn buffer(&self, id: BufferId) -> &Buffer {
        &self.buffers[id.0]
    }
}

#[cfg(test)]
mod tests;
