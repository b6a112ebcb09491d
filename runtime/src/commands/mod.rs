//! The commands of `apr`, one file each.
mod device;
mod logits;
mod output;
mod run;

use crate::{EXIT_CODES, Error};
use clap::Parser;

/// Runs quantized language models with equal bits on every device.
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
}

impl Cli {
    /// Runs the command that was asked for.
    pub fn run(self) -> Result<(), Error> {
        match self.command {
            Command::Run(run) => run.run(),
            Command::Logits(logits) => logits.run(),
        }
    }
}
