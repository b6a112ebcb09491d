//! `apr eval`: how well a model predicts a text, and how far its predictions are from those of another model or of other
//! activations. Windows and figures are those of llama.cpp's perplexity tool.
mod score;

use super::{
    device::{DeviceArgs, Placement, Size},
    exit_on_interrupt,
    output::Output,
};
use crate::{
    Error,
    exec::{ExecError, Session},
    gguf::Gguf,
    model::{Config, Model},
    plan::{Activations, Plan, transformer_with},
    text::{Special, Tokenizer, Vocabulary},
};
use indicatif::ProgressBar;
use score::{Distance, Perplexity};
use serde::Serialize;
use std::{fs, path::PathBuf};

/// Tokens that are fed at a time.
const CHUNK: usize = 128;

/// Measure how well a model predicts a text: its perplexity, and how far it is from another model or from other activations
#[derive(Clone, Debug, clap::Args)]
pub struct Eval {
    /// The model, a .gguf file
    model: PathBuf,
    /// The text, a file in UTF-8
    text: PathBuf,
    /// Compare with this model, which counts as right: KL divergence, equal best tokens and squared error
    #[arg(long, value_name = "MODEL2")]
    against: Option<PathBuf>,
    /// What products with quantized matrices take for activations. Each gives other bits
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t)]
    activations: Activations,
    /// The activations of what is compared with. Without --against, that is the same model
    #[arg(long, value_enum, value_name = "FORMAT")]
    against_activations: Option<Activations>,
    /// Tokens of a window. Each window is by itself, and the predictions in its second half count
    #[arg(long, value_name = "N", default_value_t = 512, value_parser = clap::value_parser!(u32).range(4..))]
    context: u32,
    /// Most windows; a rest of the text that fills none does not count
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    windows: Option<u32>,
    /// Take what is written like a special token, as <|im_end|>, for that token
    #[arg(long)]
    parse_special: bool,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    device: DeviceArgs,
}

/// The JSON object.
#[derive(Debug, Serialize)]
struct Object {
    model: String,
    activations: Activations,
    context: usize,
    windows: usize,
    #[serde(flatten)]
    perplexity: Perplexity,
    against: Option<Against>,
}

/// What it was compared with.
#[derive(Debug, Serialize)]
struct Against {
    model: String,
    activations: Activations,
    perplexity: Perplexity,
    #[serde(flatten)]
    distance: Distance,
}

/// A model that predicts.
struct Side {
    plan: Plan,
    placement: Placement,
    config: Config,
}

impl Eval {
    /// Runs the command.
    pub fn run(self) -> Result<(), Error> {
        exit_on_interrupt(|| ())?;
        let file = Gguf::open(&self.model)?;
        let tokenizer = Tokenizer::new(Vocabulary::read(file.metadata())?)?;
        let context = self.context as usize;
        let windows = self.tokens(&tokenizer, context)?;
        let side = self.side(&file, self.activations)?;
        let other = match (&self.against, self.against_activations) {
            (None, None) => None,
            (path, activations) => Some((path.as_ref().unwrap_or(&self.model), activations.unwrap_or_default())),
        };
        let other_file = other.map(|(path, _)| Gguf::open(path)).transpose()?;
        let mut session = side.session(&file, context)?;
        let other_side = match (&other_file, other) {
            (Some(file), Some((_, activations))) => Some((self.side(file, activations)?, file)),
            _ => None,
        };
        let mut reference = match &other_side {
            Some((other, file)) => {
                side.same_vocabulary(other)?;
                Some(other.session(file, context)?)
            }
            None => None,
        };

        let (mut own, mut others, mut distance) = (Perplexity::default(), Perplexity::default(), Distance::default());
        let bar = ProgressBar::new(windows.len() as u64);
        for window in &windows {
            let right = reference.as_mut().map(|session| predictions(session, window)).transpose()?;
            let rows = predictions(&mut session, window)?;
            let targets = &window[context / 2 + 1..];
            own.add(&rows, targets);
            if let Some(right) = right {
                others.add(&right, targets);
                distance.add(&rows, &right, targets.len());
            }
            bar.inc(1);
        }
        bar.finish_and_clear();
        let named = |path: &PathBuf| path.display().to_string();
        let against = other.map(|(path, activations)| Against {
            model: named(path),
            activations,
            perplexity: others.finished(),
            distance: distance.finished(),
        });
        let (model, activations) = (named(&self.model), self.activations);
        let object =
            Object { model, activations, context, windows: windows.len(), perplexity: own.finished(), against };
        Output::lock().write(&if self.json { format!("{}\n", serde_json::json!(object)) } else { object.text() })
    }

    /// The windows of the text. Each begins with the token that begins a text, where the model has one.
    fn tokens(&self, tokenizer: &Tokenizer, context: usize) -> Result<Vec<Vec<u32>>, Error> {
        let text = fs::read_to_string(&self.text).map_err(|error| {
            Error::usage(format!("{}: {error}", self.text.display()), "give a file of text in UTF-8")
        })?;
        let tokens =
            tokenizer.encode_prompt(&text, if self.parse_special { Special::Parse } else { Special::Plain })?;
        let most = self.windows.map_or(usize::MAX, |most| most as usize);
        let mut windows: Vec<Vec<u32>> = tokens.chunks_exact(context).take(most).map(<[u32]>::to_vec).collect();
        if windows.is_empty() {
            let message = format!("the text has {} tokens, and a window {context}", tokens.len());
            return Err(Error::usage(message, "give a longer text, or a smaller --context"));
        }
        let vocabulary = tokenizer.vocabulary();
        if let Some(bos) = vocabulary.bos().filter(|_| vocabulary.adds_bos()) {
            windows.iter_mut().for_each(|window| window[0] = bos);
        }
        Ok(windows)
    }

    fn side(&self, file: &Gguf, activations: Activations) -> Result<Side, Error> {
        let model = Model::load(file)?;
        let context = self.context as usize;
        if context > model.config.context_length {
            let message =
                format!("a window of {context} tokens, the model's context is {}", model.config.context_length);
            return Err(Error::usage(message, "give a smaller --context"));
        }
        let plan = transformer_with(&model, activations, context);
        let size = size(context);
        let placement = self.device.find()?.place(&plan, size)?;
        eprintln!("{}", placement.line(&plan, size, false)?);
        Ok(Side { plan, placement, config: model.config })
    }
}

fn size(context: usize) -> Size {
    let chunk = context.min(CHUNK);
    Size { positions: context, tokens: chunk, outputs: chunk }
}

impl Side {
    fn session<'m>(&self, file: &'m Gguf, context: usize) -> Result<Session<'m>, Error> {
        Ok(Session::new(self.placement.executor(&self.plan, file, size(context))?))
    }

    fn same_vocabulary(&self, other: &Side) -> Result<(), Error> {
        let [own, others] = [self.config.vocab, other.config.vocab];
        if own == others {
            return Ok(());
        }
        let message = format!("the models have vocabularies of {own} and {others} tokens");
        Err(Error::usage(message, "compare models with the same vocabulary"))
    }
}

/// The logits that predict the tokens of a window's second half, but for its first one.
fn predictions(session: &mut Session, window: &[u32]) -> Result<Vec<f32>, Error> {
    let (first, scored) = window[..window.len() - 1].split_at(window.len() / 2);
    session.restart(0);
    session.prefill(first)?;
    let mut rows = Vec::new();
    session.prefill_all(scored, |logits| -> Result<(), ExecError> {
        rows.extend_from_slice(logits);
        Ok(())
    })?;
    Ok(rows)
}

impl Object {
    /// For people.
    fn text(&self) -> String {
        let Object { windows, context, perplexity, against, .. } = self;
        let mut text = format!("{windows} windows of {context} tokens; {} predictions count\n", perplexity.predictions);
        text += &format!("perplexity       {perplexity}\n");
        let Some(Against { model, activations, perplexity, distance }) = against else { return text };
        text += &format!(
            "against          {}, {activations} activations, perplexity {perplexity}\n",
            crate::gguf::shown(model)
        );
        text + &distance.text()
    }
}
