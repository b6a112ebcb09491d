//! Verdicts of the gate on disk: that it was passed, under a hash of everything that the verdict depends on.
use crate::{
    Error,
    gguf::Gguf,
    plan::{Plan, PlanSchedule, pairs, units},
};
use kernels_gen::{FUSED, INLINED};
use kgen::{nvrtc::Cache, text::hex};
use sha2::{Digest, Sha256};
use std::{
    env, fs, io,
    path::{Path, PathBuf},
    time::UNIX_EPOCH,
};

/// What a verdict begins with; another check has another number.
const MAGIC: &str = "apr parity gate 1: passed\n";
/// Bytes at the beginning, the middle and the end of each tensor that stand for all of it.
const SAMPLE: usize = 4096;

/// A folder of verdicts, which processes may share.
#[derive(Clone, Debug)]
pub struct Verdicts {
    folder: PathBuf,
}

impl Verdicts {
    /// In this folder, which is made when the first verdict is.
    pub fn at(folder: impl Into<PathBuf>) -> Verdicts {
        Verdicts { folder: folder.into() }
    }

    /// Where compiled kernels are kept, too; none where no folder is known.
    pub fn standard() -> Option<Verdicts> {
        Cache::standard().map(|cache| Verdicts::at(cache.folder()))
    }

    /// Whether the gate was passed under this key. What is damaged counts as missing.
    pub fn passed(&self, key: &str) -> bool {
        fs::read_to_string(self.path(key)).is_ok_and(|text| text == entry(key))
    }

    /// Remembers that it was. Written aside and renamed: readers see the whole entry or none.
    pub fn remember(&self, key: &str) -> io::Result<()> {
        fs::create_dir_all(&self.folder)?;
        let file = tempfile::NamedTempFile::new_in(&self.folder)?;
        fs::write(file.path(), entry(key))?;
        file.persist(self.path(key))?;
        Ok(())
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    fn path(&self, key: &str) -> PathBuf {
        self.folder.join(format!("{key}.parity"))
    }
}

/// The key is a part, so that a file under another's name is noticed.
fn entry(key: &str) -> String {
    format!("{MAGIC}{key}\n")
}

/// The hash of what a verdict depends on: the model, the plan, the kernels, this program, and the executor under test, which
/// `identity` describes (see [`crate::exec::Executor::identity`]).
///
/// A model is known by its size, its metadata and tensor table, and a sample of each tensor: hashing every byte would take
/// longer than loading it.
pub fn key(model: &Gguf, plan: &Plan, identity: &str) -> Result<String, Error> {
    let mut hash = Sha256::new();
    let mut add = |bytes: &[u8]| {
        hash.update((bytes.len() as u64).to_le_bytes());
        hash.update(bytes);
    };
    add(MAGIC.as_bytes());
    add(identity.as_bytes());
    add(program().as_bytes());
    add(&model.file_bytes().to_le_bytes());
    add(model.header());
    for tensor in model.tensors() {
        let last = tensor.data.len().saturating_sub(SAMPLE);
        for start in [0, last / 2, last] {
            add(&tensor.data[start..tensor.data.len().min(start + SAMPLE)]);
        }
    }
    add(format!("{plan:?}").as_bytes());
    let stages = plan.bind(kernels_gen::kernel)?;
    let schedule = PlanSchedule::ALL;
    let units = units(plan, &stages, INLINED, schedule);
    let fused = pairs(&units, FUSED, schedule).into_iter().map(|pair| &pair.fused.cuda);
    let all = stages.iter().chain(units.iter().map(|unit| &unit.bound));
    for code in all.flat_map(|stage| stage.kernel.codes()).chain(fused) {
        // Its fields are numbers, functions of the program, and the source.
        let numbers = (code.at_once, code.threads, code.resident, code.shared);
        add(format!("{numbers:?} {} {:?} {}", code.entry, code.parameters, code.body).as_bytes());
    }
    Ok(hex(&hash.finalize()))
}

/// This very program, whose CPU code the GPU was compared with.
fn program() -> String {
    let file = env::current_exe().and_then(fs::metadata);
    let modified = file.as_ref().ok().and_then(|file| file.modified().ok()?.duration_since(UNIX_EPOCH).ok());
    format!("{} {:?} {modified:?}", env!("CARGO_PKG_VERSION"), file.map(|file| file.len()).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verdict_is_remembered_under_its_key_alone() {
        let folder = tempfile::tempdir().unwrap();
        let verdicts = Verdicts::at(folder.path().join("a/b"));
        let (key, other) = ("0".repeat(64), "1".repeat(64));
        assert!(!verdicts.passed(&key));
        verdicts.remember(&key).unwrap();
        assert!(verdicts.passed(&key) && !verdicts.passed(&other));
        fs::rename(verdicts.path(&key), verdicts.path(&other)).unwrap();
        assert!(!verdicts.passed(&other), "another's entry");
    }

    #[test]
    fn damage_anywhere_counts_as_missing() {
        let folder = tempfile::tempdir().unwrap();
        let verdicts = Verdicts::at(folder.path());
        verdicts.remember("k").unwrap();
        let good = fs::read(verdicts.path("k")).unwrap();
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 1;
            fs::write(verdicts.path("k"), &bad).unwrap();
            assert!(!verdicts.passed("k"), "byte {at}");
            fs::write(verdicts.path("k"), &good[..at]).unwrap();
            assert!(!verdicts.passed("k"), "cut at {at}");
        }
        verdicts.remember("k").unwrap();
        assert!(verdicts.passed("k"));
    }
}
