//! The measurements: the same steps that answer a prompt, timed.
use crate::{
    Error,
    commands::tokens::without_pattern,
    exec::{ExecError, ReadRate, Session, fill_to_depth},
    plan::Plan,
};
use std::time::Instant;

/// One time that counts, and what was measured right before and right after it.
pub struct Repetition<M> {
    pub seconds: f64,
    pub around: [M; 2],
    /// The tokens of an answer; none of a prompt.
    pub answer: Vec<u32>,
}

/// A session to be timed.
pub struct Work<'s, 'm> {
    pub session: &'s mut Session<'m>,
    pub plan: &'s Plan,
    /// Ids are below this.
    pub vocab: usize,
    /// Tokens in the KV cache before each measurement.
    pub depth: usize,
}

impl Work<'_, '_> {
    /// Feeds a prompt; only its last token gets logits.
    pub fn prefill(&mut self, tokens: usize, repetitions: usize) -> Result<Vec<Repetition<()>>, Error> {
        let prompt = self.tokens(tokens);
        let feed = |session: &mut Session| session.prefill(&prompt).map(|_| Vec::new()).map_err(Error::from);
        self.repeat("prefill", tokens, repetitions, feed, |_| Ok(()))
    }

    /// Feeds one token after the other, each the most likely one after those before; around it, measures the memory's rate.
    pub fn decode(&mut self, tokens: usize, repetitions: usize) -> Result<Vec<Repetition<ReadRate>>, Error> {
        let feed = |session: &mut Session| answer(session, tokens);
        self.repeat("decode", tokens, repetitions, feed, |session| Ok(session.executor().read_rate()?))
    }

    /// Times `work` on a cache that holds `depth` tokens, and says so on standard error. The first time does not count, and
    /// nothing is measured around it.
    fn repeat<M>(
        &mut self,
        name: &str,
        tokens: usize,
        repetitions: usize,
        work: impl Fn(&mut Session) -> Result<Vec<u32>, Error>,
        around: impl Fn(&mut Session) -> Result<M, Error>,
    ) -> Result<Vec<Repetition<M>>, Error> {
        let time = |session: &mut Session, which: &str| -> Result<(f64, Vec<u32>), Error> {
            let start = Instant::now();
            let answer = work(session)?;
            let seconds = start.elapsed().as_secs_f64();
            eprintln!("{name} {tokens}: {:.2} tokens/s, {which}", tokens as f64 / seconds);
            Ok((seconds, answer))
        };
        self.fill()?;
        time(self.session, "not counted")?;
        let counted = (1..=repetitions).map(|repetition| {
            self.fill()?;
            let before = around(self.session)?;
            let (seconds, answer) = time(self.session, &format!("{repetition} of {repetitions}"))?;
            Ok(Repetition { seconds, around: [before, around(self.session)?], answer })
        });
        counted.collect()
    }

    /// Empties the KV cache, and fills it up to `depth`.
    pub fn fill(&mut self) -> Result<(), Error> {
        Ok(begin(self.session, self.plan, self.depth)?)
    }

    /// What is fed as a prompt.
    pub fn tokens(&self, count: usize) -> Vec<u32> {
        without_pattern(count, self.vocab)
    }
}

/// Begins a sequence at a depth.
pub fn begin(session: &mut Session, plan: &Plan, depth: usize) -> Result<(), ExecError> {
    fill_to_depth(session.executor(), plan, depth)?;
    session.restart(depth);
    Ok(())
}

/// Feeds one token after the other, each the most likely one after those before, of which the first is token 0; all but that one.
pub fn answer(session: &mut Session, tokens: usize) -> Result<Vec<u32>, Error> {
    let mut all = vec![0];
    for number in 0..tokens {
        session.decode(all[number])?;
        all.push(session.best().unwrap_or(0));
    }
    Ok(all.split_off(1))
}
