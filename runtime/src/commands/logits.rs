//! `apr logits`: the logits of every position, for comparison with other programs and other devices.
use super::{
    device::{DeviceArgs, Size},
    exit_on_interrupt,
    tokens::check_tokens,
};
use crate::{
    Error,
    exec::Session,
    model::Model,
    plan::{Activations, transformer_with},
};
use gguf::{Gguf, aside::beside};
use std::{
    fs::{self, File},
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
};
use tempfile::TempPath;

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
    /// Say on standard error which kernels are used, too
    #[arg(long, short)]
    verbose: bool,
    /// What products with quantized matrices take for activations. Each gives other bits
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t)]
    activations: Activations,
    #[command(flatten)]
    device: DeviceArgs,
}

impl Logits {
    /// Runs the command.
    pub fn run(self) -> Result<(), Error> {
        let unfinished: Arc<OnceLock<PathBuf>> = Arc::default();
        let left_over = unfinished.clone();
        exit_on_interrupt(move || left_over.get().map_or((), |path| drop(fs::remove_file(path))))?;
        let found = self.device.find()?;
        let file = Gguf::open(&self.model)?;
        let model = Model::load(&file)?;
        check_tokens(&self.tokens, self.tokens.len(), &model.config)?;
        let tokens = self.tokens.len();
        let plan = transformer_with(&model, self.activations, tokens);
        let chunk = tokens.min(self.chunk as usize);
        let size = Size { positions: tokens, tokens: chunk, outputs: chunk };
        let placement = found.place(&plan, size)?;
        eprintln!("{}", placement.line(&plan, size, self.verbose)?);
        let mut session = Session::new(placement.executor(&plan, &file, size)?);

        let failed = |error| failed(&self.out, error);
        let mut out = Out::create(&self.out, &unfinished).map_err(failed)?;
        session.prefill_all(&self.tokens, |logits| {
            let mut numbers = logits.iter().map(|logit| logit.to_le_bytes());
            numbers.try_for_each(|bytes| out.writer.write_all(&bytes)).map_err(failed)
        })?;
        out.finish(&self.out).map_err(failed)
    }
}

/// The file in the making. Half of one must not be taken for a whole: it is beside its place until it is finished, and gone
/// if it never is.
struct Out {
    writer: BufWriter<File>,
    aside: Option<TempPath>,
}

impl Out {
    /// `unfinished` gets the path of what an interrupt has to remove. A pipe or a device is written as it is.
    fn create(path: &Path, unfinished: &OnceLock<PathBuf>) -> io::Result<Out> {
        if fs::metadata(path).is_ok_and(|there| !there.is_file()) {
            return Ok(Out { writer: BufWriter::new(File::create(path)?), aside: None });
        }
        let (file, aside) = beside(path)?.into_parts();
        let _ = unfinished.set(aside.to_path_buf());
        Ok(Out { writer: BufWriter::new(file), aside: Some(aside) })
    }

    fn finish(mut self, path: &Path) -> io::Result<()> {
        self.writer.flush()?;
        self.aside.map_or(Ok(()), |aside| aside.persist(path).map_err(|error| error.error))
    }
}

fn failed(path: &Path, error: std::io::Error) -> Error {
    let help = "check that the folder exists and may be written to, and that there is room";
    Error::Failure(format!("cannot write {}: {error}\n  help: {help}", path.display()))
}
