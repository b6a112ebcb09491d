//! The error of the program: what went wrong, the way out, and the exit code.
use crate::{
    commands::inspect::InspectError,
    exec::{ExecError, cuda::CudaError},
    gguf::ModelError,
    plan::PlanError,
    synth::SynthError,
};
use std::io;

/// What can go wrong in a command.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Something failed that is none of the others: no memory, a file that cannot be written.
    #[error("{0}")]
    Failure(String),
    /// The command was called wrongly.
    #[error("{message}\n  help: {help}")]
    Usage {
        /// What is wrong.
        message: String,
        /// What to do about it.
        help: String,
    },
    /// A bad or unsupported model file, or a wish that its own metadata makes impossible.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// The device that was asked for cannot serve.
    #[error("{message}\n  help: {help}")]
    Device {
        /// What is missing.
        message: String,
        /// What to do about it.
        help: String,
    },
    /// Two devices compute different functions: the whole report.
    #[error("{0}")]
    Parity(String),
    /// The plan and the kernels do not fit together.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// The forward pass failed.
    #[error(transparent)]
    Exec(#[from] ExecError),
    /// A synthetic model was not written.
    #[error(transparent)]
    Synth(#[from] SynthError),
    /// Whoever read the output has gone; there is nobody to tell.
    #[error("the output was closed")]
    OutputClosed,
}

impl Error {
    /// A wrong call, with the way out.
    pub fn usage(message: impl Into<String>, help: impl Into<String>) -> Error {
        Error::Usage { message: message.into(), help: help.into() }
    }

    /// A device that cannot serve, with the way out.
    pub fn device(message: impl Into<String>, help: impl Into<String>) -> Error {
        Error::Device { message: message.into(), help: help.into() }
    }

    /// Standard output that cannot be written; a reader that has gone is no failure.
    pub fn output(error: &io::Error) -> Error {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Error::OutputClosed,
            _ => Error::Failure(format!("cannot write to standard output: {error}")),
        }
    }

    /// The stable name of the sort of error, where there is one.
    pub fn code(&self) -> Option<&'static str> {
        match self {
            Error::Model(error) => Some(error.fault().code()),
            _ => None,
        }
    }

    /// The exit code of the program, see [`EXIT_CODES`].
    pub fn exit_code(&self) -> u8 {
        match self {
            Error::OutputClosed => 0,
            Error::Exec(ExecError::Cuda(_)) => 5,
            Error::Synth(SynthError::Interrupted) => 130,
            Error::Failure(_) | Error::Plan(_) | Error::Exec(_) | Error::Synth(_) => 1,
            Error::Usage { .. } => 2,
            Error::Model(_) => 3,
            Error::Parity(_) => 4,
            Error::Device { .. } => 5,
        }
    }
}

impl From<CudaError> for Error {
    fn from(error: CudaError) -> Error {
        ExecError::from(error).into()
    }
}

impl From<InspectError> for Error {
    fn from(error: InspectError) -> Error {
        match error {
            InspectError::Model(error) => error.into(),
            InspectError::Output(error) => Error::output(&error),
        }
    }
}

/// The exit codes, as `--help` lists them.
pub const EXIT_CODES: &str = "\
Exit codes:
  0    success
  1    failure
  2    wrong usage
  3    bad or unsupported model file, or a wish that its metadata makes impossible
  4    parity mismatch
  5    the device that was asked for is not available
  130  interrupted";
