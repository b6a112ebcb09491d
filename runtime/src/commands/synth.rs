//! `apr synth`: writes a model of random weights in the shape of a real one.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use clap::builder::PossibleValuesParser;
use indicatif::HumanBytes;

use super::progress::bytes_bar;
use crate::gguf::shown;
use crate::synth::{Options, Quant, SHAPES, Shape, SynthError, shape, write};

/// Write a model of random weights in the shape of a real one; it has no tokenizer
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// The shape of the model
    #[arg(value_name = "SHAPE", value_parser = PossibleValuesParser::new(SHAPES.iter().map(|shape| shape.name)))]
    shape: String,
    /// The file to write; one that is there is replaced when the new one is whole
    #[arg(value_name = "OUT.gguf")]
    out: PathBuf,
    /// The same seed means the same file on every host
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// Layers, if not as many as the shape has
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=512))]
    layers: Option<u32>,
    /// Make a few channels of the norms and the Q, K and V biases 26 times as large as the rest
    #[arg(long)]
    outliers: bool,
    /// How the matrices are stored
    #[arg(long, value_enum, default_value_t = Quant::Q4KM)]
    quant: Quant,
}

/// Writes the file, with a progress bar on stderr. An interrupt leaves nothing behind.
pub fn run(args: &Args) -> Result<(), SynthError> {
    let Some(shape) = shape(&args.shape) else { return Err(SynthError::UnknownShape(shown(&args.shape))) };
    let options = Options { seed: args.seed, layers: args.layers, outliers: args.outliers, quant: args.quant };
    let stop = Arc::new(AtomicBool::new(false));
    let raise = Arc::clone(&stop);
    ctrlc::set_handler(move || raise.store(true, Ordering::Relaxed))?;

    let bytes = write_with_bar(&args.out, shape, &options, &stop)?;
    eprintln!("wrote {} ({})", shown(&args.out.display().to_string()), HumanBytes(bytes));
    Ok(())
}

/// Writes a model with all threads and a progress bar on stderr, and returns the size of the file. Raising `stop` ends it soon,
/// with nothing left behind.
pub fn write_with_bar(path: &Path, shape: &Shape, options: &Options, stop: &AtomicBool) -> Result<u64, SynthError> {
    let bar = bytes_bar("writing", 0);
    bar.enable_steady_tick(Duration::from_millis(100));
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let written = write(path, shape, options, threads, stop, |done, total| {
        bar.set_length(total);
        bar.set_position(done);
    });
    bar.finish_and_clear();
    written
}
