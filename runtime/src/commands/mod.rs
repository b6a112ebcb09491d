//! The commands of `apr`, one file each: their arguments and what they print.
mod device;
pub mod inspect;
mod logits;
mod output;
mod run;
pub mod synth;

use crate::{EXIT_CODES, Error};
use clap::Parser;
use std::process::exit;

/// Exit code of a program that Ctrl-C ended.
const INTERRUPTED: i32 = 130;

/// Run quantized language models with equal bits on every device
#[derive(Clone, Debug, Parser)]
#[command(name = "apr", version, after_help = EXIT_CODES)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Clone, Debug, clap::Subcommand)]
enum Command {
    #[command(after_help = EXIT_CODES)]
    Run(Box<run::Run>),
    #[command(after_help = EXIT_CODES)]
    Logits(logits::Logits),
    #[command(after_help = EXIT_CODES)]
    Inspect(inspect::Args),
    #[command(after_help = EXIT_CODES)]
    Synth(synth::Args),
}

impl Cli {
    /// Runs the command that was asked for.
    pub fn run(self) -> Result<(), Error> {
        match self.command {
            Command::Run(run) => {
                exit_on_interrupt()?;
                run.run()
            }
            Command::Logits(logits) => {
                exit_on_interrupt()?;
                logits.run()
            }
            Command::Inspect(args) => Ok(inspect::run(&args, &mut std::io::stdout().lock())?),
            Command::Synth(args) => Ok(synth::run(&args)?),
        }
    }
}

/// Makes Ctrl-C end the program at once, even inside a long prefill. Text is written out as soon as it is there.
fn exit_on_interrupt() -> Result<(), Error> {
    ctrlc::set_handler(|| exit(INTERRUPTED)).map_err(|error| Error::Failure(format!("cannot handle Ctrl-C: {error}")))
}
