//! The choice of the next token: repeat penalty, top-k, top-p, min-p, temperature; greedy when the temperature is 0.
//!
//! All arithmetic is float64 in a fixed order through [`crate::math`], so that a seed means the same text on every
//! host. The order of the steps is llama.cpp's: penalty, top-k, top-p, min-p, temperature.

use super::rng::uniform;
use crate::math::exp;

/// How many of the last tokens the repeat penalty looks at.
pub const REPEAT_WINDOW: usize = 64;

/// The settings of a [`Sampler`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sampling {
    /// Divides the logits before the softmax; 0 takes the largest logit.
    pub temperature: f64,
    /// Keeps this many of the most likely tokens; 0 keeps all.
    pub top_k: usize,
    /// Keeps the most likely tokens until their probabilities add up to this; 1 keeps all.
    pub top_p: f64,
    /// Drops tokens less likely than this times the most likely one; 0 drops none.
    pub min_p: f64,
    /// Divides positive and multiplies other logits of the last [`REPEAT_WINDOW`] tokens; 1 leaves them.
    pub repeat_penalty: f64,
    /// Which of the random streams is drawn from.
    pub seed: u64,
}

impl Default for Sampling {
    /// Greedy, with no penalty.
    fn default() -> Self {
        Self { temperature: 0.0, top_k: 0, top_p: 1.0, min_p: 0.0, repeat_penalty: 1.0, seed: 0 }
    }
}

/// Why no token can be chosen.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum SampleError {
    /// A setting is outside its range.
    #[error("{name} is {value}, but must be {range}")]
    Setting {
        /// The setting.
        name: &'static str,
        /// The value it was given.
        value: f64,
        /// What it may be, in words.
        range: &'static str,
    },
    /// A logit is NaN.
    #[error(
        "the logit of token {token} is not a number: the weights are damaged, or an activation left the range of f32"
    )]
    NotANumber {
        /// The first token whose logit is NaN.
        token: u32,
    },
    /// The largest logit is infinite, or there are none, so that there are no probabilities.
    #[error("the largest of {count} logits is {value}, so that no token can be chosen")]
    NoChoice {
        /// How many logits there are.
        count: usize,
        /// The largest of them.
        value: f64,
    },
}

/// A token that may be chosen, and its penalised logit.
#[derive(Clone, Copy)]
struct Candidate {
    token: u32,
    logit: f64,
}

/// Chooses tokens; the n-th choice of a seed depends on its logits and n alone.
#[derive(Clone, Debug)]
pub struct Sampler {
    settings: Sampling,
    draws: u64,
}

impl Sampler {
    /// A sampler with checked settings.
    ///
    /// # Errors
    /// A setting outside its range, by name.
    pub fn new(settings: Sampling) -> Result<Self, SampleError> {
        let s = &settings;
        let check = |name, value: f64, good: bool, range| {
            if good { Ok(()) } else { Err(SampleError::Setting { name, value, range }) }
        };
        check("the temperature", s.temperature, s.temperature.is_finite() && s.temperature >= 0.0, "0 or more")?;
        check("top-p", s.top_p, s.top_p > 0.0 && s.top_p <= 1.0, "above 0 and at most 1")?;
        check("min-p", s.min_p, (0.0..=1.0).contains(&s.min_p), "from 0 to 1")?;
        let penalty = s.repeat_penalty;
        check("the repeat penalty", penalty, penalty.is_finite() && penalty > 0.0, "above 0")?;
        Ok(Self { settings, draws: 0 })
    }

    /// The next token for `logits` (one a token of the vocabulary) after the tokens `recent`, prompt and answer alike,
    /// of which the last [`REPEAT_WINDOW`] count.
    ///
    /// # Errors
    /// A logit that is NaN; no finite largest logit.
    pub fn sample(&mut self, logits: &[f32], recent: &[u32]) -> Result<u32, SampleError> {
        let mut candidates = self.penalised(logits, recent)?;
        let best = candidates.iter().copied().min_by(order);
        let Some(best) = best.filter(|b| b.logit.is_finite()) else {
            let value = best.map_or(f64::NEG_INFINITY, |b| b.logit);
            return Err(SampleError::NoChoice { count: logits.len(), value });
        };
        if self.settings.temperature == 0.0 {
            return Ok(best.token);
        }
        let draw = uniform(self.settings.seed, self.draws);
        self.draws += 1;
        keep_top_k(&mut candidates, self.settings.top_k);
        keep_top_p(&mut candidates, self.settings.top_p);
        candidates.retain(|c| exp(c.logit - best.logit) >= self.settings.min_p);
        let weights = weights(&candidates, self.settings.temperature);
        Ok(candidates[pick(&weights, draw)].token)
    }

    fn penalised(&self, logits: &[f32], recent: &[u32]) -> Result<Vec<Candidate>, SampleError> {
        if let Some(token) = logits.iter().position(|l| l.is_nan()) {
            return Err(SampleError::NotANumber { token: token as u32 });
        }
        let candidate = |(token, &logit): (usize, &f32)| Candidate { token: token as u32, logit: f64::from(logit) };
        let mut candidates: Vec<_> = logits.iter().enumerate().map(candidate).collect();
        let mut window = recent[recent.len().saturating_sub(REPEAT_WINDOW)..].to_vec();
        window.sort_unstable();
        window.dedup();
        let penalty = self.settings.repeat_penalty;
        for token in window {
            if let Some(c) = candidates.get_mut(token as usize) {
                c.logit = if c.logit > 0.0 { c.logit / penalty } else { c.logit * penalty };
            }
        }
        Ok(candidates)
    }
}

/// Larger logits first, and of equal ones (0 and -0 are equal) the lower token: a total order without NaN.
fn order(a: &Candidate, b: &Candidate) -> std::cmp::Ordering {
    // Adding 0 turns -0 into 0.
    (b.logit + 0.0).total_cmp(&(a.logit + 0.0)).then(a.token.cmp(&b.token))
}

/// Sorts, and keeps the first `k`.
fn keep_top_k(candidates: &mut Vec<Candidate>, k: usize) {
    if k > 0 && k < candidates.len() {
        candidates.select_nth_unstable_by(k - 1, order);
        candidates.truncate(k);
    }
    candidates.sort_unstable_by(order);
}

/// Keeps the shortest run of sorted candidates whose share is at least `p`.
fn keep_top_p(candidates: &mut Vec<Candidate>, p: f64) {
    if p >= 1.0 {
        return;
    }
    let weights = weights(candidates, 1.0);
    let wanted = p * weights.iter().sum::<f64>();
    let mut sum = 0.0;
    let reached = weights.iter().position(|w| {
        sum += w;
        sum >= wanted
    });
    candidates.truncate(reached.map_or(candidates.len(), |last| last + 1));
}

/// Softmax weights of sorted candidates, not normalised: the first is 1.
fn weights(candidates: &[Candidate], temperature: f64) -> Vec<f64> {
    let best = candidates.first().map_or(0.0, |c| c.logit);
    candidates.iter().map(|c| exp((c.logit - best) / temperature)).collect()
}

/// The first index at which the running sum exceeds `draw` times the total.
fn pick(weights: &[f64], draw: f64) -> usize {
    let wanted = draw * weights.iter().sum::<f64>();
    let mut sum = 0.0;
    let found = weights.iter().position(|w| {
        sum += w;
        sum > wanted
    });
    // Rounding may leave the sum at the wanted value: the last candidate with any weight is meant then.
    found.unwrap_or_else(|| weights.iter().rposition(|&w| w > 0.0).unwrap_or(0))
}
