//! `apr logits`: the logits of every position, for comparison with other programs and other devices.
use super::device::{DeviceArgs, Size};
use crate::{
    Error,
    gguf::{Fault, Gguf, ModelError},
    model::Model,
    plan::transformer,
};
use std::{
    fs::{self, File},
    io::{BufWriter, Write},
    path::{Path, PathBuf},
};

/// Write the logits of every position to a file: little-endian f32, [tokens, vocabulary]
#[derive(Clone, Debug, clap::Args)]
pub struct Logits {
    /// The model, a .gguf file; it needs no tokenizer
    model: PathBuf,
    /// The ids of the tokens to feed
    #[arg(long, value_name = "IDS", value_delimiter = ',', required = true)]
    tokens: Vec<u32>,
    /// The file to write
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Feed this many tokens at a time: 1 is decode, more is prefill. All give equal bits
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..))]
    chunk: u32,
    #[command(flatten)]
    device: DeviceArgs,
}

impl Logits {
    /// Runs the command.
    pub fn run(self) -> Result<(), Error> {
        let placement = self.device.place()?;
        let file = Gguf::open(&self.model)?;
        let model = Model::load(&file)?;
        self.check_tokens(model.config.vocab, model.config.context_length)?;
        let plan = transformer(&model);
        let tokens = self.tokens.len();
        let chunk = tokens.min(self.chunk as usize);
        let size = Size { positions: tokens, tokens: chunk, outputs: chunk };
        let mut session = placement.session(&plan, &file, size)?;
        eprintln!("{}", placement.line(&plan, size)?);

        let failed = |error| failed(&self.out, error);
        let mut out = BufWriter::new(File::create(&self.out).map_err(failed)?);
        let written = session.prefill_all(&self.tokens, |logits| {
            let mut numbers = logits.iter().map(|logit| logit.to_le_bytes());
            numbers.try_for_each(|bytes| out.write_all(&bytes)).map_err(failed)
        });
        let result = written.and_then(|()| out.flush().map_err(failed));
        if result.is_err() {
            // Half a file must not be taken for a whole one; that it cannot be removed either is not the news.
            let _ = fs::remove_file(&self.out);
        }
        result
    }

    fn check_tokens(&self, vocab: usize, context: usize) -> Result<(), Error> {
        if let Some(token) = self.tokens.iter().find(|&&token| token as usize >= vocab) {
            let message = format!("token {token} is not in the model's vocabulary of {vocab}");
            return Err(Error::usage(message, format!("give ids from 0 to {}", vocab - 1)));
        }
        if self.tokens.len() > context {
            let message = format!("{} tokens are given, the context of the model is {context}", self.tokens.len());
            return Err(ModelError::new(Fault::Unsupported, message, "give fewer tokens").into());
        }
        Ok(())
    }
}

fn failed(path: &Path, error: std::io::Error) -> Error {
    Error::Failure(format!("cannot write {}: {error}", path.display()))
}
