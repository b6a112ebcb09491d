//! `apr run`: answers a prompt.
mod input;
mod report;

use super::{
    bundled,
    device::{DeviceArgs, Size},
    gate::{GateArgs, Gated},
    output::Output,
};
use crate::{
    Error,
    exec::Session,
    generate::{Finish, Request, generate},
    gguf::{Fault, Gguf, ModelError},
    model::Model,
    parity::{GATE_POSITIONS, GATE_TOKENS},
    plan::{Activations, transformer_with},
    text::{ChatTemplate, Message, Sampler, Sampling, Special, Tokenizer, Vocabulary},
};
use input::Input;
use report::Report;
use std::time::{Instant, SystemTime};

/// Most tokens that are fed at a time: enough to use each weight often, little enough to need little memory.
const CHUNK: usize = 512;

/// Answer a prompt with a model, or with the bundled one
#[derive(Clone, Debug, clap::Args)]
pub struct Run {
    /// The model, a .gguf file. A lone argument is the prompt, unless it names a file or looks like one
    model: Option<String>,
    /// The prompt; standard input where there is none
    prompt: Option<String>,
    /// The prompt, as an option
    #[arg(long = "prompt", value_name = "PROMPT")]
    prompt_option: Option<String>,
    /// What the model is told before the prompt
    #[arg(long, conflicts_with = "raw")]
    system: Option<String>,
    /// Feed the prompt as it is, without the model's chat template
    #[arg(long)]
    raw: bool,
    /// Most tokens to generate
    #[arg(long, value_name = "N", default_value_t = 512, value_parser = clap::value_parser!(u32).range(1..))]
    max_tokens: u32,
    /// A text that ends the answer; may be given several times
    #[arg(long, value_name = "TEXT")]
    stop: Vec<String>,
    /// Say on standard error which kernels are used, too, and how long everything took
    #[arg(long, short)]
    verbose: bool,
    /// Print one JSON object, at the end
    #[arg(long)]
    json: bool,
    /// What products with quantized matrices take for activations. Each gives other bits
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t)]
    activations: Activations,
    #[command(flatten)]
    sampling: SamplingArgs,
    #[command(flatten)]
    device: DeviceArgs,
    #[command(flatten)]
    gate: GateArgs,
}

/// How the next token is chosen.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Sampling")]
struct SamplingArgs {
    /// Divides the logits; 0 always takes the most likely token
    #[arg(long, value_name = "T", default_value_t = 0.0, allow_negative_numbers = true)]
    temperature: f64,
    /// Keep this many of the most likely tokens; 0 keeps all
    #[arg(long, value_name = "K", default_value_t = 0)]
    top_k: usize,
    /// Keep the most likely tokens until their probabilities add up to this
    #[arg(long, value_name = "P", default_value_t = 1.0)]
    top_p: f64,
    /// Drop tokens that are less likely than this times the most likely one
    #[arg(long, value_name = "P", default_value_t = 0.0)]
    min_p: f64,
    /// Make the last tokens less likely to come again; 1 does not
    #[arg(long, value_name = "X", default_value_t = 1.0)]
    repeat_penalty: f64,
    /// Which random numbers to use; a seed means the same text everywhere
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
}

impl SamplingArgs {
    fn sampler(&self) -> Result<Sampler, Error> {
        let &SamplingArgs { temperature, top_k, top_p, min_p, repeat_penalty, seed } = self;
        Sampler::new(Sampling { temperature, top_k, top_p, min_p, repeat_penalty, seed })
            .map_err(|error| Error::usage(error.to_string(), "see apr run --help"))
    }
}

impl Run {
    /// Runs the command.
    pub fn run(self) -> Result<(), Error> {
        let mut sampler = self.sampling.sampler()?;
        let found = self.device.find()?;
        let input = Input::sort(self.model.clone(), self.prompt.clone(), self.prompt_option.clone())?;
        if let (Some(model), None, None) = (&input.model, &input.prompt, &self.prompt_option)
            && !model.exists()
        {
            let model = model.display().to_string();
            eprintln!("{model:?} looks like a file, so it is taken for the model; a prompt like that needs --prompt");
        }
        let path = bundled::or_default(input.model)?;
        let start = Instant::now();
        let file = Gguf::open(&path)?;
        let model = Model::load(&file)?;
        let tokenizer = Tokenizer::new(Vocabulary::read(file.metadata())?)?;
        let opened = start.elapsed();
        let prompt = input.prompt.map_or_else(input::read_prompt, Ok)?;
        let prompt = self.tokens(&tokenizer, prompt)?;
        let positions = self.positions(prompt.len(), model.config.context_length)?;

        let start = Instant::now();
        let plan = transformer_with(&model, self.activations, positions);
        // The gate feeds more than a short prompt, and not token by token.
        let tokens = CHUNK.min(prompt.len()).max(GATE_TOKENS);
        let size = Size { positions: positions.max(GATE_POSITIONS), tokens, outputs: 1 };
        let placement = found.place(&plan, size)?;
        eprintln!("{}", placement.line(&plan, size, self.verbose)?);
        let mut executor = placement.executor(&plan, &file, size)?;
        let load = opened + start.elapsed();
        let gated = Gated { placement: &placement, plan: &plan, file: &file, model: &model, prompt: &prompt };
        self.gate.pass(executor.as_mut(), &gated)?;
        let mut session = Session::new(executor);

        let mut out = Output::lock();
        let request = Request { prompt: &prompt, max_tokens: self.max_tokens as usize, positions, stops: &self.stop };
        let mut show = |piece: &str| if self.json { Ok(()) } else { out.write(piece) };
        let answer = generate(&mut session, &tokenizer, &mut sampler, &request, &mut show)?;
        let report = Report { answer: &answer, prompt: &prompt, placement: &placement, seed: self.sampling.seed, load };
        out.write(&if self.json { format!("{}\n", report.json()) } else { "\n".into() })?;
        if answer.finish == Finish::Length && !self.json {
            eprintln!("stopped after {} tokens: --max-tokens and the context allow no more", answer.tokens.len());
        }
        if self.verbose {
            eprint!("{}", report.timings());
        }
        Ok(())
    }

    /// The prompt as the model reads it.
    fn tokens(&self, tokenizer: &Tokenizer, prompt: String) -> Result<Vec<u32>, Error> {
        if prompt.trim().is_empty() {
            return Err(Error::usage("the prompt is empty", "give one as an argument or on standard input"));
        }
        let text = if self.raw {
            prompt
        } else {
            let system = self.system.iter().map(|system| Message::new("system", system));
            let messages: Vec<_> = system.chain([Message::new("user", prompt)]).collect();
            ChatTemplate::new(tokenizer.vocabulary())?.render(&messages, true, SystemTime::now())?
        };
        Ok(tokenizer.encode_prompt(&text, Special::Parse)?)
    }

    /// Positions that prompt and answer take at most.
    fn positions(&self, prompt: usize, context: usize) -> Result<usize, ModelError> {
        if prompt > context {
            let message = format!("the prompt has {prompt} tokens, the context of the model {context}");
            return Err(ModelError::new(Fault::Unsupported, message, "shorten the prompt; it is never cut"));
        }
        Ok(context.min(prompt.saturating_add(self.max_tokens as usize)))
    }
}
