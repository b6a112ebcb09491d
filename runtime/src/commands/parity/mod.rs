//! `apr parity`: whether a GPU computes what the CPU computes, bit for bit, and where it first does not.
mod sides;
mod text;

use super::{bundled, cpu::CpuArgs, output::Output, tokens::check_tokens};
use crate::{
    Error,
    exec::Fault,
    gguf::{Gguf, ModelError},
    model::Model,
    parity::{Bisection, Feed, Report, Row, bisect, check, check_bisected},
    plan::{CHUNK, Step, transformer},
    text::{Special, Tokenizer, Vocabulary},
};
use serde::Serialize;
use sides::{Sides, Tested};
use std::path::PathBuf;

/// A text for models with a tokenizer, long enough for a prefill worth its name.
const PROMPT: &str = "The same sum has the same result wherever it is computed: on a processor with wide registers, on one with \
    narrow ones, and on a graphics card with thousands of threads. Two and two make four. The capital of France is Paris.";

/// Compare a GPU with the CPU, bit for bit: logits and KV cache after every step, and the first stage that differs
#[derive(Clone, Debug, clap::Args)]
pub struct Parity {
    /// The model, a .gguf file; the bundled one where there is none
    model: Option<PathBuf>,
    /// The text to feed, as it is; by default a few sentences
    #[arg(long, value_name = "TEXT", conflicts_with = "tokens")]
    prompt: Option<String>,
    /// The ids of the tokens to feed; a model without a tokenizer needs them
    #[arg(long, value_name = "IDS", value_delimiter = ',')]
    tokens: Vec<u32>,
    /// Decode steps after them, each with the token that the CPU finds most likely
    #[arg(long, value_name = "N", default_value_t = 16)]
    steps: usize,
    /// Feed this many tokens at a time
    #[arg(long, value_name = "N", default_value_t = 512, value_parser = clap::value_parser!(u32).range(1..))]
    chunk: u32,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    /// Damage what is tested, to see the check fire: bit:LAYER:OP, head:LAYER, offset:TENSOR or partial:TENSOR
    #[arg(long, value_name = "FAULT")]
    plant: Option<Fault>,
    /// Compare, for one product with a quantized matrix, Q8_K activations and the dequantized matrix on both sides; by
    /// default the first that differs
    #[arg(long, value_name = "STAGE", num_args = 0..=1, require_equals = true)]
    bisect: Option<Option<String>>,
    /// What is compared with the CPU: cuda, cuda:N for one of several GPUs, or cpu:ISA for its code for another
    /// instruction set
    #[arg(long, value_name = "DEVICE", default_value = "cuda", help_heading = "Device")]
    device: Tested,
    #[command(flatten)]
    cpu: CpuArgs,
}

/// The JSON object.
#[derive(Serialize)]
struct Object<'a> {
    model: String,
    reference: &'a str,
    tested: &'a str,
    planted: Option<String>,
    tokens: &'a [u32],
    #[serde(flatten)]
    report: &'a Report,
    bisection: Option<&'a Bisection>,
}

impl Parity {
    /// Runs the command.
    pub fn run(self) -> Result<(), Error> {
        let sides = Sides::find(&self.device, &self.cpu)?;
        let path = bundled::or_default(self.model.clone())?;
        let file = Gguf::open(&path)?;
        let model = Model::load(&file)?;
        let tokens = self.tokens(&file)?;
        let positions = tokens.len().saturating_add(self.steps);
        check_tokens(&tokens, positions, &model.config)?;
        let plan = transformer(&model);
        let planted = self.plant.as_ref().map(|fault| fault.place(&plan)).transpose()?;
        self.bisect.as_ref().map_or(Ok(()), |stage| check_bisected(&plan, stage.as_deref()))?;
        let chunk = tokens.len().min(self.chunk as usize);
        let limits = Step { tokens: chunk, outputs: 1, position: 0, chunks: positions.div_ceil(CHUNK) };
        eprintln!("reference: {}; tested: {}", sides.reference, sides.tested);
        let mut reference = sides.executor(false, &plan, &file, limits)?;
        let mut tested = sides.executor(true, &plan, &file, limits)?;
        if let Some(planted) = planted {
            tested.plant(planted)?;
        }

        let mut out = Output::lock();
        let feed = Feed { prompt: &tokens, steps: self.steps };
        let mut printed = if self.json { Ok(()) } else { out.write(&format!("{}\n", Row::HEADING)) };
        let report = check(&plan, reference.as_mut(), tested.as_mut(), &feed, &mut |row| {
            if self.json {
                eprintln!("step {}: {} tokens, {}", row.step, row.tokens, text::outcome(row.equal()));
            } else if printed.is_ok() {
                printed = out.write(&format!("{row}\n"));
            }
        });
        // Its memory may be needed for the bisection.
        drop(tested);
        let bisection = self.bisect.as_ref().map(|stage| {
            let first: Vec<i32> = tokens[..chunk].iter().map(|&token| token as i32).collect();
            bisect(&plan, &report, stage.as_deref(), reference.as_mut(), &first, &mut |tested, product, limits| {
                let mut executor = sides.executor(tested, product, &file, limits)?;
                // The fault is in this product, or it is elsewhere and nothing is to be planted here.
                let fault = self.plant.as_ref().filter(|_| tested).and_then(|fault| fault.place(product).ok());
                fault.map_or(Ok(()), |fault| executor.plant(fault))?;
                Ok(executor)
            })
        });
        let (bisection, not_bisected) = match bisection.transpose() {
            Ok(bisection) => (bisection, Ok(())),
            Err(error) => (None, Err(error)),
        };
        let object = Object {
            model: path.display().to_string(),
            reference: &sides.reference,
            tested: &sides.tested,
            planted: self.plant.as_ref().map(Fault::to_string),
            tokens: &tokens,
            report: &report,
            bisection: bisection.as_ref(),
        };
        let written = printed.and_then(|()| self.write(&mut out, &object));
        // A mismatch is one, whether or not anybody reads on.
        if !report.equal {
            if let Err(error) = not_bisected {
                eprintln!("not bisected: {error}");
            }
            return Err(Error::Parity(text::refusal(&report, &sides.tested, &sides.reference)));
        }
        written.and(not_bisected)
    }

    fn write(&self, out: &mut Output, object: &Object) -> Result<(), Error> {
        if !self.json {
            return out.write(&text::summary(object.report, object.bisection));
        }
        let json = serde_json::to_string_pretty(object).map_err(|error| Error::Failure(error.to_string()))?;
        out.write(&format!("{json}\n"))
    }

    fn tokens(&self, file: &Gguf) -> Result<Vec<u32>, Error> {
        if !self.tokens.is_empty() {
            return Ok(self.tokens.clone());
        }
        let vocabulary = Vocabulary::read(file.metadata()).map_err(|error| {
            let help = format!("give --tokens 1,2,3; else {}", error.help());
            ModelError::new(error.fault(), error.message(), help)
        })?;
        let prompt = self.prompt.as_deref().unwrap_or(PROMPT);
        if prompt.trim().is_empty() {
            return Err(Error::usage("the prompt is empty", "leave --prompt out, or give a text"));
        }
        Ok(Tokenizer::new(vocabulary)?.encode_prompt(prompt, Special::Parse)?)
    }
}
