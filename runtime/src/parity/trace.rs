//! What a reference leaves behind after each step, kept as hashes: an executor under test is compared with it again and again,
//! and the reference computes once.
use crate::{
    exec::{ExecError, Executor, fill_to_depth},
    plan::{BufferId, CHUNK, Plan, Role, Step},
};
use sha2::{Digest, Sha256};

/// The steps of a check, and what the reference has left behind after each.
#[derive(Clone, Debug, Default)]
pub struct Trace {
    /// Position of the first token: the caches were filled up to it by [`fill_to_depth`].
    start: usize,
    /// Chunks of the KV cache that are compared.
    chunks: usize,
    /// The whole prefill, then each decode step.
    steps: Vec<Left>,
    /// The hash of the whole KV cache in the end; none before.
    cache: Option<Hash>,
}

#[derive(Clone, Debug)]
struct Left {
    tokens: Vec<i32>,
    hash: Hash,
}

type Hash = [u8; 32];

impl Trace {
    /// Begins anew, with caches of so many chunks.
    pub(super) fn begin(&mut self, start: usize, chunks: usize) {
        *self = Trace { start, chunks, ..Trace::default() };
    }

    /// Adds what an executor has just computed: tokens that follow those before, the last of which had logits.
    pub(super) fn add(&mut self, plan: &Plan, executor: &dyn Executor, tokens: &[i32]) -> Result<(), ExecError> {
        let hash = left(plan, executor, &self.step(self.end(), tokens.len()))?;
        self.steps.push(Left { tokens: tokens.to_vec(), hash });
        Ok(())
    }

    /// Adds what the executor has in its KV cache in the end.
    pub(super) fn finish(&mut self, plan: &Plan, executor: &dyn Executor) -> Result<(), ExecError> {
        self.cache = Some(caches(plan, executor, &self.whole())?);
        Ok(())
    }

    /// Whether it has all steps: a check that has failed on the way leaves some out.
    pub fn is_complete(&self) -> bool {
        self.cache.is_some()
    }

    /// Feeds an executor the same from a cache as it was at the start, at most `cut` tokens at a time: the number of the first
    /// step after which its logits, its best token or its KV cache differ, 0 being the prefill. What was written where no step
    /// should have written counts as a step after the last.
    pub fn first_difference(
        &self,
        plan: &Plan,
        tested: &mut dyn Executor,
        cut: usize,
    ) -> Result<Option<usize>, ExecError> {
        fill_to_depth(tested, plan, self.start)?;
        let mut position = self.start;
        for (number, Left { tokens, hash }) in self.steps.iter().enumerate() {
            let step = self.step(position, tokens.len());
            for part in tokens.chunks(cut.max(1)) {
                let last = position + part.len() == step.position + tokens.len();
                tested.step(part, position, usize::from(last))?;
                position += part.len();
            }
            if left(plan, tested, &step)? != *hash {
                return Ok(Some(number));
            }
        }
        let equal = self.cache == Some(caches(plan, tested, &self.whole())?);
        Ok((!equal).then_some(self.steps.len()))
    }

    fn end(&self) -> usize {
        self.start + self.steps.iter().map(|left| left.tokens.len()).sum::<usize>()
    }

    fn step(&self, position: usize, tokens: usize) -> Step {
        Step { tokens, outputs: 1, position, chunks: self.chunks }
    }

    fn whole(&self) -> Step {
        self.step(0, self.chunks * CHUNK)
    }
}

/// The hash of the logits, the best token, and all bytes of the KV cache that the step can have changed.
fn left(plan: &Plan, executor: &dyn Executor, step: &Step) -> Result<Hash, ExecError> {
    let mut hash = Sha256::new();
    executor.logits().iter().for_each(|logit| hash.update(logit.to_bits().to_le_bytes()));
    executor.best().iter().for_each(|best| hash.update(best.to_le_bytes()));
    hash.update(caches(plan, executor, step)?);
    Ok(hash.finalize().into())
}

fn caches(plan: &Plan, executor: &dyn Executor, step: &Step) -> Result<Hash, ExecError> {
    let mut hash = Sha256::new();
    for (id, buffer) in plan.buffers.iter().enumerate().filter(|(_, buffer)| matches!(buffer.role, Role::Cache)) {
        hash.update(executor.read(BufferId(id), buffer.changed(step))?);
    }
    Ok(hash.finalize().into())
}
