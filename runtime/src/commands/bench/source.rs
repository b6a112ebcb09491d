//! The model that is measured: a file, or random weights in the shape of a real model, written for the time of the measurement.
use crate::{
    Error,
    commands::{bundled, synth},
    synth::{Options, Quant, SynthError, header, shape},
};
use indicatif::HumanBytes;
use std::{
    env,
    path::PathBuf,
    sync::{OnceLock, atomic::AtomicBool},
};
use tempfile::TempDir;

/// A model file.
pub struct Source {
    /// Where it is.
    pub path: PathBuf,
    /// What it is called.
    pub name: String,
    /// The folder that goes with it when this is dropped.
    _folder: Option<TempDir>,
}

impl Source {
    /// The named file, or the default one.
    pub fn file(model: Option<PathBuf>) -> Result<Source, Error> {
        let path = bundled::or_default(model)?;
        Ok(Source { name: path.display().to_string(), path, _folder: None })
    }

    /// Writes a model of this shape. `folder` gets the folder that an interrupt has to remove.
    pub fn synthetic(name: &str, folder: &OnceLock<PathBuf>) -> Result<Source, Error> {
        let shape = shape(name).ok_or_else(|| SynthError::UnknownShape(name.into()))?;
        let options = Options { seed: 0, layers: None, outliers: false, quant: Quant::Q4KM };
        let aside = tempfile::Builder::new().prefix("apr-bench-").tempdir().map_err(|error| {
            let place = env::temp_dir();
            let message = format!("cannot write a model into {}: {error}", place.display());
            Error::Failure(message + "\n  help: set TMPDIR to a folder that exists and may be written to")
        })?;
        let _ = folder.set(aside.path().to_path_buf());
        let path = aside.path().join(format!("{name}.gguf"));
        let bytes: u64 = header(shape, &options).tensors().iter().filter_map(|tensor| tensor.bytes().ok()).sum();
        let place = aside.path().display();
        eprintln!("writing {} of random weights into {place} for the time of the measurement", HumanBytes(bytes));
        synth::write_with_bar(&path, shape, &options, &AtomicBool::new(false))?;
        Ok(Source { path, name: format!("synthetic {name}"), _folder: Some(aside) })
    }
}
