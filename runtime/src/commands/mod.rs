//! The commands of `apr`, one file each: their arguments and what they print.
mod bench;
mod bundled;
mod cpu;
mod device;
mod eval;
mod gate;
pub mod inspect;
mod logits;
mod output;
mod parity;
mod progress;
mod run;
pub mod synth;
mod tokens;

use crate::{EXIT_CODES, Error};
use clap::Parser;
use std::ffi::c_int;

/// Exit code of a program that Ctrl-C ended.
const INTERRUPTED: c_int = 130;

unsafe extern "C" {
    /// Ends the program at once (POSIX, and the C runtime of Windows).
    fn _exit(code: c_int) -> !;
}

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
    Parity(Box<parity::Parity>),
    #[command(after_help = EXIT_CODES)]
    Bench(bench::Bench),
    #[command(after_help = EXIT_CODES)]
    Eval(Box<eval::Eval>),
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
                exit_on_interrupt(|| ())?;
                run.run()
            }
            Command::Logits(logits) => logits.run(),
            Command::Parity(parity) => {
                exit_on_interrupt(|| ())?;
                parity.run()
            }
            Command::Bench(bench) => bench.run(),
            Command::Eval(eval) => eval.run(),
            Command::Inspect(args) => Ok(inspect::run(&args, &mut std::io::stdout().lock())?),
            Command::Synth(args) => Ok(synth::run(&args)?),
        }
    }
}

/// Makes Ctrl-C end the program at once, even inside a long prefill, once `tidy` is done. Text is written out as soon as
/// it is there.
fn exit_on_interrupt(tidy: impl Fn() + Send + 'static) -> Result<(), Error> {
    let end = move || {
        tidy();
        // Without the tidying up of libraries: that of a GPU's driver would make its calls in other threads fail, which
        // would then end the program with another code.
        // SAFETY: it has no conditions.
        unsafe { _exit(INTERRUPTED) }
    };
    ctrlc::set_handler(end).map_err(|error| Error::Failure(format!("cannot handle Ctrl-C: {error}")))
}
