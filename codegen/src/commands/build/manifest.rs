//! The manifest of a build: what is in it, by hash, and how it was made.
use super::folder::Files;
use crate::commands::Failure;
use kgen::nvrtc::{self, Arch, Version};
use kgen::text;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;

/// Its name in the folder.
pub const NAME: &str = "manifest.json";
/// What makes a folder a build; another layout has another number.
const FORMAT: &str = "kgen build 1";

/// Read and written as JSON.
#[derive(Serialize, Deserialize)]
pub struct Manifest {
    format: String,
    /// Version of this compiler.
    kgen: String,
    /// Version of NVRTC; none where only sources were written.
    nvrtc: Option<String>,
    /// Every option of NVRTC but the architecture.
    options: Vec<String>,
    /// As `sm_90`.
    archs: Vec<String>,
    kernels: Vec<String>,
    /// Every other file, by its path in the folder.
    files: BTreeMap<String, File>,
}

#[derive(Serialize, Deserialize)]
struct File {
    bytes: usize,
    sha256: String,
}

impl Manifest {
    /// Of a build of these kernels, so far without machine code.
    pub fn new(kernels: Vec<String>) -> Manifest {
        let (format, kgen) = (FORMAT.into(), env!("CARGO_PKG_VERSION").into());
        Manifest { format, kgen, nvrtc: None, options: vec![], archs: vec![], kernels, files: BTreeMap::new() }
    }

    /// Notes what compiles the kernels.
    pub fn compiled(&mut self, version: Version, archs: &[Arch]) {
        self.nvrtc = Some(version.to_string());
        self.options = nvrtc::OPTIONS.iter().map(|o| o.to_string()).collect();
        self.archs = archs.iter().map(Arch::to_string).collect();
    }

    /// The text of the manifest, with the hashes of these files.
    pub fn text(mut self, files: &Files) -> Result<String, Failure> {
        let entry = |(path, data): (&String, &Vec<u8>)| {
            let sha256 = text::hex(&Sha256::digest(data));
            (path.clone(), File { bytes: data.len(), sha256 })
        };
        self.files = files.iter().map(entry).collect();
        json(&self)
    }

    /// Whether a text is the manifest of a build.
    pub fn is_one(text: &str) -> bool {
        serde_json::from_str::<Manifest>(text).is_ok_and(|manifest| manifest.format == FORMAT)
    }
}

/// A value as JSON for people.
pub fn json(value: &impl Serialize) -> Result<String, Failure> {
    let text = serde_json::to_string_pretty(value).map_err(|e| Failure::Failed(format!("JSON: {e}")))?;
    Ok(text + "\n")
}
