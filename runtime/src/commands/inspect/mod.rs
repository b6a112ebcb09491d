//! `apr inspect`: what is in a model file, whether it runs here, and the memory it needs.

mod report;
mod text;

use std::io::{self, Write};
use std::path::PathBuf;

pub use report::Report;

use crate::gguf::{Gguf, ModelError};
use crate::model::Model;

/// Show what is in a model file, whether it is supported, and the memory it needs
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// The model file
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Print everything, every tensor and metadata entry too, as JSON
    #[arg(long)]
    json: bool,
    /// Read all weights, too, and look for values that are not finite
    #[arg(long)]
    check: bool,
}

/// Why a file was not described.
#[derive(Debug, thiserror::Error)]
pub enum InspectError {
    /// The file cannot be read.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// The description cannot be printed.
    #[error("cannot write to the output: {0}")]
    Output(#[from] io::Error),
}

/// Describes the file on `out`.
pub fn run(args: &Args, out: &mut impl Write) -> Result<(), InspectError> {
    let gguf = Gguf::open(&args.file)?;
    let mut report = Report::new(&args.file, &gguf);
    if args.check {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        Model::load(&gguf)?.check_values(threads)?;
        report.values_finite = Some(true);
    }
    if args.json {
        let json = report.json(&gguf);
        writeln!(out, "{}", printable_json(&serde_json::to_string_pretty(&json).map_err(io::Error::from)?))?;
    } else {
        write!(out, "{}", text::Text(&report))?;
    }
    Ok(out.flush()?)
}

/// Escapes what serde_json leaves as it is but a terminal may obey or hide: control and invisible characters.
fn printable_json(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for c in json.chars() {
        let hidden = c != '\n' && c != '"' && c != '\\' && c != '\'' && c.escape_debug().len() > 1;
        match hidden {
            true => c.encode_utf16(&mut [0; 2]).iter().for_each(|unit| out.push_str(&format!("\\u{unit:04x}"))),
            false => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests;
