//! What was measured. Its JSON is described in docs/bench.md.
use super::{bytes::TokenBytes, ids::Ids, measure::Repetition, spread::Spread, stages::StageTime};
use crate::exec;
use serde::Serialize;

/// A GB, as rates count it.
const GB: f64 = 1e9;

/// All figures of a measurement.
#[derive(Debug, Serialize)]
pub struct Report {
    pub model: String,
    pub model_bytes: u64,
    pub device: String,
    /// Threads of the CPU; none on a GPU.
    pub threads: Option<usize>,
    /// Tokens in the KV cache before each measurement.
    pub depth: usize,
    pub repetitions: u32,
    /// Most tokens of a prompt that are fed at a time.
    pub chunk: u32,
    /// Seconds from opening the file until the device is ready.
    pub load: f64,
    #[serde(flatten)]
    pub figures: Figures,
    pub ids: Ids,
}

/// What is measured once the model is loaded.
#[derive(Debug, Serialize)]
pub struct Figures {
    pub prefill: Option<Speed>,
    pub decode: Option<Speed>,
    pub read_rate: ReadRate,
    pub memory: Option<Memory>,
    pub stages: Option<Stages>,
}

/// The speed of a prompt or of an answer.
#[derive(Debug, Serialize)]
pub struct Speed {
    pub tokens: usize,
    /// Tokens a second: the median, the slowest and the fastest of all repetitions.
    pub median: f64,
    pub min: f64,
    pub max: f64,
    #[serde(flatten)]
    pub traffic: Traffic,
}

/// What a token of an answer takes from memory; nothing of a prompt, whose tokens share the weights.
#[derive(Debug, Default, Serialize)]
pub struct Traffic {
    /// Weights and KV cache.
    pub bytes_a_token: Option<u64>,
    pub weight_bytes: Option<u64>,
    pub cache_bytes: Option<u64>,
    /// At the median speed.
    pub gb_a_second: Option<f64>,
    /// 1 is as fast as memory was read right before and right after: the median, the lowest and the highest of all repetitions.
    pub of_read_rate: Option<f64>,
    pub of_read_rate_min: Option<f64>,
    pub of_read_rate_max: Option<f64>,
}

/// How fast the device reads its memory.
#[derive(Debug, Serialize)]
pub struct ReadRate {
    /// The median, the lowest and the highest of all measurements.
    pub gb_a_second: f64,
    pub gb_a_second_min: f64,
    pub gb_a_second_max: f64,
    /// What was the fastest.
    pub way: &'static str,
}

/// The memory that was taken.
#[derive(Debug, Serialize)]
pub struct Memory {
    pub bytes: u64,
    /// What was counted.
    pub what: &'static str,
}

/// How long each kind of stage takes, each stage waited for by itself.
#[derive(Debug, Serialize)]
pub struct Stages {
    /// Of a whole prompt.
    pub prefill: Vec<StageTime>,
    /// Of a token of an answer.
    pub decode: Vec<StageTime>,
}

impl Speed {
    /// Of a prompt.
    pub fn prefill<M>(tokens: usize, repetitions: &[Repetition<M>]) -> Speed {
        let times = Spread::of(repetitions.iter().map(|repetition| repetition.seconds));
        let speed = |seconds: f64| tokens as f64 / seconds;
        let (median, min, max) = (speed(times.median()), speed(times.max()), speed(times.min()));
        Speed { tokens, median, min, max, traffic: Traffic::default() }
    }

    /// Of an answer whose tokens read this much.
    pub fn decode(tokens: usize, repetitions: &[Repetition<exec::ReadRate>], bytes: TokenBytes) -> Speed {
        let speed = Speed::prefill(tokens, repetitions);
        let parts = of_read_rate(repetitions, tokens as f64 * bytes.total() as f64);
        let traffic = Traffic {
            bytes_a_token: Some(bytes.total()),
            weight_bytes: Some(bytes.weights),
            cache_bytes: Some(bytes.cache),
            gb_a_second: Some(bytes.total() as f64 * speed.median / GB),
            of_read_rate: Some(parts.median()),
            of_read_rate_min: Some(parts.min()),
            of_read_rate_max: Some(parts.max()),
        };
        Speed { traffic, ..speed }
    }
}

/// The part of the memory's rate that each repetition used, which read this much: the rate drifts where others use the memory,
/// too, so each is compared with the mean of what was measured around it, not with that of the whole run.
fn of_read_rate(repetitions: &[Repetition<exec::ReadRate>], bytes: f64) -> Spread {
    Spread::of(repetitions.iter().map(|Repetition { seconds, around: [before, after], .. }| {
        let rate = (before.bytes_a_second + after.bytes_a_second) / 2.0;
        bytes / seconds / rate
    }))
}

impl ReadRate {
    /// Of all measurements, of which there is at least one.
    pub fn of(rates: &[exec::ReadRate]) -> ReadRate {
        let spread = Spread::of(rates.iter().map(|rate| rate.bytes_a_second / GB));
        let fastest = rates.iter().max_by(|a, b| a.bytes_a_second.total_cmp(&b.bytes_a_second));
        ReadRate {
            gb_a_second: spread.median(),
            gb_a_second_min: spread.min(),
            gb_a_second_max: spread.max(),
            way: fastest.map_or("", |rate| rate.way),
        }
    }
}

impl From<exec::Footprint> for Memory {
    fn from(footprint: exec::Footprint) -> Memory {
        Memory { bytes: footprint.bytes, what: footprint.what }
    }
}

impl Report {
    /// What was measured, and what it is called: `decode 128 at 4096`.
    pub fn tests(&self) -> impl Iterator<Item = (String, &'static str, &Speed)> {
        let depth = if self.depth == 0 { String::new() } else { format!(" at {}", self.depth) };
        let all = [("prefill", &self.figures.prefill), ("decode", &self.figures.decode)];
        all.into_iter().filter_map(move |(name, speed)| {
            let speed = speed.as_ref()?;
            Some((format!("{name} {}{depth}", speed.tokens), name, speed))
        })
    }

    /// The stages that were measured: of what, and they.
    pub fn stage_tables(&self) -> impl Iterator<Item = (&'static str, &[StageTime])> {
        let all = self.figures.stages.iter();
        let tables = all.flat_map(|stages| [("prefill", &stages.prefill[..]), ("decode", &stages.decode[..])]);
        tables.filter(|(_, stages)| !stages.is_empty())
    }

    /// The device, with the threads of a CPU.
    pub fn device_and_threads(&self) -> String {
        let s = |n| if n == 1 { "" } else { "s" };
        self.threads.map_or(self.device.clone(), |n| format!("{}, {n} thread{}", self.device, s(n)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn repetition(seconds: f64, before: f64, after: f64) -> Repetition<exec::ReadRate> {
        let rate = |bytes_a_second, way| exec::ReadRate { bytes_a_second, way };
        Repetition { seconds, around: [rate(before, "before"), rate(after, "after")], answer: Vec::new() }
    }

    #[test]
    fn each_repetition_is_compared_with_the_rates_around_it() {
        // The memory gets slower by half, and decode with it.
        let drifting = [repetition(1.0, 200.0, 200.0), repetition(2.0, 100.0, 100.0), repetition(1.25, 180.0, 140.0)];
        let parts = of_read_rate(&drifting, 100.0);
        assert_eq!((parts.min(), parts.median(), parts.max()), (0.5, 0.5, 0.5));
        let parts = of_read_rate(&[repetition(1.0, 150.0, 100.0), repetition(1.0, 400.0, 400.0)], 100.0);
        assert_eq!((parts.min(), parts.median(), parts.max()), (0.25, 0.525, 0.8));
    }

    #[test]
    fn an_answer_reads_its_bytes_with_each_token() {
        let bytes = TokenBytes { weights: 40, cache: 10 };
        let speed = Speed::decode(2, &[repetition(1.0, 200.0, 200.0), repetition(0.25, 400.0, 400.0)], bytes);
        assert_eq!((speed.min, speed.max), (2.0, 8.0));
        assert_eq!((speed.traffic.of_read_rate_min, speed.traffic.of_read_rate_max), (Some(0.5), Some(1.0)));
    }

    #[test]
    fn the_read_rate_is_the_median_with_the_way_of_the_fastest() {
        let rates = [repetition(1.0, 3e9, 5e9), repetition(1.0, 2e9, 2e9)];
        let rate = ReadRate::of(&rates.map(|repetition| repetition.around).concat());
        assert_eq!((rate.gb_a_second_min, rate.gb_a_second, rate.gb_a_second_max), (2.0, 2.5, 5.0));
        assert_eq!(rate.way, "after");
    }
}
