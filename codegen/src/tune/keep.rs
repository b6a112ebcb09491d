//! Schedules that a user keeps for a GPU of his own: `apr` takes them there before those that were built in.
use crate::nvrtc::{Arch, Cache};
use crate::schedule::{Schedule, file};
use serde_json::{Map, Value};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::{fs, io};

/// The file for an architecture, in the folder of [`Cache::standard`]; none where that is not known.
pub fn path(arch: &Arch) -> Option<PathBuf> {
    Cache::standard().map(|cache| cache.folder().join("schedules").join(format!("{arch}.json")))
}

/// Puts a schedule of a kernel into a file, in the place of one for the same sizes. The file is made where there is none.
pub fn keep(path: &Path, kernel: &str, schedule: &Schedule) -> io::Result<()> {
    let text = match fs::read_to_string(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => "{}".into(),
        text => text?,
    };
    let mut all: Map<String, Value> = serde_json::from_str(&text)?;
    let list = all.entry(kernel).or_insert_with(|| Value::Array(Vec::new()));
    let list = list.as_array_mut().ok_or_else(|| io::Error::other(format!("`{kernel}` is no list")))?;
    let schedule = file::compact(schedule).map_err(io::Error::other)?;
    match list.iter_mut().find(|other| other.get("most") == schedule.get("most")) {
        Some(place) => *place = schedule,
        None => list.push(schedule),
    }
    fs::create_dir_all(path.parent().unwrap_or(Path::new(".")))?;
    let mut aside = gguf::aside::beside(path)?;
    aside.write_all(file::format(&all).as_bytes())?;
    aside.persist(path)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn one_schedule_is_kept_for_each_kernel_and_size() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("schedules").join("sm_90.json");
        let schedule = |width, tokens: &[i32]| {
            let most: BTreeMap<String, i32> = tokens.iter().map(|n| ("T".to_string(), *n)).collect();
            Schedule { width, most, ..Schedule::plain(&["n"]) }
        };
        keep(&path, "f", &schedule(4, &[])).unwrap();
        keep(&path, "f", &schedule(8, &[1])).unwrap();
        keep(&path, "g", &schedule(4, &[])).unwrap();
        keep(&path, "f", &schedule(16, &[])).unwrap();
        let kept: BTreeMap<String, Vec<Schedule>> = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
        let expected = [("f", vec![schedule(16, &[]), schedule(8, &[1])]), ("g", vec![schedule(4, &[])])];
        assert_eq!(kept, expected.into_iter().map(|(name, list)| (name.to_string(), list)).collect());
        fs::write(&path, "{\"f\": 3}").unwrap();
        assert!(keep(&path, "f", &schedule(4, &[])).unwrap_err().to_string().contains("`f` is no list"));
    }
}
