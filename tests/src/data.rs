//! Where the data of tests is: a little in `tests/data`, the rest in the folder that `KGEN_ORACLES` names.
use apr::synth::{Options, Quant, Shape, shape, write};
use std::{
    env, fs,
    io::{self, Write},
    path::{Path, PathBuf},
    sync::atomic::AtomicBool,
};
use tempfile::TempDir;

/// The root of the source tree.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("this package is in the root's folder").into()
}

/// The bundled model.
pub fn bundled_model() -> PathBuf {
    root().join("models/abacus-42m-q4_k_m.gguf")
}

/// A file of `tests/data`.
pub fn bundled(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("data").join(name)
}

/// A file below the folder that `KGEN_ORACLES` names; where it is not, a line on stderr says what `test` is skipped for.
pub fn external(test: &str, path: &str) -> Option<PathBuf> {
    let found = env::var_os("KGEN_ORACLES").map(|folder| Path::new(&folder).join(path)).filter(|path| path.is_file());
    if found.is_none() {
        skipped(test, &format!("no {path} in the folder that KGEN_ORACLES names"));
    }
    found
}

/// Says on stderr what is skipped and why; not through `eprintln`, which is not shown for tests that pass.
pub fn skipped(what: &str, why: &str) {
    let _ = writeln!(io::stderr(), "skipped: {what}: {why}");
}

/// A model with what independent programs compute for it.
pub struct Oracle {
    /// Its name.
    pub name: &'static str,
    /// The model file.
    pub model: PathBuf,
    /// The tokens that were fed.
    pub tokens: Vec<u32>,
    folder: PathBuf,
    /// Where a model is that is not kept.
    _written: TempDir,
}

impl Oracle {
    /// The oracle of this name, or a line that says what is skipped.
    pub fn open(test: &str, name: &'static str) -> Option<Oracle> {
        let tokens = format!("{name}.tokens");
        let tokens = Some(bundled(&tokens)).filter(|path| path.is_file());
        let tokens = tokens.or_else(|| external(&format!("{test} of {name}"), &format!("oracle/{name}.tokens")))?;
        let folder = tokens.parent().expect("a file is in a folder").to_path_buf();
        let written = tempfile::tempdir().expect("a folder can be made");
        let model = match (name, shape(name)) {
            ("abacus", _) => bundled_model(),
            (_, Some(shape)) => synthetic(shape, written.path()),
            _ => folder.join(format!("{name}.gguf")),
        };
        Some(Oracle { name, model, tokens: read_tokens(&tokens), folder, _written: written })
    }

    /// Logits of a forward pass in float64 with float activations.
    pub fn truth(&self) -> Vec<f32> {
        read_f32(&self.folder.join(format!("{}.truth.f32", self.name)))
    }

    /// llama.cpp's logits.
    pub fn llama(&self) -> Vec<f32> {
        read_f32(&self.folder.join(format!("{}.llama.f32", self.name)))
    }
}

/// The model that `tests/oracle.py` was given: a seed means the same file everywhere, so it is written when it is wanted.
fn synthetic(shape: &Shape, folder: &Path) -> PathBuf {
    let path = folder.join("model.gguf");
    let options = Options { seed: 7, layers: None, outliers: false, quant: Quant::Q4KM };
    write(&path, shape, &options, 2, &AtomicBool::new(false), |_, _| ()).expect("a small model can be written");
    path
}

fn read_tokens(path: &Path) -> Vec<u32> {
    let text = fs::read_to_string(path).expect("the tokens are readable");
    text.trim().split(',').map(|id| id.parse().expect("a token is a number")).collect()
}

fn read_f32(path: &Path) -> Vec<f32> {
    let bytes = fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    bytes.as_chunks().0.iter().map(|word| f32::from_le_bytes(*word)).collect()
}
