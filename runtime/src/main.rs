//! The program `apr`.
use apr::{Error, commands::Cli};
use clap::Parser;
use std::process::{ExitCode, exit};

/// Exit code of a program that Ctrl-C ended.
const INTERRUPTED: i32 = 130;

fn main() -> ExitCode {
    // Text is written out as soon as it is there, so nothing is lost by ending at once, even inside a long prefill.
    let handler = ctrlc::set_handler(|| exit(INTERRUPTED)).map_err(|error| format!("cannot handle Ctrl-C: {error}"));
    match handler.map_err(Error::Failure).and_then(|()| Cli::parse().run()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Error::OutputClosed) => ExitCode::SUCCESS,
        Err(error) => {
            match error.code() {
                Some(code) => eprintln!("error[{code}]: {error}"),
                None => eprintln!("error: {error}"),
            }
            ExitCode::from(error.exit_code())
        }
    }
}
