//! `apr bench`: how fast a model is fed and answers on a device, and what that is of what the device could do.
mod bytes;
mod ids;
mod measure;
mod report;
mod source;
mod spread;
mod stages;
mod table;
mod text;

use super::{
    device::{DeviceArgs, Placement, Size},
    exit_on_interrupt,
    output::Output,
    tokens::check_tokens,
};
use crate::{
    Error,
    exec::Session,
    gguf::Gguf,
    model::Model,
    plan::{Activations, Plan, transformer_with},
    synth::SHAPES,
};
use bytes::TokenBytes;
use clap::builder::PossibleValuesParser;
use ids::Ids;
use measure::{Work, answer, begin};
use report::{Figures, ReadRate, Report, Speed, Stages};
use source::Source;
use std::{
    fs,
    path::PathBuf,
    sync::{Arc, OnceLock},
    time::Instant,
};

/// Measure how fast a model is: tokens a second of a prompt and of an answer, and the part of the memory's rate that they use
#[derive(Clone, Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("format").multiple(false))]
pub struct Bench {
    /// The model, a .gguf file; the bundled one where there is none. It needs no tokenizer
    model: Option<PathBuf>,
    /// Measure random weights in this shape, as apr synth makes them. They are written to the folder for temporary files
    /// (TMPDIR) and removed at the end
    #[arg(long, value_name = "NAME", conflicts_with = "model",
        value_parser = PossibleValuesParser::new(SHAPES.iter().map(|shape| shape.name)))]
    shape: Option<String>,
    /// Tokens of the prompt, fed at once (prefill); 0 measures none
    #[arg(long, short = 'p', value_name = "N", default_value_t = 512)]
    prompt: usize,
    /// Tokens of the answer, one at a time, each the most likely one (decode); 0 measures none
    #[arg(long, short = 'n', value_name = "N", default_value_t = 128)]
    answer: usize,
    /// Tokens that are in the KV cache before each measurement, with pseudo-random keys and values
    #[arg(long, short = 'd', value_name = "N", default_value_t = 0)]
    depth: usize,
    /// Times that each is measured, after one that does not count
    #[arg(long, short = 'r', value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    repetitions: u32,
    /// Feed at most this many tokens of the prompt at a time
    #[arg(long, value_name = "N", default_value_t = 512, value_parser = clap::value_parser!(u32).range(1..))]
    chunk: u32,
    /// On a GPU: compare so many of the first tokens of each answer with those that the CPU finds afterwards; a difference is exit
    /// code 4. 0 compares none
    #[arg(long, value_name = "N", default_value_t = 16)]
    verify: usize,
    /// Measure the stages, too, in steps of their own in which each stage is waited for by itself
    #[arg(long)]
    phases: bool,
    /// Say on standard error which kernels are used, too
    #[arg(long, short)]
    verbose: bool,
    /// Print one JSON object
    #[arg(long, group = "format")]
    json: bool,
    /// Print comma-separated values
    #[arg(long, group = "format")]
    csv: bool,
    /// Print Markdown
    #[arg(long, group = "format")]
    md: bool,
    /// What products with quantized matrices take for activations. Each gives other bits
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t)]
    activations: Activations,
    #[command(flatten)]
    device: DeviceArgs,
}

impl Bench {
    /// The model as the report has it.
    fn named(&self, model: &str) -> String {
        match self.activations {
            Activations::Q8k => model.into(),
            other => format!("{model}, {other} activations"),
        }
    }

    /// Runs the command.
    pub fn run(self) -> Result<(), Error> {
        if self.prompt + self.answer == 0 {
            return Err(Error::usage("there is nothing to measure", "leave out -p 0 or -n 0"));
        }
        let folder = Arc::new(OnceLock::<PathBuf>::new());
        let interrupted = folder.clone();
        exit_on_interrupt(move || {
            // The program ends: that a folder is left behind is all that could be said.
            let _ = interrupted.get().map(fs::remove_dir_all);
        })?;
        let found = self.device.find()?;
        let source = match &self.shape {
            Some(shape) => Source::synthetic(shape, &folder)?,
            None => Source::file(self.model.clone())?,
        };
        let start = Instant::now();
        let file = Gguf::open(&source.path)?;
        let model = Model::load(&file)?;
        let positions = self.depth.saturating_add(self.prompt.max(self.answer));
        check_tokens(&[], positions, &model.config)?;
        let plan = transformer_with(&model, self.activations, positions);
        let size = Size { positions, tokens: (self.chunk as usize).min(positions), outputs: 1 };
        let placement = found.place(&plan, size)?;
        eprintln!("{}", placement.line(&plan, size, self.verbose)?);
        let mut session = Session::new(placement.executor(&plan, &file, size)?);
        let load = start.elapsed().as_secs_f64();
        let mut work = Work { session: &mut session, plan: &plan, vocab: model.config.vocab, depth: self.depth };
        let (figures, answers) = self.measure(&mut work)?;
        // What was measured is printed whatever comes of this.
        let (ids, verified) = match self.verify(&placement, &plan, &file, &answers) {
            Ok(ids) => (ids, Ok(())),
            Err(error) => (Ids::skipped(error.to_string()), Err(error)),
        };
        let differs = ids.check(&placement.device());
        let report = Report {
            model: self.named(&source.name),
            model_bytes: file.file_bytes(),
            device: placement.device(),
            threads: placement.threads(),
            depth: self.depth,
            repetitions: self.repetitions,
            chunk: self.chunk,
            load,
            figures,
            ids,
        };
        let written = Output::lock().write(&self.format(&report)?);
        differs.and(verified).and(written)
    }

    /// Everything that is measured once the model is loaded, and the answers that were timed.
    fn measure(&self, work: &mut Work) -> Result<(Figures, Vec<Vec<u32>>), Error> {
        let repetitions = self.repetitions as usize;
        let asked = |tokens: usize| Some(tokens).filter(|&tokens| tokens > 0);
        let prefill = asked(self.prompt).map(|tokens| work.prefill(tokens, repetitions)).transpose()?;
        // The stages come first: memory that is taken after the memory's rate was measured is not counted.
        let stages = if self.phases { Some(self.stages(work)?) } else { None };
        let decode = asked(self.answer).map(|tokens| work.decode(tokens, repetitions)).transpose()?;
        let rates = match &decode {
            Some(repetitions) => repetitions.iter().flat_map(|repetition| repetition.around).collect(),
            None => vec![work.session.executor().read_rate()?],
        };
        let answers = decode.iter().flatten().map(|repetition| repetition.answer.clone()).collect();
        let bytes = TokenBytes::at(work.plan, self.depth + self.answer / 2);
        let figures = Figures {
            prefill: prefill.map(|repetitions| Speed::prefill(self.prompt, &repetitions)),
            decode: decode.map(|repetitions| Speed::decode(self.answer, &repetitions, bytes)),
            read_rate: ReadRate::of(&rates),
            memory: work.session.executor().footprint().map(Into::into),
            stages,
        };
        Ok((figures, answers))
    }

    /// Compares the beginning of the answers of a GPU with the CPU's.
    fn verify(&self, placement: &Placement, plan: &Plan, file: &Gguf, answers: &[Vec<u32>]) -> Result<Ids, Error> {
        let tokens = self.verify.min(self.answer);
        let skipped = match tokens {
            0 if self.verify == 0 => Some("--verify 0"),
            0 => Some("no answer was measured"),
            _ if !placement.is_gpu() => Some("the CPU has found them itself"),
            _ => None,
        };
        if let Some(why) = skipped {
            eprintln!("ids: not compared: {why}");
            return Ok(Ids::skipped(why));
        }
        let reference = placement.reference_device();
        eprintln!("ids: finding the first {tokens} of the answer on {reference}");
        let size = Size { positions: self.depth + tokens, tokens: 1, outputs: 1 };
        let mut session = Session::new(placement.reference(plan, file, size)?);
        begin(&mut session, plan, self.depth)?;
        let expected = answer(&mut session, tokens)?;
        Ok(Ids::compare(answers.iter().map(Vec::as_slice), &expected, reference))
    }

    fn stages(&self, work: &mut Work) -> Result<Stages, Error> {
        eprintln!("stages, each waited for by itself");
        let prefill = match self.prompt {
            0 => Vec::new(),
            tokens => work.prefill_stages(tokens, self.chunk as usize)?,
        };
        let decode = if self.answer == 0 { Vec::new() } else { work.decode_stages(self.answer)? };
        Ok(Stages { prefill, decode })
    }

    fn format(&self, report: &Report) -> Result<String, Error> {
        Ok(match (self.json, self.csv, self.md) {
            (true, _, _) => serde_json::to_string(report).map_err(|error| Error::Failure(error.to_string()))? + "\n",
            (_, true, _) => table::csv(report),
            (_, _, true) => table::markdown(report),
            _ => text::tables(report),
        })
    }
}
