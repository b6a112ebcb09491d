//! `apr parity`: whether a GPU computes what the CPU computes, bit for bit, and where it first does not.
mod schedules;
mod sides;
mod text;

use super::{
    bundled,
    cpu::CpuArgs,
    output::Output,
    tokens::{check_tokens, without_pattern},
};
use crate::{
    Error,
    exec::{Executor, Fault, fill_to_depth},
    gguf::{Gguf, ModelError},
    model::Model,
    parity::{Bisection, Feed, Report, Row, Trace, bisect, check_and_trace, check_bisected},
    plan::{Activations, CHUNK, Plan, PlanSchedule, Step, transformer_with},
    text::{Special, Tokenizer, Vocabulary},
};
use schedules::Outcome;
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
    /// The ids of the tokens to feed; a model without a tokenizer needs them, or --prefill
    #[arg(long, value_name = "IDS", value_delimiter = ',', conflicts_with = "prefill")]
    tokens: Vec<u32>,
    /// Feed so many tokens that follow no pattern of the vocabulary
    #[arg(long, value_name = "N", conflicts_with = "prompt", value_parser = clap::value_parser!(u32).range(1..))]
    prefill: Option<u32>,
    /// Decode steps after them, each with the token that the CPU finds most likely
    #[arg(long, value_name = "N", default_value_t = 16)]
    steps: usize,
    /// Feed this many tokens at a time
    #[arg(long, value_name = "N", default_value_t = 512, value_parser = clap::value_parser!(u32).range(1..))]
    chunk: u32,
    /// Begin at this position: the KV caches of both sides are filled up to it with the same pseudo-random keys and values, since
    /// a real prompt of that length takes a CPU long. What follows attends to all of them
    #[arg(long, short = 'd', value_name = "N", default_value_t = 0)]
    depth: usize,
    /// Compare under so many random plan schedules, too: which stages are computed in another's kernel, in one launch with the next
    /// or side by side, which of its codes a kernel takes, and how the prompt is cut. The CPU computes once
    #[arg(long, value_name = "N", default_value_t = 0)]
    schedules: u64,
    /// The seed of the first of these schedules; those after it have the seeds that follow
    #[arg(long, value_name = "SEED", default_value_t = 0)]
    schedule_seed: u64,
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
    /// What products with quantized matrices take for activations. Each gives other bits
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t)]
    activations: Activations,
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
    depth: usize,
    tokens: &'a [u32],
    #[serde(flatten)]
    report: &'a Report,
    /// The comparisons under random schedules.
    schedules: &'a [Outcome],
    /// The first of these that differs, repeated step by step.
    repeated: Option<&'a Report>,
    bisection: Option<&'a Bisection>,
}

/// What was found.
struct Found {
    /// Under the schedule that serves; equal only where all are.
    report: Report,
    outcomes: Vec<Outcome>,
    repeated: Option<Report>,
}

/// Both executors, of one plan.
struct Pair<'p, 'm> {
    plan: &'p Plan,
    reference: Box<dyn Executor + 'm>,
    tested: Box<dyn Executor + 'm>,
}

/// Lines for people on standard output as they come, or, where that gets JSON, in short on standard error.
struct Lines {
    out: Output,
    json: bool,
    written: Result<(), Error>,
}

impl Lines {
    fn say(&mut self, line: &str, short: &str) {
        if self.json {
            eprintln!("{short}");
        } else if self.written.is_ok() {
            self.written = self.out.write(&format!("{line}\n"));
        }
    }
}

impl Parity {
    /// Runs the command.
    pub fn run(self) -> Result<(), Error> {
        if self.bisect.is_some() && self.activations != Activations::Q8k {
            return Err(Error::usage("--bisect is for activations of 8 bits", "leave out --activations"));
        }
        let sides = Sides::find(&self.device, &self.cpu)?;
        let path = bundled::or_default(self.model.clone())?;
        let file = Gguf::open(&path)?;
        let model = Model::load(&file)?;
        let tokens = self.tokens(&file, model.config.vocab)?;
        let positions = self.depth.saturating_add(tokens.len()).saturating_add(self.steps);
        check_tokens(&tokens, positions, &model.config)?;
        let plan = transformer_with(&model, self.activations, positions);
        let planted = self.plant.as_ref().map(|fault| fault.place(&plan)).transpose()?;
        self.bisect.as_ref().map_or(Ok(()), |stage| check_bisected(&plan, stage.as_deref()))?;
        let chunk = tokens.len().min(self.chunk as usize);
        let limits = Step { tokens: chunk, outputs: 1, position: 0, chunks: positions.div_ceil(CHUNK) };
        eprintln!("reference: {}; tested: {}", sides.reference, sides.tested);
        let reference = sides.executor(false, &plan, &file, limits)?;
        let mut tested = sides.executor(true, &plan, &file, limits)?;
        if let Some(planted) = planted {
            tested.plant(planted)?;
        }

        let mut lines = Lines { out: Output::lock(), json: self.json, written: Ok(()) };
        let mut pair = Pair { plan: &plan, reference, tested };
        let found = self.compare(&mut pair, &tokens, &mut lines)?;
        let Pair { mut reference, tested, .. } = pair;
        // Its memory may be needed for the bisection.
        drop(tested);
        let bisection = self.bisect(&sides, (&plan, &file), &found.report, reference.as_mut(), &tokens[..chunk]);
        let (bisection, not_bisected) = match bisection {
            Ok(bisection) => (bisection, Ok(())),
            Err(error) => (None, Err(error)),
        };
        let object = Object {
            model: path.display().to_string(),
            reference: &sides.reference,
            tested: &sides.tested,
            planted: self.plant.as_ref().map(Fault::to_string),
            depth: self.depth,
            tokens: &tokens,
            report: &found.report,
            schedules: &found.outcomes,
            repeated: found.repeated.as_ref(),
            bisection: bisection.as_ref(),
        };
        let Lines { mut out, written, .. } = lines;
        let written = written.and_then(|()| self.write(&mut out, &object));
        // A mismatch is one, whether or not anybody reads on.
        if !found.report.equal {
            if let Err(error) = not_bisected {
                eprintln!("not bisected: {error}");
            }
            return Err(Error::Parity(text::refusal(&found.report, &found.outcomes, &sides.tested, &sides.reference)));
        }
        written.and(not_bisected)
    }

    /// Compares both sides as they serve, then under random schedules.
    fn compare(&self, pair: &mut Pair, tokens: &[u32], lines: &mut Lines) -> Result<Found, Error> {
        let &mut Pair { plan, ref mut reference, ref mut tested } = pair;
        if self.depth > 0 {
            fill_to_depth(reference.as_mut(), plan, self.depth)?;
            fill_to_depth(tested.as_mut(), plan, self.depth)?;
        }
        let feed = Feed { start: self.depth, ..Feed::new(tokens, self.steps) };
        let mut trace = Trace::default();
        let kept = (self.schedules > 0).then_some(&mut trace);
        lines.say(Row::HEADING, "comparing");
        let mut report = check_and_trace(plan, reference.as_mut(), tested.as_mut(), &feed, kept, &mut |row| {
            let short = format!("step {}: {} tokens, {}", row.step, row.tokens, text::outcome(row.equal()));
            lines.say(&row.to_string(), &short);
        });
        if self.schedules > 0 {
            let (taken, outcome) = (tested.reschedule(plan, PlanSchedule::ALL)?, text::outcome(report.equal));
            let line = format!("as it serves: {taken}, {} at a time: {outcome}", tested.limits().tokens);
            lines.say(&line, &line);
        }
        let count = if trace.is_complete() { self.schedules } else { 0 };
        if count < self.schedules {
            eprintln!(
                "no random schedules: the comparison has failed before its end, so there is nothing to compare with"
            );
        }
        let mut outcomes: Vec<Outcome> = Vec::new();
        for number in 0..count {
            let seed = self.schedule_seed.wrapping_add(number);
            let outcome = schedules::compare(plan, &trace, tested.as_mut(), seed);
            lines.say(&outcome.to_string(), &outcome.to_string());
            outcomes.push(outcome);
        }
        let differs = outcomes.iter().find(|outcome| !outcome.equal);
        let repeated = differs.filter(|_| report.equal).and_then(|outcome| {
            eprintln!("schedule {}: repeating it step by step", outcome.seed);
            let repeated = schedules::repeat(plan, (reference.as_mut(), tested.as_mut()), &feed, outcome);
            repeated.map_err(|error| eprintln!("not repeated: {error}")).ok()
        });
        report.equal &= differs.is_none();
        Ok(Found { report, repeated, outcomes })
    }

    /// The bisection over the first tokens, where one is asked for.
    fn bisect(
        &self,
        sides: &Sides,
        (plan, file): (&Plan, &Gguf),
        report: &Report,
        reference: &mut dyn Executor,
        tokens: &[u32],
    ) -> Result<Option<Bisection>, Error> {
        let Some(stage) = &self.bisect else { return Ok(None) };
        let first: Vec<i32> = tokens.iter().map(|&token| token as i32).collect();
        let found = bisect(plan, report, stage.as_deref(), reference, &first, &mut |tested, product, limits| {
            let mut executor = sides.executor(tested, product, file, limits)?;
            // The fault is in this product, or it is elsewhere and nothing is to be planted here.
            let fault = self.plant.as_ref().filter(|_| tested).and_then(|fault| fault.place(product).ok());
            fault.map_or(Ok(()), |fault| executor.plant(fault))?;
            Ok(executor)
        });
        found.map(Some)
    }

    fn write(&self, out: &mut Output, object: &Object) -> Result<(), Error> {
        if !self.json {
            return out.write(&text::summary(object));
        }
        let json = serde_json::to_string_pretty(object).map_err(|error| Error::Failure(error.to_string()))?;
        out.write(&format!("{json}\n"))
    }

    fn tokens(&self, file: &Gguf, vocab: usize) -> Result<Vec<u32>, Error> {
        if !self.tokens.is_empty() {
            return Ok(self.tokens.clone());
        }
        if let Some(count) = self.prefill {
            return Ok(without_pattern(count as usize, vocab));
        }
        let vocabulary = Vocabulary::read(file.metadata()).map_err(|error| {
            let help = format!("give --tokens 1,2,3 or --prefill 100; else {}", error.help());
            ModelError::new(error.fault(), error.message(), help)
        })?;
        let prompt = self.prompt.as_deref().unwrap_or(PROMPT);
        if prompt.trim().is_empty() {
            return Err(Error::usage("the prompt is empty", "leave --prompt out, or give a text"));
        }
        Ok(Tokenizer::new(vocabulary)?.encode_prompt(prompt, Special::Parse)?)
    }
}
