//! What `apr run` says of an answer besides its text.
use crate::{commands::device::Placement, generate::Answer};
use serde_json::{Value, json};
use std::time::Duration;

/// An answer and where it came from.
pub struct Report<'a> {
    /// The answer.
    pub answer: &'a Answer,
    /// The prompt's tokens.
    pub prompt: &'a [u32],
    /// Where it was computed.
    pub placement: &'a Placement,
    /// The seed of the sampling.
    pub seed: u64,
    /// How long opening the model took.
    pub load: Duration,
}

impl Report<'_> {
    /// Everything as one object.
    pub fn json(&self) -> Value {
        let answer = self.answer;
        json!({
            "text": answer.text,
            "tokens": answer.tokens,
            "prompt_tokens": self.prompt,
            "device": self.placement.device(),
            "seed": self.seed,
            "finish_reason": answer.finish.name(),
            "timings": {
                "load_seconds": self.load.as_secs_f64(),
                "prefill_seconds": answer.prefill.as_secs_f64(),
                "prefill_tokens_per_second": rate(self.prompt.len(), answer.prefill),
                "decode_seconds": answer.decode.as_secs_f64(),
                "decode_tokens_per_second": rate(answer.decoded, answer.decode),
            },
        })
    }

    /// The timings for people, one a line.
    pub fn timings(&self) -> String {
        let answer = self.answer;
        let line = |what: &str, tokens: usize, time: Duration| {
            let rate = rate(tokens, time).map_or(String::new(), |rate| format!(", {rate:.1} tokens/s"));
            format!("{what}: {tokens} tokens in {:.3} s{rate}\n", time.as_secs_f64())
        };
        let load = format!("load: {:.3} s\n", self.load.as_secs_f64());
        load + &line("prefill", self.prompt.len(), answer.prefill) + &line("decode", answer.decoded, answer.decode)
    }
}

/// Tokens a second; none where nothing was done.
fn rate(tokens: usize, time: Duration) -> Option<f64> {
    let rate = tokens as f64 / time.as_secs_f64();
    (tokens > 0 && rate.is_finite()).then_some(rate)
}
