//! Verdicts on disk, one JSON object a line, written as they are found: a run that was ended goes on where it was.
use super::timing::Timing;
use crate::schedule::Schedule;
use crate::text;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

/// What became of a candidate.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Its bits are equal, and it takes this long for all sizes of its task, each as often as a token needs it.
    Timed(Timing),
    /// There is no code: the compiler, the audit or the device does not take it.
    Refused(String),
    /// It gives other bits, or does what no kernel may. It was not timed.
    Differs(String),
}

/// A line of the journal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// What the verdict rests on, see [`key`].
    pub key: String,
    /// The kernel.
    pub kernel: String,
    /// The candidate.
    pub schedule: Schedule,
    /// Dims and integer scalars, and how often a token needs them.
    pub sizes: Vec<(Vec<i32>, f64)>,
    /// Name of the GPU, or of the instruction set.
    pub device: String,
    /// Name and version of what compiled the code.
    pub compiler: String,
    /// What became of it.
    pub verdict: Verdict,
}

/// A hash of all that a verdict rests on: the emitted code (so schedules with the same code share a verdict, and a changed
/// compiler has none), the sizes, the device and the compiler.
pub fn key(code: &str, sizes: &[(Vec<i32>, f64)], device: &str, compiler: &str) -> String {
    let mut hash = Sha256::new();
    for part in [code, &format!("{sizes:?}"), device, compiler] {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    text::hex(&hash.finalize())
}

/// A file of verdicts.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    file: File,
    entries: HashMap<String, Entry>,
}

impl Journal {
    /// Opens a file, or makes it with its folder. A last line that was not written to its end is cut off; a file with other text
    /// in it is refused.
    pub fn open(path: &Path) -> io::Result<Journal> {
        path.parent().map_or(Ok(()), fs::create_dir_all)?;
        let mut file = OpenOptions::new().read(true).append(true).create(true).open(path)?;
        let mut text = String::new();
        file.read_to_string(&mut text)?;
        let whole = text.rfind('\n').map_or(0, |at| at + 1);
        let mut entries = HashMap::new();
        for (i, line) in text[..whole].lines().enumerate() {
            let bad = |e| io::Error::new(io::ErrorKind::InvalidData, format!("line {}: {e}", i + 1));
            let entry: Entry = serde_json::from_str(line).map_err(bad)?;
            entries.insert(entry.key.clone(), entry);
        }
        file.set_len(whole as u64)?;
        Ok(Journal { path: path.to_path_buf(), file, entries })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The verdict of a key.
    pub fn get(&self, key: &str) -> Option<&Verdict> {
        self.entries.get(key).map(|entry| &entry.verdict)
    }

    /// Writes a verdict at once.
    pub fn put(&mut self, entry: Entry) -> io::Result<()> {
        let line = serde_json::to_string(&entry)? + "\n";
        self.file.write_all(line.as_bytes())?;
        self.file.flush()?;
        self.entries.insert(entry.key.clone(), entry);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(name: &str, verdict: Verdict) -> Entry {
        let sizes = vec![(vec![1, 2], 3.0)];
        let key = key(name, &sizes, "GPU", "NVRTC");
        let (device, compiler) = ("GPU".into(), "NVRTC".into());
        Entry { key, kernel: "f".into(), schedule: Schedule::plain(&["t"]), sizes, device, compiler, verdict }
    }

    #[test]
    fn verdicts_come_back_and_half_a_line_is_lost() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/journal.jsonl");
        let all = [
            entry("a", Verdict::Timed(Timing { us: 1.5, spread_us: 0.25 })),
            entry("b", Verdict::Differs("bits".into())),
            entry("c", Verdict::Refused("audit".into())),
        ];
        let mut journal = Journal::open(&path).unwrap();
        all.iter().for_each(|entry| journal.put(entry.clone()).unwrap());
        let text = fs::read_to_string(&path).unwrap();
        for cut in 0..=text.len() {
            fs::write(&path, &text[..cut]).unwrap();
            let mut journal = Journal::open(&path).unwrap();
            let lines = text[..cut].matches('\n').count();
            for (i, entry) in all.iter().enumerate() {
                assert_eq!(journal.get(&entry.key), (i < lines).then_some(&entry.verdict));
            }
            journal.put(all[2].clone()).unwrap();
            assert!(Journal::open(&path).unwrap().get(&all[2].key).is_some());
        }
        fs::write(&path, "something else\n").unwrap();
        assert_eq!(Journal::open(&path).unwrap_err().kind(), io::ErrorKind::InvalidData);
    }

    #[test]
    fn a_key_has_all_that_counts() {
        let sizes = [(vec![1], 1.0)];
        let all = [
            key("a", &sizes, "g", "n"),
            key("b", &sizes, "g", "n"),
            key("a", &[(vec![1], 2.0)], "g", "n"),
            key("a", &sizes, "h", "n"),
            key("a", &sizes, "g", "m"),
        ];
        assert!(all.iter().enumerate().all(|(i, key)| !all[..i].contains(key)));
    }
}
