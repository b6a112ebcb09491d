//! Small synthetic models for the tests of the executor.
use apr::{
    gguf::Gguf,
    synth::{Options, Quant, shape, write},
};
use std::{fs, sync::atomic::AtomicBool};

/// The file of a synthetic model.
pub fn model_bytes(name: &str, quant: Quant) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.gguf");
    let options = Options { seed: 1, layers: None, outliers: true, quant };
    write(&path, shape(name).unwrap(), &options, 2, &AtomicBool::new(false), |_, _| ()).unwrap();
    fs::read(path).unwrap()
}

/// A synthetic model, open.
pub fn model(name: &str, quant: Quant) -> Gguf {
    Gguf::from_bytes(model_bytes(name, quant)).unwrap()
}
