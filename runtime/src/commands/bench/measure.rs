//! The measurements: the same steps that answer a prompt, timed.
use crate::{Error, exec::Session};
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
        let feed = |session: &mut Session| session.prefill(&prompt).map(|_| ()).map_err(Error::from);
        self.repeat("prefill", tokens, repetitions, feed)
    }

    /// Feeds one token after the other, each the most likely one after those before.
    pub fn decode(&mut self, tokens: usize, repetitions: usize) -> Result<Times, Error> {
        self.repeat("decode", tokens, repetitions, |session| {
            let mut token = 0;
            for _ in 0..tokens {
                session.decode(token)?;
                token = session.best().unwrap_or(0);
            }
            Ok(())
        })
    }

    /// Times `work` on a cache that holds `depth` tokens, and says so on standard error; the first time does not count.
    fn repeat(
        &mut self,
        name: &str,
        tokens: usize,
        repetitions: usize,
        mut work: impl FnMut(&mut Session) -> Result<(), Error>,
    ) -> Result<Times, Error> {
        let mut times = Vec::new();
        for repetition in 0..=repetitions {
            self.fill()?;
            let start = Instant::now();
            work(self.session)?;
            let seconds = start.elapsed().as_secs_f64();
            let speed = tokens as f64 / seconds;
            if repetition == 0 {
                eprintln!("{name} {tokens}: {speed:.2} tokens/s, not counted");
            } else {
                eprintln!("{name} {tokens}: {speed:.2} tokens/s, {repetition} of {repetitions}");
                times.push(seconds);
            }
        }
        times.sort_by(f64::total_cmp);
        Ok(Times(times))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_and_extremes() {
        let times = Times(vec![1.0, 2.0, 4.0, 9.0]);
        assert_eq!((times.fastest(), times.median(), times.slowest()), (1.0, 3.0, 9.0));
        assert_eq!(Times(vec![5.0]).median(), 5.0);
    }
}
