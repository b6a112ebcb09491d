//! How long each kind of stage takes: steps are run by hand, and each stage is waited for. Where several are one launch, kernel
//! and time are with one of them.
use super::measure::Work;
use crate::Error;
use serde::Serialize;
use std::time::Instant;

/// Most decode steps that are measured.
const MOST_STEPS: usize = 32;

/// The kernel of stages that have launched none themselves.
const ELSEWHERE: &str = "(in another launch)";

/// Stages of one name in all layers.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct StageTime {
    /// What they compute: the stage's name without its layer.
    pub op: String,
    /// The kernels that they launched, or [`ELSEWHERE`].
    pub kernel: String,
    /// How many there are.
    pub stages: usize,
    /// Seconds of all of them together: for a whole prompt, or for a token of an answer.
    pub seconds: f64,
    /// Their part of the time of all stages, 1 being all of it.
    pub share: f64,
}

impl Work<'_, '_> {
    /// The stages of a prompt that is fed `chunk` tokens at a time.
    pub fn prefill_stages(&mut self, tokens: usize, chunk: usize) -> Result<Vec<StageTime>, Error> {
        let prompt = self.tokens(tokens);
        let feeds: Vec<&[u32]> = prompt.chunks(chunk).collect();
        self.stages(&feeds, 1.0)
    }

    /// The stages of a token of an answer: the mean of some. What is fed does not depend on what was computed.
    pub fn decode_stages(&mut self, tokens: usize) -> Result<Vec<StageTime>, Error> {
        let answer = self.tokens(tokens.min(MOST_STEPS));
        let feeds: Vec<&[u32]> = answer.chunks(1).collect();
        self.stages(&feeds, answer.len() as f64)
    }

    /// Runs the steps twice and times the second time; seconds are divided by `by`.
    fn stages(&mut self, feeds: &[&[u32]], by: f64) -> Result<Vec<StageTime>, Error> {
        let plan = self.plan;
        let mut seconds = vec![0.0; plan.stages.len()];
        let mut kernels = vec![Vec::new(); plan.stages.len()];
        self.fill()?;
        for counted in [false, true] {
            let mut position = self.depth;
            for (i, feed) in feeds.iter().enumerate() {
                let ids: Vec<i32> = feed.iter().map(|&id| id as i32).collect();
                let executor = self.session.executor();
                executor.begin(&ids, position, usize::from(i + 1 == feeds.len() || feed.len() == 1))?;
                for (number, seconds) in seconds.iter_mut().enumerate() {
                    let start = Instant::now();
                    executor.stage(number)?;
                    if counted {
                        *seconds += start.elapsed().as_secs_f64() / by;
                    }
                }
                kernels.iter_mut().zip(executor.launched()).for_each(|(kernels, kernel)| kernels.extend(kernel));
                position += feed.len();
            }
        }
        let names = plan.stages.iter().map(|stage| stage.name.as_str());
        Ok(by_kind(names.zip(kernels).zip(seconds)))
    }
}

/// Adds up stages that differ in the layer alone, in the order of the first of each: names, kernels of all steps, and seconds.
fn by_kind<'p>(stages: impl Iterator<Item = ((&'p str, Vec<&'p str>), f64)>) -> Vec<StageTime> {
    let mut kinds: Vec<StageTime> = Vec::new();
    let mut launched: Vec<Vec<&str>> = Vec::new();
    for ((name, kernels), seconds) in stages {
        let op = without_layer(name);
        let known = kinds.iter().position(|kind| kind.op == op);
        let kind = known.unwrap_or_else(|| {
            kinds.push(StageTime { op: op.into(), kernel: String::new(), stages: 0, seconds: 0.0, share: 0.0 });
            launched.push(Vec::new());
            kinds.len() - 1
        });
        for kernel in kernels {
            if !launched[kind].contains(&kernel) {
                launched[kind].push(kernel);
            }
        }
        kinds[kind].stages += 1;
        kinds[kind].seconds += seconds;
    }
    let all: f64 = kinds.iter().map(|kind| kind.seconds).sum();
    for (kind, launched) in kinds.iter_mut().zip(launched) {
        kind.kernel = if launched.is_empty() { ELSEWHERE.into() } else { launched.join(" ") };
        kind.share = if all > 0.0 { kind.seconds / all } else { 0.0 };
    }
    kinds
}

/// `ffn_up` of `blk.3.ffn_up`.
fn without_layer(name: &str) -> &str {
    name.strip_prefix("blk.").and_then(|rest| rest.split_once('.')).map_or(name, |(_, op)| op)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_are_added_up_and_mixed_kernels_are_named() {
        let stages = [
            ("embed", vec!["embed_q6k"]),
            ("blk.0.ffn_down", vec!["q6k", "q6k"]),
            ("blk.0.ffn_down.q8k", vec![]),
            ("blk.1.ffn_down", vec!["q4k", "q6k"]),
            ("logits", vec!["q6k"]),
        ];
        let kinds = by_kind(stages.into_iter().zip([1.0, 2.0, 0.0, 3.0, 4.0]));
        let names: Vec<_> = kinds.iter().map(|kind| (kind.op.as_str(), kind.kernel.as_str(), kind.stages)).collect();
        let before = ("ffn_down.q8k", ELSEWHERE, 1);
        assert_eq!(names, [("embed", "embed_q6k", 1), ("ffn_down", "q6k q4k", 2), before, ("logits", "q6k", 1)]);
        assert_eq!((kinds[1].seconds, kinds[1].share), (5.0, 0.5));
    }
}
