//! The program `apr`.
use apr::{Error, commands::Cli};
use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    match Cli::parse().run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            match (&error, error.code()) {
                (Error::OutputClosed, _) => {}
                (Error::Parity(report), _) => eprintln!("{report}"),
                (_, Some(code)) => eprintln!("error[{code}]: {error}"),
                (_, None) => eprintln!("error: {error}"),
            }
            ExitCode::from(error.exit_code())
        }
    }
}
