//! What was measured. Its JSON is described in docs/bench.md.
use super::{bytes::TokenBytes, measure::Times, stages::StageTime};
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
    /// 1 is as fast as memory was read in the same run.
    pub of_read_rate: Option<f64>,
}

/// How fast the device reads its memory.
#[derive(Debug, Serialize)]
pub struct ReadRate {
    pub gb_a_second: f64,
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
    pub fn prefill(tokens: usize, times: &Times) -> Speed {
        let speed = |seconds: f64| tokens as f64 / seconds;
        let (median, min, max) = (speed(times.median()), speed(times.slowest()), speed(times.fastest()));
        Speed { tokens, median, min, max, traffic: Traffic::default() }
    }

    /// Of an answer whose tokens read this much.
    pub fn decode(tokens: usize, times: &Times, bytes: TokenBytes, rate: &exec::ReadRate) -> Speed {
        let speed = Speed::prefill(tokens, times);
        let bytes_a_second = bytes.total() as f64 * speed.median;
        let traffic = Traffic {
            bytes_a_token: Some(bytes.total()),
            weight_bytes: Some(bytes.weights),
            cache_bytes: Some(bytes.cache),
            gb_a_second: Some(bytes_a_second / GB),
            of_read_rate: Some(bytes_a_second / rate.bytes_a_second),
        };
        Speed { traffic, ..speed }
    }
}

impl From<exec::ReadRate> for ReadRate {
    fn from(rate: exec::ReadRate) -> ReadRate {
        ReadRate { gb_a_second: rate.bytes_a_second / GB, way: rate.way }
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
