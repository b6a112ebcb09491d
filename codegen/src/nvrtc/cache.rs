//! Compiled kernels on disk: a file each, named by what it was made from, with a hash of what is in it.
use super::{Compiled, Version};
use crate::text;
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};
use std::{env, fs, io};

/// What an entry begins with; another layout of the file has another number.
const MAGIC: &[u8] = b"kgen cubin 1\n";
const HASH_BYTES: usize = 32;
const EXTENSION: &str = "cubin";

/// A folder of compiled kernels, which processes may share.
#[derive(Clone, Debug)]
pub struct Cache {
    folder: PathBuf,
}

impl Cache {
    /// In this folder, which is made when the first entry is.
    pub fn at(folder: impl Into<PathBuf>) -> Cache {
        Cache { folder: folder.into() }
    }

    /// In `$KGEN_CACHE`, else `$XDG_CACHE_HOME/kgen`, else `~/.cache/kgen`; none where none of these is known.
    pub fn standard() -> Option<Cache> {
        let set = |name: &str| env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
        let of_user =
            || set("XDG_CACHE_HOME").or_else(|| Some(set("HOME")?.join(".cache"))).map(|dir| dir.join("kgen"));
        set("KGEN_CACHE").or_else(of_user).map(Cache::at)
    }

    /// Where it is.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Number of entries, and their bytes.
    pub fn size(&self) -> (usize, u64) {
        let entries = self.entries().filter_map(|path| fs::metadata(path).ok()).map(|data| data.len());
        entries.fold((0, 0), |(n, bytes), len| (n + 1, bytes + len))
    }

    /// Whether entries can be written.
    pub fn check_writable(&self) -> io::Result<()> {
        fs::create_dir_all(&self.folder)?;
        tempfile::NamedTempFile::new_in(&self.folder).map(|_| ())
    }

    /// The entry that this version of NVRTC has made; without a version, the one that the newest has. What is damaged
    /// counts as missing, so that it is made anew.
    pub(super) fn get(&self, key: &str, version: Option<Version>) -> Option<Compiled> {
        if let Some(version) = version {
            return read(&self.path(key, version), key).filter(|entry| entry.nvrtc_version == version);
        }
        let of_key = |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(key));
        let found = self.entries().filter(of_key).filter_map(|path| read(&path, key));
        found.max_by_key(|entry| entry.nvrtc_version)
    }

    /// Written aside and renamed: readers see the whole entry or none.
    pub(super) fn put(&self, key: &str, compiled: &Compiled) -> io::Result<()> {
        fs::create_dir_all(&self.folder)?;
        let file = tempfile::NamedTempFile::new_in(&self.folder)?;
        fs::write(file.path(), encode(key, compiled))?;
        file.persist(self.path(key, compiled.nvrtc_version))?;
        Ok(())
    }

    fn path(&self, key: &str, version: Version) -> PathBuf {
        self.folder.join(format!("{key}-nvrtc{version}.{EXTENSION}"))
    }

    fn entries(&self) -> impl Iterator<Item = PathBuf> {
        let entries = fs::read_dir(&self.folder).into_iter().flatten().flatten().map(|entry| entry.path());
        entries.filter(|path| path.extension().is_some_and(|e| e == EXTENSION))
    }
}

/// The name of what is made from a source of this name with these options, the architecture among them.
pub(super) fn key(name: &str, source: &str, options: &[String]) -> String {
    let mut hash = Sha256::new();
    for text in options.iter().map(String::as_str).chain([name, source]) {
        hash.update((text.len() as u64).to_le_bytes());
        hash.update(text);
    }
    text::hex(&hash.finalize())
}

/// The magic, a hash of the rest, and the parts, each after its length. The key is a part, so that a file under
/// another's name is noticed.
fn encode(key: &str, compiled: &Compiled) -> Vec<u8> {
    let Version { major, minor } = compiled.nvrtc_version;
    let version = [major.to_le_bytes(), minor.to_le_bytes()].concat();
    let parts = [key.as_bytes(), &version, compiled.ptx.as_bytes(), &compiled.cubin, compiled.log.as_bytes()];
    let body: Vec<u8> = parts.iter().flat_map(|part| [&(part.len() as u64).to_le_bytes(), *part].concat()).collect();
    [MAGIC, &Sha256::digest(&body), &body].concat()
}

fn read(path: &Path, key: &str) -> Option<Compiled> {
    let bytes = fs::read(path).ok()?;
    let (hash, mut body) = bytes.strip_prefix(MAGIC)?.split_at_checked(HASH_BYTES)?;
    if *hash != *Sha256::digest(body) {
        return None;
    }
    let mut part = || {
        let (len, rest) = body.split_first_chunk()?;
        let (part, rest) = rest.split_at_checked(usize::try_from(u64::from_le_bytes(*len)).ok()?)?;
        body = rest;
        Some(part)
    };
    if part()? != key.as_bytes() {
        return None;
    }
    let (major, minor) = part()?.split_first_chunk()?;
    let nvrtc_version =
        Version { major: u32::from_le_bytes(*major), minor: u32::from_le_bytes(minor.try_into().ok()?) };
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).ok();
    Some(Compiled { ptx: text(part()?)?, cubin: part()?.to_vec(), log: text(part()?)?, nvrtc_version })
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: Version = Version { major: 12, minor: 9 };
    const NEW: Version = Version { major: 13, minor: 0 };

    fn compiled(nvrtc_version: Version) -> Compiled {
        Compiled { ptx: "ptx\n".into(), cubin: vec![0, 1, 255], log: String::new(), nvrtc_version }
    }

    #[test]
    fn keys_differ_where_the_texts_do() {
        let options = |texts: &[&str]| texts.iter().map(|t| t.to_string()).collect::<Vec<_>>();
        let base = key("k", "source", &options(&["a", "b"]));
        assert_eq!(base.len(), 64);
        for other in [
            ("k", "sourc", ["a", "b"]),
            ("k", "source", ["ab", ""]),
            ("bk", "source", ["a", ""]),
            ("c", "source", ["a", "b"]),
        ] {
            let other = key(other.0, other.1, &options(&other.2));
            assert_ne!(base, other);
        }
    }

    #[test]
    fn gives_back_what_was_put_by_version() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::at(folder.path().join("a/b"));
        let key = key("k", "source", &[]);
        assert_eq!(cache.get(&key, None), None);
        cache.put(&key, &compiled(OLD)).unwrap();
        assert_eq!(cache.get(&key, Some(OLD)), Some(compiled(OLD)));
        assert_eq!(cache.get(&key, Some(NEW)), None);
        assert_eq!(cache.get(&key, None), Some(compiled(OLD)));
        cache.put(&key, &compiled(NEW)).unwrap();
        assert_eq!(cache.get(&key, None), Some(compiled(NEW)));
        assert_eq!(cache.size().0, 2);
        assert_eq!(cache.get(&super::key("k", "another", &[]), None), None);
        cache.check_writable().unwrap();
    }

    #[test]
    fn damage_anywhere_counts_as_missing() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::at(folder.path());
        let key = key("k", "source", &[]);
        cache.put(&key, &compiled(NEW)).unwrap();
        let path = cache.path(&key, NEW);
        let good = fs::read(&path).unwrap();
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 1;
            fs::write(&path, &bad).unwrap();
            assert_eq!(cache.get(&key, Some(NEW)), None, "byte {at}");
            fs::write(&path, &good[..at]).unwrap();
            assert_eq!(cache.get(&key, Some(NEW)), None, "cut at {at}");
        }
        fs::write(&path, &good).unwrap();
        assert_eq!(cache.get(&key, Some(NEW)), Some(compiled(NEW)));
        fs::rename(&path, cache.path(&super::key("k", "another", &[]), NEW)).unwrap();
        assert_eq!(cache.get(&super::key("k", "another", &[]), Some(NEW)), None, "another's entry");
    }
}
