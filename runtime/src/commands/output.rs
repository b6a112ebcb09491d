//! Standard output, where a reader that has gone is no failure.
use crate::Error;
use std::io::{self, ErrorKind, Write};

/// Writes to standard output, at once.
pub struct Output(io::StdoutLock<'static>);

impl Output {
    /// Standard output.
    pub fn new() -> Output {
        Output(io::stdout().lock())
    }

    /// Writes a text and hands it on.
    pub fn write(&mut self, text: &str) -> Result<(), Error> {
        self.0.write_all(text.as_bytes()).and_then(|()| self.0.flush()).map_err(|error| match error.kind() {
            ErrorKind::BrokenPipe => Error::OutputClosed,
            _ => Error::Failure(format!("cannot write to standard output: {error}")),
        })
    }
}
