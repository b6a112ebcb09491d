//! A folder of kernels with the schedules that it ships: what `kernels-gen`'s build script and the `kgen` command work on.
use crate::diagnostic::{self, Source};
use crate::ir::Kernel;
use crate::schedule::Schedule;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The kernels of a folder, checked.
pub struct Library {
    /// The files they come from.
    pub sources: Vec<Source>,
    /// Every instance of every kernel.
    pub kernels: Vec<Kernel>,
    folder: PathBuf,
}

/// Why a folder gives no kernels: a message that is ready to be shown.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct LibraryError(pub String);

impl Library {
    /// Reads and checks `formats/*.rs` and `kernels/*.rs` of a folder.
    pub fn open(folder: &Path) -> Result<Library, LibraryError> {
        let sources = sources(folder)?;
        let kernels = crate::compile(&sources).map_err(|e| LibraryError(diagnostic::render(&e, &sources, false)))?;
        Ok(Library { sources, kernels, folder: folder.to_path_buf() })
    }

    /// The kernel instance of this name.
    pub fn kernel(&self, name: &str) -> Result<&Kernel, LibraryError> {
        self.kernels.iter().find(|k| k.name == name).ok_or_else(|| {
            let names: Vec<&str> = self.kernels.iter().map(|k| k.name.as_str()).collect();
            LibraryError(format!("there is no kernel `{name}`; there are {}", names.join(", ")))
        })
    }

    /// The schedules of `schedules/TARGET.json`, by kernel; a target is an instruction set or `cuda`.
    pub fn schedules(&self, target: impl std::fmt::Display) -> Result<BTreeMap<String, Schedule>, LibraryError> {
        let path = self.folder.join("schedules").join(format!("{target}.json"));
        let text = read(&path)?;
        serde_json::from_str(&text).map_err(|e| LibraryError(format!("{}: {e}", path.display())))
    }

    /// The schedule of one kernel.
    pub fn schedule(&self, kernel: &str, target: impl std::fmt::Display) -> Result<Schedule, LibraryError> {
        let missing = LibraryError(format!("schedules/{target}.json has no schedule for `{kernel}`"));
        self.schedules(target)?.remove(kernel).ok_or(missing)
    }
}

/// The source files of a folder, by name.
pub fn sources(folder: &Path) -> Result<Vec<Source>, LibraryError> {
    let mut files = Vec::new();
    for part in ["formats", "kernels"] {
        let path = folder.join(part);
        let entries = std::fs::read_dir(&path).map_err(|e| LibraryError(format!("{}: {e}", path.display())))?;
        files.extend(entries.flatten().map(|e| e.path()).filter(|p| p.extension().is_some_and(|e| e == "rs")));
    }
    files.sort();
    files.iter().map(|path| Ok(Source { name: path.display().to_string(), text: read(path)? })).collect()
}

fn read(path: &Path) -> Result<String, LibraryError> {
    std::fs::read_to_string(path).map_err(|e| LibraryError(format!("{}: {e}", path.display())))
}
