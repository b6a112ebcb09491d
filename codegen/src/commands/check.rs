//! `kgen check`: every error in kernels, for people or for programs.
use super::{Done, Failure, render, sources};
use kgen::diagnostic::{Source, records};
use kgen::text::count;
use std::io::Write;
use std::path::{Path, PathBuf};

/// Arguments of `kgen check`.
#[derive(clap::Args)]
pub struct Args {
    /// Files that are compiled together [default: all of the kernels folder]
    files: Vec<PathBuf>,
    /// Print the errors as one JSON array to standard output
    #[arg(long)]
    json: bool,
}

/// Checks; fails where there is an error.
pub fn run(args: &Args, folder: &Path, out: &mut impl Write) -> Done {
    let sources = if args.files.is_empty() { sources(folder)? } else { given(&args.files)? };
    let result = kgen::compile(&sources);
    let errors = result.as_ref().err().map_or(&[][..], Vec::as_slice);
    if args.json {
        serde_json::to_writer_pretty(&mut *out, &records(errors, &sources)).map_err(std::io::Error::from)?;
        writeln!(out)?;
        out.flush()?;
    }
    match result {
        Ok(kernels) => {
            eprintln!("{} and {}: no errors", count(kernels.len(), "kernel"), count(sources.len(), "file"));
            Ok(())
        }
        Err(errors) => {
            let summary = count(errors.len(), "error");
            let text = if args.json { String::new() } else { render(&errors, &sources) };
            Err(Failure::Diagnosed(format!("{text}{summary}\n")))
        }
    }
}

fn given(files: &[PathBuf]) -> Result<Vec<Source>, Failure> {
    let read = |path: &PathBuf| {
        let name = path.display().to_string();
        let text = std::fs::read_to_string(path).map_err(|e| Failure::Failed(format!("{name}: {e}")))?;
        Ok(Source { name, text })
    };
    files.iter().map(read).collect()
}
