//! A folder of kernels with the schedules that it ships: what `kernels-gen`'s build script and the `kgen` command work on.
use crate::diagnostic::{self, Source};
use crate::inlined::{self, Inlined};
use crate::ir::Kernel;
use crate::loop_ir::Func;
use crate::nearest::nearest;
use crate::schedule::{Schedule, file};
use crate::target::Target;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The kernels of a folder, checked.
pub struct Library {
    /// The files they come from.
    pub sources: Vec<Source>,
    /// Every instance of every kernel.
    pub kernels: Vec<Kernel>,
    /// Those with others in them, for CUDA.
    pub inlined: Vec<Inlined>,
    folder: PathBuf,
}

/// Why a folder gives no kernels: a message that is ready to be shown.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct LibraryError(pub String);

impl Library {
    /// Reads and checks `formats/*.rs` and `kernels/*.rs` of a folder.
    pub fn open(folder: &Path) -> Result<Library, LibraryError> {
        let library = Library { folder: folder.to_path_buf(), ..Library::compiled(sources(folder)?)? };
        let specs = library.listed(inlined::FILE)?;
        library.with_inlined(specs)
    }

    /// The kernels of these files, with those that a list like `schedules/inlined.json` has. There is no folder with schedules.
    pub fn of(sources: Vec<Source>, inlined: &str) -> Result<Library, LibraryError> {
        let specs = serde_json::from_str(inlined).map_err(|e| LibraryError(e.to_string()))?;
        Library::compiled(sources)?.with_inlined(specs)
    }

    fn compiled(sources: Vec<Source>) -> Result<Library, LibraryError> {
        let kernels = crate::compile(&sources).map_err(|e| LibraryError(diagnostic::render(&e, &sources, false)))?;
        Ok(Library { sources, kernels, inlined: Vec::new(), folder: PathBuf::new() })
    }

    fn with_inlined(mut self, specs: Vec<inlined::Spec>) -> Result<Library, LibraryError> {
        for spec in specs {
            self.inlined.push(Inlined::new(spec, &self.kernels)?);
        }
        Ok(self)
    }

    /// All kernels that have code for a target.
    pub fn kernels_on(&self, target: Target) -> impl Iterator<Item = &Kernel> {
        let inlined = self.inlined.iter().filter(move |_| target == Target::Cuda);
        self.kernels.iter().chain(inlined.map(|inlined| &inlined.result.kernel))
    }

    /// The kernel instance of this name.
    pub fn kernel(&self, name: &str) -> Result<&Kernel, LibraryError> {
        self.kernels_on(Target::Cuda).find(|k| k.name == name).ok_or_else(|| {
            let names: Vec<&str> = self.kernels_on(Target::Cuda).map(|k| k.name.as_str()).collect();
            let meant = nearest(name, names.iter().copied()).map(|meant| format!(" (did you mean `{meant}`?)"));
            let meant = meant.unwrap_or_default();
            LibraryError(format!("there is no kernel `{name}`{meant}; there are {}", names.join(", ")))
        })
    }

    /// The schedules of a target's file, by kernel, or by the beginning of kernels' names as `matvec_*`: one, or a list of which the last is
    /// for all sizes.
    pub fn schedules(&self, target: Target) -> Result<BTreeMap<String, Vec<Schedule>>, LibraryError> {
        let path = self.schedule_file(&target.schedule_file());
        parse_schedules(&read(&path)?, &path.display().to_string())
    }

    /// A file with schedules.
    pub fn schedule_file(&self, name: &str) -> PathBuf {
        self.folder.join("schedules").join(name)
    }

    /// The list in a file with schedules; none where there is no such file.
    pub(crate) fn listed<T: DeserializeOwned>(&self, file: &str) -> Result<Vec<T>, LibraryError> {
        let path = self.schedule_file(file);
        if !path.exists() {
            return Ok(Vec::new());
        }
        serde_json::from_str(&read(&path)?).map_err(|e| LibraryError(format!("{}: {e}", path.display())))
    }

    /// The schedules of one kernel, at least one.
    pub fn schedule(&self, kernel: &str, target: Target) -> Result<Vec<Schedule>, LibraryError> {
        let mut all = self.schedules(target)?;
        let missing = || LibraryError(format!("schedules/{} has no schedule for `{kernel}`", target.schedule_file()));
        let entry = file::entry(all.keys().map(String::as_str), kernel).ok_or_else(missing)?.to_string();
        all.remove(&entry).ok_or_else(missing)
    }

    /// A kernel on a target: what each of its schedules makes of it.
    pub fn lowered(&self, kernel: &Kernel, target: Target) -> Result<Vec<(Schedule, Func)>, LibraryError> {
        let lower = |schedule: Schedule| {
            let failed = |e| LibraryError(format!("schedules/{}: {e}", target.schedule_file()));
            let func = target.lower(kernel, &schedule).map_err(failed)?;
            Ok((schedule, func))
        };
        self.schedule(&kernel.name, target)?.into_iter().map(lower).collect()
    }
}

/// The schedules in the text of a target's file, see [`Library::schedules`]; `name` is the file's in errors.
pub fn parse_schedules(text: &str, name: &str) -> Result<BTreeMap<String, Vec<Schedule>>, LibraryError> {
    let failed = |what: String| LibraryError(format!("{name}: {what}"));
    let entries: BTreeMap<String, Value> = serde_json::from_str(text).map_err(|e| failed(e.to_string()))?;
    let mut schedules = BTreeMap::new();
    for (kernel, entry) in entries {
        let list = if entry.is_array() { entry } else { Value::Array(vec![entry]) };
        let list: Vec<Schedule> = serde_json::from_value(list).map_err(|e| failed(format!("`{kernel}`: {e}")))?;
        if list.last().is_none_or(|last| !last.most.is_empty()) {
            return Err(failed(format!("the last schedule of `{kernel}` must be for all sizes")));
        }
        schedules.insert(kernel, list);
    }
    Ok(schedules)
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

/// The text of a file.
pub(crate) fn read(path: &Path) -> Result<String, LibraryError> {
    std::fs::read_to_string(path).map_err(|e| LibraryError(format!("{}: {e}", path.display())))
}
