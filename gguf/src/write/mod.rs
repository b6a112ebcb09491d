//! Writes GGUF version 3: a header, then the tensors' bytes as they come, into a file that appears only when whole.
mod header;
mod value;

pub use header::{Header, TensorSpec};
pub use value::MetaValue;

use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use super::ModelError;
use crate::aside::beside;

/// Why a file could not be written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The operating system refused, for instance because the disk is full.
    #[error("cannot write `{path}` ({bytes} bytes): {source}\n  help: {}", way_out(source))]
    Io {
        /// The file that was to be written.
        path: String,
        /// Its full size.
        bytes: u64,
        /// What the operating system said.
        source: io::Error,
    },
    /// The header describes no valid file.
    #[error(transparent)]
    Header(#[from] ModelError),
    /// The bytes given are not those the header declares.
    #[error("the tensor data do not match the header: {0}")]
    Data(String),
}

/// What to do about a refusal by the operating system.
fn way_out(source: &io::Error) -> &'static str {
    match source.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "free that much space, or write to another disk",
        _ => "check that the folder exists and may be written to",
    }
}

impl WriteError {
    fn io(path: &Path, bytes: u64, source: io::Error) -> Self {
        Self::Io { path: super::shown(&path.display().to_string()), bytes, source }
    }
}

/// Counts the data off against the header, and pads between tensors.
struct Body {
    sizes: Vec<u64>,
    alignment: u64,
    index: usize,
    written: u64,
}

impl Body {
    fn append(
        &mut self,
        mut bytes: &[u8],
        mut put: impl FnMut(&[u8]) -> Result<(), WriteError>,
    ) -> Result<(), WriteError> {
        while !bytes.is_empty() {
            let Some(&size) = self.sizes.get(self.index) else {
                return Err(WriteError::Data(format!("{} bytes after the last tensor", bytes.len())));
            };
            let take = bytes.len().min(usize::try_from(size - self.written).unwrap_or(usize::MAX));
            put(&bytes[..take])?;
            self.written += take as u64;
            bytes = &bytes[take..];
            if self.written == size {
                let padding = size.next_multiple_of(self.alignment) - size;
                put(&vec![0; padding as usize])?;
                (self.index, self.written) = (self.index + 1, 0);
            }
        }
        Ok(())
    }

    fn finish(&self) -> Result<(), WriteError> {
        match self.sizes.len() - self.index {
            0 => Ok(()),
            missing => Err(WriteError::Data(format!("{missing} tensors have no or too few bytes"))),
        }
    }
}

/// Writes a file as its bytes come. Until [`Writer::finish`], they are in a file aside that is deleted on every error.
pub struct Writer {
    out: BufWriter<NamedTempFile>,
    body: Body,
    path: PathBuf,
    file_bytes: u64,
}

impl Writer {
    /// Reserves the room for the whole file, so that a full disk is found out first, and writes the header.
    pub fn create(path: &Path, header: &Header) -> Result<Self, WriteError> {
        let (start, sizes) = header.encode()?;
        let alignment = header.alignment();
        let data = sizes.iter().try_fold(0u64, |sum, size| sum.checked_add(size.next_multiple_of(alignment)));
        let file_bytes = data.and_then(|data| data.checked_add(start.len() as u64)).unwrap_or(u64::MAX);
        let io = |source| WriteError::io(path, file_bytes, source);
        let aside = beside(path).map_err(io)?;
        reserve(aside.as_file(), file_bytes).map_err(io)?;
        let mut writer = Self {
            out: BufWriter::with_capacity(1 << 20, aside),
            body: Body { sizes, alignment, index: 0, written: 0 },
            path: path.into(),
            file_bytes,
        };
        writer.out.write_all(&start).map_err(io)?;
        Ok(writer)
    }

    /// The size of the file when it is whole.
    pub fn file_bytes(&self) -> u64 {
        self.file_bytes
    }

    /// Writes the next bytes of data: tensor after tensor, without padding, in pieces of any size.
    pub fn append(&mut self, bytes: &[u8]) -> Result<(), WriteError> {
        let Self { out, body, path, file_bytes } = self;
        body.append(bytes, |part| out.write_all(part).map_err(|source| WriteError::io(path, *file_bytes, source)))
    }

    /// Checks that every tensor has all its bytes, and puts the file in its place.
    pub fn finish(self) -> Result<(), WriteError> {
        let Self { out, body, path, file_bytes } = self;
        body.finish()?;
        let io = |source| WriteError::io(&path, file_bytes, source);
        let aside = out.into_inner().map_err(|err| io(err.into_error()))?;
        aside.persist(&path).map_err(|err| io(err.error))?;
        Ok(())
    }
}

/// Takes the room on the disk, where the file system can do so in advance.
fn reserve(file: &std::fs::File, bytes: u64) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    match rustix::fs::fallocate(file, rustix::fs::FallocateFlags::empty(), 0, bytes) {
        Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS) | Ok(()) => {}
        Err(err) => return Err(err.into()),
    }
    #[cfg(not(target_os = "linux"))]
    let _ = (file, bytes);
    Ok(())
}
