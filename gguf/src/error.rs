//! The error of everything that reads or judges a model file.

use std::fmt::Write;

/// What sort of fault a model file has; the code is stable and machine-readable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The file cannot be opened, read, or written.
    Io,
    /// The bytes are not a well-formed GGUF file.
    Format,
    /// A metadata entry is missing, malformed or implausible.
    Metadata,
    /// A tensor is missing, malformed, or does not fit the model.
    Tensor,
    /// The file is well-formed, but the model is none that this program runs.
    Unsupported,
}

impl Fault {
    /// The stable code, as printed in brackets after `error`.
    pub fn code(self) -> &'static str {
        match self {
            Fault::Io => "model-file",
            Fault::Format => "gguf-format",
            Fault::Metadata => "gguf-metadata",
            Fault::Tensor => "gguf-tensor",
            Fault::Unsupported => "model-unsupported",
        }
    }
}

/// A bad or unsupported model file (exit code 3): what is wrong, and the way out.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{message}\n  help: {help}")]
pub struct ModelError {
    fault: Fault,
    message: String,
    help: String,
}

impl ModelError {
    /// An error of one sort with its message and its help line.
    pub fn new(fault: Fault, message: impl Into<String>, help: impl Into<String>) -> Self {
        Self { fault, message: message.into(), help: help.into() }
    }

    /// The bytes break the GGUF format: a damaged or cut-off file.
    pub fn format(message: impl Into<String>) -> Self {
        Self::new(Fault::Format, message, "the file is damaged or incomplete; download or convert it again")
    }

    /// The entry `key` is at fault.
    pub fn metadata(key: &str, problem: impl std::fmt::Display) -> Self {
        let message = format!("metadata key `{}`: {problem}", shown(key));
        Self::new(
            Fault::Metadata,
            message,
            "the model was converted wrongly; convert it again with a current converter",
        )
    }

    /// The tensor `name` is at fault.
    pub fn tensor(name: &str, problem: impl std::fmt::Display) -> Self {
        let message = format!("tensor `{}`: {problem}", shown(name));
        Self::new(Fault::Tensor, message, "the file is damaged or was converted wrongly; download or convert it again")
    }

    /// The model is none that this program runs; `help` lists what is.
    pub fn unsupported(message: impl Into<String>, help: impl Into<String>) -> Self {
        Self::new(Fault::Unsupported, message, help)
    }

    /// The same error, with the name of the file, which must be printable.
    pub(super) fn in_file(self, file: &str) -> Self {
        Self { message: format!("`{file}`: {}", self.message), ..self }
    }

    /// The sort of fault.
    pub fn fault(&self) -> Fault {
        self.fault
    }

    /// What is wrong, in one line.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// What the user can do about it, in one line.
    pub fn help(&self) -> &str {
        &self.help
    }
}

/// Text out of a file made safe to print: control and invisible characters escaped, long text cut.
///
/// # Example
/// ```
/// assert_eq!(gguf::shown("a\u{1b}[2Jb"), "a\\u{1b}[2Jb");
/// ```
pub fn shown(text: &str) -> String {
    const LONGEST: usize = 120;
    let mut out = String::new();
    for (count, c) in text.chars().enumerate() {
        if count == LONGEST {
            out.push_str("...");
            break;
        }
        match c {
            '"' | '\'' => out.push(c),
            // Writing to a string cannot fail.
            c => drop(write!(out, "{}", c.escape_debug())),
        }
    }
    out
}
