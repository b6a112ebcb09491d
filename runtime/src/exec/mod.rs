//! Executors run a plan on a device; a session feeds one with tokens. Neither knows what a transformer is.
mod buffers;
pub mod cpu;
pub mod cuda;
mod depth;
mod fault;
mod figures;
mod session;
mod step;
mod weights;

pub use depth::fill_to_depth;
pub use fault::{Fault, Planted};
pub use figures::{Footprint, ReadRate};
pub use session::Session;

use crate::plan::{BufferId, Placements, Plan, PlanSchedule, Step};
use kernels_gen::LaunchError;
use std::ops::Range;

/// Runs the steps of a plan and keeps the KV cache.
pub trait Executor {
    /// The largest step, and the chunks of the KV cache.
    fn limits(&self) -> Step;

    /// Feeds `tokens` at `position` and computes the logits of the last `outputs` of them.
    fn step(&mut self, tokens: &[i32], position: usize, outputs: usize) -> Result<(), ExecError>;

    /// What decides which bits it computes, besides plan and model: the device, its driver, and its code.
    fn identity(&self) -> Result<String, ExecError>;

    /// The logits of the last step: f32 `[outputs, vocabulary]`.
    fn logits(&self) -> &[f32];

    /// The token with the largest logit, for each output of the last step; where a logit is NaN, that one.
    fn best(&self) -> &[i32];

    /// Bytes of a buffer of the plan as they are now; `part` lies inside of what the buffer has in the last step.
    fn read(&self, buffer: BufferId, part: Range<usize>) -> Result<Vec<u8>, ExecError>;

    /// Replaces bytes of a buffer from `at` on, where the executor has memory of its own for it: a cache, as a rule.
    fn write(&mut self, buffer: BufferId, at: usize, bytes: &[u8]) -> Result<(), ExecError>;

    /// Takes other placements of `plan`, the one that it was made for, and says which; an executor is made with
    /// [`PlanSchedule::ALL`]. Weights and KV cache stay as they are.
    fn reschedule(&mut self, plan: &Plan, schedule: PlanSchedule) -> Result<Placements, ExecError>;

    /// A step by hand, to look at what its stages leave behind: checks it and hands over the tokens. [`Self::stage`] with
    /// every stage's number, in order, then computes what [`Self::step`] does; [`Self::logits`] and [`Self::best`] mean
    /// nothing until the next [`Self::step`].
    fn begin(&mut self, tokens: &[i32], position: usize, outputs: usize) -> Result<(), ExecError>;

    /// Runs the stage of this number in the plan, of which there must be as many, and waits until it is done. Where
    /// [`Self::step`] does a stage and the next one in one launch, so does this, and the next one is done already.
    fn stage(&mut self, number: usize) -> Result<(), ExecError>;

    /// The kernel that each stage has launched in the last step. None for a stage that had nothing to do; of several stages in
    /// one launch, one has its name, and the others none.
    fn launched(&self) -> Vec<Option<&'static str>>;

    /// Whether a stage has left what it computes in memory in the last step, where it had something to do: it need not, where
    /// only a later stage reads it, in the same launch.
    fn leaves(&self, _stage: usize) -> bool {
        true
    }

    /// How fast the device reads its memory now, with the threads that run the steps. Takes 1 GiB of it for a while; a CPU keeps
    /// that for the next time.
    fn read_rate(&mut self) -> Result<ReadRate, ExecError>;

    /// The memory that it has taken, before [`Self::read_rate`] took any; none where the system does not tell.
    fn footprint(&self) -> Option<Footprint>;

    /// Damages this executor from now on, so that a check can be seen to fire.
    fn plant(&mut self, fault: Planted) -> Result<(), ExecError>;
}

/// Is told of the weights that an executor copies or packs when it is made: how many more bytes of the file are done, and how
/// many there are in all; at first of none that are done.
pub type Loading<'l> = &'l dyn Fn(usize, usize);

/// Why the forward pass failed.
#[derive(Debug, thiserror::Error)]
pub enum ExecError {
    /// No memory for a buffer.
    #[error(
        "no memory for {buffer}: {bytes} bytes\n  help: ask for fewer tokens (--max-tokens) or feed fewer at a time"
    )]
    Memory {
        /// Name of the buffer.
        buffer: String,
        /// How much it takes.
        bytes: String,
    },
    /// The KV cache has no room for the tokens.
    #[error("{tokens} tokens at position {position} do not fit into a context of {capacity} positions")]
    ContextFull {
        /// Tokens to feed.
        tokens: usize,
        /// Position of the first.
        position: usize,
        /// Positions that there are.
        capacity: usize,
    },
    /// A step that is empty or larger than the executor was made for.
    #[error(
        "a step of {tokens} tokens with {outputs} outputs; at most {most_tokens} with {most_outputs} were planned for"
    )]
    StepSize {
        /// Tokens to feed.
        tokens: usize,
        /// Outputs among them.
        outputs: usize,
        /// Most tokens.
        most_tokens: usize,
        /// Most outputs.
        most_outputs: usize,
    },
    /// A token that is not in the vocabulary, or a buffer that does not fit a kernel.
    #[error("stage {stage}: {source}")]
    Launch {
        /// Name of the stage.
        stage: String,
        /// What does not fit.
        source: LaunchError,
    },
    /// A kernel panicked.
    #[error("stage {stage}: {source}")]
    Panicked {
        /// Name of the stage.
        stage: String,
        /// Which thread, and what it said.
        source: cpu::Panicked,
    },
    /// The GPU cannot serve, or failed.
    #[error(transparent)]
    Cuda(#[from] cuda::CudaError),
    /// The logits are not numbers.
    #[error(
        "the logits at position {position} are NaN: the model's weights are damaged, or its activations overflow\n  \
         help: apr inspect --check FILE finds damaged weights"
    )]
    NotANumber {
        /// Position of the token.
        position: usize,
    },
    /// A table of the model file is not what the plan takes.
    #[error("{buffer} has {given} bytes, the plan takes {expected}")]
    WeightSize {
        /// Name of the tensor.
        buffer: String,
        /// Bytes in the file.
        given: usize,
        /// Bytes by the plan.
        expected: String,
    },
    /// A buffer that is read where it lies in the model file.
    #[error("{buffer} cannot be written: it is a part of the model file")]
    Constant {
        /// Name of the buffer.
        buffer: String,
    },
    /// Kernels that read the same weight want it in different layouts.
    #[error("stage {stage} wants {buffer} in another layout than a stage before it, or it is no weight")]
    Layout {
        /// Name of the stage.
        stage: String,
        /// Name of the buffer.
        buffer: String,
    },
    /// No memory to measure how fast it is read.
    #[error("no memory to measure how fast it is read ({bytes} bytes): {source}\n  help: end other programs")]
    ReadBuffer {
        /// How much was asked for.
        bytes: usize,
        /// What the system says.
        source: std::io::Error,
    },
    /// Threads could not be started.
    #[error(
        "cannot start {threads} threads: {source}\n  help: allow more (ulimit -u), or ask for fewer (--threads) where these are the CPU's"
    )]
    Threads {
        /// How many.
        threads: usize,
        /// What the system says.
        source: std::io::Error,
    },
    /// A plan without one of the buffers that every plan has.
    #[error("the plan has no buffer `{0}`")]
    NoBuffer(&'static str),
}
