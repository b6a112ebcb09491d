//! The `kgen` command: lists, checks, prints, builds, runs and explains kernels. One file a command in `commands`.
mod commands;

use clap::{Parser, Subcommand};
use commands::{Failure, build, check, doctor, emit, explain, inspect, list, run, tune};
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

const AFTER: &str = "\
Exit codes:
  0  ok
  1  failure: errors in kernels, an illegal schedule, a fault, an unreadable file, a missing compiler, a refused audit
  2  usage: an unknown command, option or value
  3  tune --check: a shipped schedule is beaten by more than 10 %
  4  tune: a schedule gave other bits

Environment:
  KGEN_KERNELS  the kernels folder, where --kernels is not given
  KGEN_CACHE    the folder of compiled CUDA kernels, and of the journal of tune [default: $XDG_CACHE_HOME/kgen, else ~/.cache/kgen]
  CUDA_HOME     a CUDA toolkit, where NVRTC is looked for after the library path
  NO_COLOR      no colours, also where errors go to a terminal";

/// A compiler for kernels with one meaning: one source, equal bits on every CPU and GPU
#[derive(Parser)]
#[command(version, after_help = AFTER, propagate_version = true, disable_help_subcommand = true)]
struct Cli {
    /// Folder with `kernels/`, `formats/` and `schedules/` [default: $KGEN_KERNELS, else the one kgen was built beside]
    #[arg(long, global = true, value_name = "DIR")]
    kernels: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// List the kernels with their parameters, shapes and places in the source
    List(list::Args),
    /// Check kernels and print every error
    Check(check::Args),
    /// Print a kernel as algorithm IR, loop IR, Rust, CUDA C++ or PTX
    Emit(emit::Args),
    /// Write kernels in every form, compiled and audited, into a folder; no GPU is needed
    Build(build::Args),
    /// Say what the GPU code of kernels takes and does: registers, memory, occupancy, instructions, operations; no GPU is needed
    Inspect(inspect::Args),
    /// Run a kernel on given data with an interpreter
    Run(run::Args),
    /// Look for faster schedules: candidates are compiled, compared bit for bit, and timed
    Tune(tune::Args),
    /// Explain an error code, or list all of them
    Explain(explain::Args),
    /// Say what this machine has for compiling and running kernels, what is missing, and how to get it
    Doctor(doctor::Args),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let folder = commands::folder(cli.kernels);
    let mut out = io::BufWriter::new(io::stdout().lock());
    let done = match &cli.command {
        Command::List(args) => list::run(args, &folder, &mut out),
        Command::Check(args) => check::run(args, &folder, &mut out),
        Command::Emit(args) => emit::run(args, &folder, &mut out),
        Command::Build(args) => build::run(args, &folder),
        Command::Inspect(args) => inspect::run(args, &folder, &mut out),
        Command::Run(args) => run::run(args, &folder, &mut out),
        Command::Tune(args) => tune::run(args, &folder, &mut out),
        Command::Explain(args) => explain::run(args, &mut out),
        Command::Doctor(args) => doctor::run(args, &mut out),
    };
    match done.and_then(|()| Ok(out.flush()?)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => report(failure),
    }
}

/// Says what went wrong; a reader of standard output that has gone away is no error.
fn report(failure: Failure) -> ExitCode {
    // Nothing can be done where standard error is closed too.
    let say = |text: &str| drop(io::stderr().write_all(text.as_bytes()));
    match failure {
        Failure::Usage(message) => {
            say(&format!("error: {message}\n\nFor more information, try '--help'.\n"));
            ExitCode::from(2)
        }
        Failure::Failed(message) => {
            say(&format!("error: {message}\n"));
            ExitCode::FAILURE
        }
        Failure::Found(code, message) => {
            say(&format!("error: {message}\n"));
            ExitCode::from(code)
        }
        Failure::Diagnosed(text) => {
            say(&text);
            ExitCode::FAILURE
        }
        Failure::Output(e) if e.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Failure::Output(e) => {
            say(&format!("error: standard output: {e}\n"));
            ExitCode::FAILURE
        }
    }
}
