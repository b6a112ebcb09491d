//! The measurements: the same steps that answer a prompt, timed.
use crate::{
    Error,
    exec::Session,
    plan::{CHUNK, Plan, Role, Step},
};
use std::time::Instant;

/// Seconds of each repetition, ascending.
pub struct Times(Vec<f64>);

impl Times {
    /// The middle one; of two the mean.
    pub fn median(&self) -> f64 {
        let n = self.0.len();
        (self.0[(n - 1) / 2] + self.0[n / 2]) / 2.0
    }

    /// The longest time.
    pub fn slowest(&self) -> f64 {
        self.0[self.0.len() - 1]
    }

    /// The shortest time.
    pub fn fastest(&self) -> f64 {
        self.0[0]
    }
}

/// A session to be timed.
pub struct Work<'s, 'm> {
    pub session: &'s mut Session<'m>,
    /// Ids are below this.
    pub vocab: usize,
    /// Tokens in the KV cache before each measurement.
    pub depth: usize,
}

impl Work<'_, '_> {
    /// Feeds a prompt; only its last token gets logits.
    pub fn prefill(&mut self, tokens: usize, repetitions: usize) -> Result<Times, Error> {
        let prompt = self.tokens(tokens);
        self.repeat(repetitions, |session| session.prefill(&prompt).map(|_| ()).map_err(Error::from))
    }

    /// Feeds one token after the other, each the most likely one.
    pub fn decode(&mut self, tokens: usize, repetitions: usize) -> Result<Times, Error> {
        self.repeat(repetitions, |session| {
            let mut token = 0;
            for _ in 0..tokens {
                session.decode(token)?;
                token = session.best().unwrap_or(0);
            }
            Ok(())
        })
    }

    /// Times `work` on a cache that holds `depth` tokens; the first time does not count.
    fn repeat(
        &mut self,
        repetitions: usize,
        mut work: impl FnMut(&mut crate::exec::Session) -> Result<(), Error>,
    ) -> Result<Times, Error> {
        let before = self.tokens(self.depth);
        let mut times = Vec::new();
        for repetition in 0..=repetitions {
            self.session.reset();
            if !before.is_empty() {
                self.session.prefill(&before)?;
            }
            let start = Instant::now();
            work(self.session)?;
            if repetition > 0 {
                times.push(start.elapsed().as_secs_f64());
            }
        }
        times.sort_by(f64::total_cmp);
        Ok(Times(times))
    }

    /// Ids that differ from each other, so that no row of the embedding is read twice in a row.
    fn tokens(&self, count: usize) -> Vec<u32> {
        (0..count).map(|i| (i * 7919 % self.vocab) as u32).collect()
    }
}

/// The bytes that one token reads at this position: the weights of all stages, of an embedding one row, and the keys and values
/// of all positions before.
pub fn bytes_a_token(plan: &Plan, position: usize) -> u64 {
    let step = Step { tokens: 1, outputs: 1, position, chunks: (position + 1).div_ceil(CHUNK) };
    let mut bytes = 0;
    for (id, buffer) in plan.buffers.iter().enumerate() {
        let whole = buffer.bytes(&step).unwrap_or(0);
        bytes += match buffer.role {
            Role::Weight if is_looked_up(plan, id) => buffer.row_bytes(&step).unwrap_or(0),
            Role::Weight => whole,
            Role::Cache => whole / step.chunks / CHUNK * (position + 1),
            _ => 0,
        } as u64;
    }
    bytes
}

/// Whether every stage that takes a weight takes the step's tokens, too: only their rows are read.
fn is_looked_up(plan: &Plan, weight: usize) -> bool {
    let takes = |stage: &&crate::plan::Stage| stage.args.iter().any(|(_, arg)| arg.buffer.0 == weight);
    let is_input = |id: usize| matches!(plan.buffers[id].role, Role::Input);
    plan.stages.iter().filter(takes).all(|stage| stage.args.iter().any(|(_, arg)| is_input(arg.buffer.0)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{Arg, Buffer, BufferId, Size, Stage};

    #[test]
    fn medians_and_extremes() {
        let times = Times(vec![1.0, 2.0, 4.0, 9.0]);
        assert_eq!((times.fastest(), times.median(), times.slowest()), (1.0, 3.0, 9.0));
        assert_eq!(Times(vec![5.0]).median(), 5.0);
    }

    #[test]
    fn a_token_reads_all_weights_one_row_of_the_embedding_and_the_cache() {
        let fixed = Size::Fixed;
        let buffer =
            |role, elem_bytes, shape: &[Size]| Buffer { name: String::new(), role, elem_bytes, shape: shape.to_vec() };
        let buffers = vec![
            buffer(Role::Input, 4, &[Size::Tokens]),
            buffer(Role::Weight, 144, &[fixed(1000), fixed(2)]),
            buffer(Role::Weight, 144, &[fixed(10), fixed(2)]),
            buffer(Role::Cache, 2, &[Size::Chunks, fixed(3), fixed(CHUNK)]),
        ];
        let stage = |args: &[usize]| {
            let args = args.iter().map(|&i| ("", Arg { buffer: BufferId(i), outputs_only: false })).collect();
            Stage { name: String::new(), kernel: String::new(), ints: Vec::new(), floats: Vec::new(), args }
        };
        let mut plan = Plan { buffers, stages: vec![stage(&[0, 1]), stage(&[2, 3])] };
        assert_eq!(bytes_a_token(&plan, 99), 288 + 2880 + 600);
        plan.stages.push(stage(&[1, 3]));
        assert_eq!(bytes_a_token(&plan, 99), 288_000 + 2880 + 600, "a tied embedding is read as the output matrix");
    }
}
