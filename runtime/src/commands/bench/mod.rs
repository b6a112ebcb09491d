//! `apr bench`: how fast a model is fed and answers on a device.
mod measure;
mod text;

use super::{
    bundled,
    device::{DeviceArgs, Size},
    output::Output,
    tokens::check_tokens,
};
use crate::{Error, exec::Session, gguf::Gguf, model::Model, plan::transformer};
use measure::{Times, Work};
use serde::Serialize;
use std::{path::PathBuf, time::Instant};

/// Measure how fast a model is: tokens a second of a prompt and of an answer
#[derive(Clone, Debug, clap::Args)]
pub struct Bench {
    /// The model, a .gguf file; the bundled one where there is none. It needs no tokenizer
    model: Option<PathBuf>,
    /// Tokens of the prompt, fed at once (prefill); 0 measures none
    #[arg(long, short = 'p', value_name = "N", default_value_t = 512)]
    prompt: usize,
    /// Tokens of the answer, one at a time, each the most likely one (decode); 0 measures none
    #[arg(long, short = 'n', value_name = "N", default_value_t = 128)]
    answer: usize,
    /// Tokens that are in the KV cache before each measurement
    #[arg(long, short = 'd', value_name = "N", default_value_t = 0)]
    depth: usize,
    /// Times that each is measured, after one that does not count
    #[arg(long, short = 'r', value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    repetitions: u32,
    /// Feed at most this many tokens of the prompt at a time
    #[arg(long, value_name = "N", default_value_t = 512, value_parser = clap::value_parser!(u32).range(1..))]
    chunk: u32,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    device: DeviceArgs,
}

/// What was measured.
#[derive(Debug, Serialize)]
struct Report {
    model: String,
    device: String,
    depth: usize,
    /// Seconds from opening the file until the device is ready.
    load: f64,
    prefill: Option<Phase>,
    decode: Option<Phase>,
}

/// The speed of one phase.
#[derive(Debug, Serialize)]
struct Phase {
    tokens: usize,
    /// Tokens a second: the median, the slowest and the fastest of all repetitions.
    median: f64,
    min: f64,
    max: f64,
    /// Bytes of weights and KV cache that a token of an answer takes; none for a prompt, whose tokens share them.
    bytes_a_token: Option<u64>,
}

impl Bench {
    /// Runs the command.
    pub fn run(self) -> Result<(), Error> {
        if self.prompt + self.answer == 0 {
            return Err(Error::usage("there is nothing to measure", "leave out -p 0 or -n 0"));
        }
        let (found, start) = (self.device.find()?, Instant::now());
        let path = bundled::or_default(self.model)?;
        let file = Gguf::open(&path)?;
        let model = Model::load(&file)?;
        let positions = self.depth.saturating_add(self.prompt.max(self.answer));
        check_tokens(&[], positions, &model.config)?;
        let plan = transformer(&model);
        let size = Size { positions, tokens: (self.chunk as usize).min(positions), outputs: 1 };
        let placement = found.place(&plan, size)?;
        eprintln!("{}", placement.line(&plan, size)?);
        let mut session = Session::new(placement.executor(&plan, &file, size)?);
        let load = start.elapsed().as_secs_f64();
        let mut work = Work { session: &mut session, vocab: model.config.vocab, depth: self.depth };
        let repetitions = self.repetitions as usize;
        let prefill = match self.prompt {
            0 => None,
            tokens => Some(phase(tokens, work.prefill(tokens, repetitions)?, None)),
        };
        let decode = match self.answer {
            0 => None,
            tokens => {
                let bytes = measure::bytes_a_token(&plan, self.depth + tokens / 2);
                Some(phase(tokens, work.decode(tokens, repetitions)?, Some(bytes)))
            }
        };
        let report = Report {
            model: path.display().to_string(),
            device: placement.device(),
            depth: self.depth,
            load,
            prefill,
            decode,
        };
        let text = match self.json {
            true => serde_json::to_string(&report).map_err(|error| Error::Failure(error.to_string()))? + "\n",
            false => text::table(&report),
        };
        Output::lock().write(&text)
    }
}

fn phase(tokens: usize, times: Times, bytes_a_token: Option<u64>) -> Phase {
    let speed = |seconds: f64| tokens as f64 / seconds;
    let (median, min, max) = (speed(times.median()), speed(times.slowest()), speed(times.fastest()));
    Phase { tokens, median, min, max, bytes_a_token }
}
