//! The folder of a build: written aside, then put in place as a whole.
use super::manifest::{self, Manifest};
use crate::commands::{Done, Failure};
use std::collections::BTreeMap;
use std::path::Path;
use std::{fs, io};

/// Files in memory, by their paths in the folder.
#[derive(Default)]
pub struct Files(BTreeMap<String, Vec<u8>>);

impl Files {
    /// Adds a file.
    pub fn add(&mut self, path: String, data: impl Into<Vec<u8>>) {
        self.0.insert(path, data.into());
    }

    /// All of them, in the order of their paths.
    pub fn iter(&self) -> impl Iterator<Item = (&String, &Vec<u8>)> {
        self.0.iter()
    }
}

/// Refuses a folder that holds something else than a build.
pub fn check(out: &Path) -> Done {
    let refuse = |what: &str| {
        let help = "name a new folder, an empty one, or an earlier build";
        Err(Failure::Failed(format!("{} {what}; nothing was written\n  help: {help}", out.display())))
    };
    let entries = match fs::read_dir(out) {
        Ok(mut entries) => entries.next(),
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(e) => return refuse(&format!("cannot be replaced: {e}")),
    };
    let manifest = fs::read_to_string(out.join(manifest::NAME));
    match entries.is_none() || manifest.is_ok_and(|text| Manifest::is_one(&text)) {
        true => Ok(()),
        false => refuse("is a folder that `kgen build` did not make"),
    }
}

/// Writes all files beside the folder, and swaps. Where anything fails, the folder is as it was.
pub fn replace(out: &Path, files: &Files) -> Done {
    let failed = |e: io::Error| Failure::Failed(format!("{}: {e}", out.display()));
    // The last part of a path may be `..`: only the whole path says what is beside the folder.
    let out = &std::path::absolute(out).map_err(failed)?;
    let parent = out.parent().unwrap_or(out);
    fs::create_dir_all(parent).map_err(failed)?;
    let aside = tempfile::Builder::new().prefix(".kgen-build-").tempdir_in(parent).map_err(failed)?;
    let (new, old) = (aside.path().join("new"), aside.path().join("old"));
    for (path, data) in files.iter() {
        let path = new.join(path);
        path.parent().map_or(Ok(()), fs::create_dir_all).map_err(failed)?;
        fs::write(path, data).map_err(failed)?;
    }
    check(out)?;
    let replaced = out.exists();
    if replaced {
        fs::rename(out, &old).map_err(failed)?;
    }
    fs::rename(&new, out).map_err(|e| {
        if replaced {
            // Where this fails too, the earlier build stays in the folder aside.
            if let Err(again) = fs::rename(&old, out) {
                let kept = aside.keep();
                return Failure::Failed(format!("{}: {e}, {again}; it is in {}", out.display(), kept.display()));
            }
        }
        failed(e)
    })
}
