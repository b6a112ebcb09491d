//! Standard output, written out at once.
use crate::Error;
use std::io::{self, Write};

/// Standard output.
pub struct Output(io::StdoutLock<'static>);

impl Output {
    /// Standard output, for this writer alone.
    pub fn lock() -> Output {
        Output(io::stdout().lock())
    }

    /// Writes a text and hands it on.
    pub fn write(&mut self, text: &str) -> Result<(), Error> {
        self.0.write_all(text.as_bytes()).and_then(|()| self.0.flush()).map_err(|error| Error::output(&error))
    }
}
