//! The gate: the check that a GPU passes before it first serves a model.
use super::{Feed, Report, check};
use crate::{exec::Executor, plan::Plan};
use std::fmt;

/// Tokens of the prompt that are compared at most.
pub const GATE_TOKENS: usize = 64;
/// Decode steps after them.
const STEPS: usize = 4;
/// Keys of the attention case: three chunks of the cache, the last of which is not full.
const KEYS: usize = 130;
/// Positions that both executors must have room for.
pub const GATE_POSITIONS: usize = KEYS;

/// What is fed to both sides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Case {
    /// The beginning of the real prompt, and decode steps after it.
    Prompt,
    /// So many keys that attention merges three chunks, in prefill and in decode.
    Attention,
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Case::Prompt => f.write_str("the prompt"),
            Case::Attention => write!(f, "attention over {KEYS} keys"),
        }
    }
}

/// A case in which the two sides do not agree.
#[derive(Clone, Debug)]
pub struct FailedCase {
    /// Which.
    pub case: Case,
    /// What was found.
    pub report: Report,
}

/// Compares two executors of `plan`, for a model of `vocab` tokens, over all cases. Afterwards they are to be fed from
/// position 0 on. `prompt` has at least 1 token.
pub fn gate(
    plan: &Plan,
    vocab: usize,
    reference: &mut dyn Executor,
    tested: &mut dyn Executor,
    prompt: &[u32],
) -> Result<(), Box<FailedCase>> {
    // Tokens that follow no pattern of the vocabulary.
    let keys: Vec<u32> = (0..KEYS - 1).map(|i| ((i * 7919 + 13) % vocab.max(1)) as u32).collect();
    let prompt = &prompt[..prompt.len().min(GATE_TOKENS)];
    for (case, prompt, steps) in [(Case::Prompt, prompt, STEPS), (Case::Attention, &keys, 1)] {
        let report = check(plan, reference, tested, &Feed::new(prompt, steps), &mut |_| ());
        if !report.equal {
            return Err(Box::new(FailedCase { case, report }));
        }
    }
    Ok(())
}
