//! The measurements: the same steps that answer a prompt, timed.
use crate::{
    Error,
    exec::{ReadRate, Session},
};
use std::time::Instant;

/// One time that counts, and what was measured right before and right after it.
pub struct Repetition<M> {
    pub seconds: f64,
    pub around: [M; 2],
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
    pub fn prefill(&mut self, tokens: usize, repetitions: usize) -> Result<Vec<Repetition<()>>, Error> {
        let prompt = self.tokens(tokens);
        let feed = |session: &mut Session| session.prefill(&prompt).map(|_| ()).map_err(Error::from);
        self.repeat("prefill", tokens, repetitions, feed, |_| Ok(()))
    }

    /// Feeds one token after the other, each the most likely one after those before; around it, measures the memory's rate.
    pub fn decode(&mut self, tokens: usize, repetitions: usize) -> Result<Vec<Repetition<ReadRate>>, Error> {
        let feed = |session: &mut Session| {
            let mut token = 0;
            for _ in 0..tokens {
                session.decode(token)?;
                token = session.best().unwrap_or(0);
            }
            Ok(())
        };
        self.repeat("decode", tokens, repetitions, feed, |session| Ok(session.executor().read_rate()?))
    }

    /// Times `work` on a cache that holds `depth` tokens, and says so on standard error. The first time does not count, and
    /// nothing is measured around it.
    fn repeat<M>(
        &mut self,
        name: &str,
        tokens: usize,
        repetitions: usize,
        work: impl Fn(&mut Session) -> Result<(), Error>,
        around: impl Fn(&mut Session) -> Result<M, Error>,
    ) -> Result<Vec<Repetition<M>>, Error> {
        let time = |session: &mut Session, which: &str| -> Result<f64, Error> {
            let start = Instant::now();
            work(session)?;
            let seconds = start.elapsed().as_secs_f64();
            eprintln!("{name} {tokens}: {:.2} tokens/s, {which}", tokens as f64 / seconds);
            Ok(seconds)
        };
        self.fill()?;
        time(self.session, "not counted")?;
        let counted = (1..=repetitions).map(|repetition| {
            self.fill()?;
            let before = around(self.session)?;
            let seconds = time(self.session, &format!("{repetition} of {repetitions}"))?;
            Ok(Repetition { seconds, around: [before, around(self.session)?] })
        });
        counted.collect()
    }

    /// Empties the KV cache, and fills it up to `depth`.
    pub fn fill(&mut self) -> Result<(), Error> {
        self.session.reset();
        let before = self.tokens(self.depth);
        if !before.is_empty() {
            self.session.prefill(&before)?;
        }
        Ok(())
    }

    /// Ids that differ from each other, so that no row of the embedding is read twice in a row.
    pub fn tokens(&self, count: usize) -> Vec<u32> {
        (0..count).map(|i| (i * 7919 % self.vocab) as u32).collect()
    }
}
