//! A sequence of tokens on an executor: prefill in chunks, decode one at a time, same bits either way.
use super::{ExecError, Executor};
use crate::plan::{Size, Step};

/// A sequence in the making.
pub struct Session<'m> {
    executor: Box<dyn Executor + 'm>,
    position: usize,
}

impl<'m> Session<'m> {
    /// An empty sequence.
    pub fn new(executor: Box<dyn Executor + 'm>) -> Self {
        Session { executor, position: 0 }
    }

    /// Tokens fed so far: the position of the next one.
    pub fn position(&self) -> usize {
        self.position
    }

    /// What runs the steps. Steps that are run by hand do not move the position.
    pub fn executor(&mut self) -> &mut (dyn Executor + 'm) {
        self.executor.as_mut()
    }

    /// Positions that there is room for.
    pub fn capacity(&self) -> usize {
        self.executor.limits().get(Size::Capacity)
    }

    /// Begins anew at a position that there is room for: whatever the KV cache holds counts as the tokens before it.
    pub fn restart(&mut self, position: usize) {
        self.position = position;
    }

    /// Feeds tokens (at least 1), as many at a time as the executor takes, and gives the logits of the last one.
    pub fn prefill(&mut self, tokens: &[u32]) -> Result<&[f32], ExecError> {
        self.check_room(tokens.len())?;
        let chunk = self.executor.limits().tokens;
        let last = (tokens.len() - 1) / chunk;
        for (i, chunk) in tokens.chunks(chunk).enumerate() {
            self.step(chunk, usize::from(i == last))?;
        }
        Ok(self.executor.logits())
    }

    /// Feeds one token and gives its logits.
    pub fn decode(&mut self, token: u32) -> Result<&[f32], ExecError> {
        self.prefill(&[token])
    }

    /// The token with the largest logit after the last one that was fed.
    pub fn best(&self) -> Option<u32> {
        self.executor.best().last().and_then(|&token| u32::try_from(token).ok())
    }

    /// Feeds tokens and hands out the logits of all of them, `[tokens of a chunk, vocabulary]` at a time.
    pub fn prefill_all<E: From<ExecError>>(
        &mut self,
        tokens: &[u32],
        mut logits: impl FnMut(&[f32]) -> Result<(), E>,
    ) -> Result<(), E> {
        self.check_room(tokens.len())?;
        for chunk in tokens.chunks(self.executor.limits().tokens) {
            self.step(chunk, chunk.len())?;
            logits(self.executor.logits())?;
        }
        Ok(())
    }

    fn check_room(&self, tokens: usize) -> Result<(), ExecError> {
        let (position, capacity) = (self.position, self.capacity());
        if tokens == 0 {
            let Step { tokens: most_tokens, outputs: most_outputs, .. } = self.executor.limits();
            return Err(ExecError::StepSize { tokens, outputs: 0, most_tokens, most_outputs });
        }
        if tokens > capacity.saturating_sub(position) {
            return Err(ExecError::ContextFull { tokens, position, capacity });
        }
        Ok(())
    }

    fn step(&mut self, tokens: &[u32], outputs: usize) -> Result<(), ExecError> {
        // A token beyond i32 is beyond every vocabulary, as -1 is, and refused as such.
        let ids: Vec<i32> = tokens.iter().map(|&t| i32::try_from(t).unwrap_or(-1)).collect();
        self.executor.step(&ids, self.position, outputs)?;
        let best = self.executor.best();
        let logits = self.executor.logits();
        let vocab = logits.len() / best.len().max(1);
        let is_nan = |row: usize| logits[row * vocab + best[row] as usize].is_nan();
        if let Some(row) = (0..best.len()).find(|&row| is_nan(row)) {
            return Err(ExecError::NotANumber { position: self.position + tokens.len() - outputs + row });
        }
        self.position += tokens.len();
        Ok(())
    }
}
