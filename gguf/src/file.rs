//! A GGUF file as a whole: opening, the header, and access to what is in it.

use std::fs::File;
use std::ops::Deref;
use std::path::Path;

use memmap2::Mmap;

use super::cursor::Cursor;
use super::error::Fault;
use super::metadata::{Metadata, Table};
use super::tensor::{Directory, Tensor};
use super::value::ValueType;
use super::{ALIGNMENT_KEY, DEFAULT_ALIGNMENT, MAGIC, MOST_ALIGNMENT, ModelError, is_alignment};

enum Backing {
    Map(Mmap),
    Memory(Vec<u8>),
}

impl Deref for Backing {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Backing::Map(map) => map,
            Backing::Memory(bytes) => bytes,
        }
    }
}

/// An open GGUF file (version 2 or 3, little-endian) whose structure was checked in full: names are unique, every
/// tensor's bytes are inside the file, aligned, and none overlap.
pub struct Gguf {
    bytes: Backing,
    version: u32,
    alignment: u64,
    table: Table,
    directory: Directory,
}

impl Gguf {
    /// Opens and maps a file.
    ///
    /// The file must not be changed while it is open: a file that another process shortens ends this one.
    pub fn open(path: &Path) -> Result<Self, ModelError> {
        let shown = super::shown(&path.display().to_string());
        let io = |err: std::io::Error| {
            ModelError::new(
                Fault::Io,
                format!("cannot open the model file `{shown}`: {err}"),
                "check that the path is right and that the file may be read",
            )
        };
        // Asked before opening: opening a named pipe would wait for a writer.
        if !std::fs::metadata(path).map_err(io)?.is_file() {
            return Err(ModelError::new(
                Fault::Io,
                format!("`{shown}` is not a regular file"),
                "give the path of a .gguf file",
            ));
        }
        let file = File::open(path).map_err(io)?;
        if file.metadata().map_err(io)?.len() == 0 {
            return Err(ModelError::format(format!("the file `{shown}` is empty")));
        }
        // SAFETY: the map is read-only and private to this value; that no one shortens the file is the documented
        // condition of this function.
        let map = unsafe { Mmap::map(&file) }.map_err(io)?;
        Self::parse(Backing::Map(map)).map_err(|error| error.in_file(&shown))
    }

    /// Reads a file that is already in memory.
    pub fn from_bytes(bytes: Vec<u8>) -> Result<Self, ModelError> {
        Self::parse(Backing::Memory(bytes))
    }

    fn parse(bytes: Backing) -> Result<Self, ModelError> {
        let mut cursor = Cursor::new(&bytes);
        let magic = cursor.skip(4, || "the GGUF magic".into())?;
        check_magic(&bytes[magic])?;
        let version = cursor.u32(|| "the version".into())?;
        check_version(version)?;
        let tensors = cursor.u64(|| "the tensor count".into())?;
        let entries = cursor.u64(|| "the metadata count".into())?;
        let table = Table::parse(&mut cursor, &bytes, entries)?;
        let alignment = alignment(&Metadata::new(&bytes, &table))?;
        let directory = Directory::parse(&mut cursor, &bytes, tensors, alignment)?;
        Ok(Self { version, alignment, table, directory, bytes })
    }

    /// The version of the format, 2 or 3.
    pub fn version(&self) -> u32 {
        self.version
    }

    /// Each tensor's offset in the data section is a multiple of this.
    pub fn alignment(&self) -> u64 {
        self.alignment
    }

    /// The size of the file in bytes.
    pub fn file_bytes(&self) -> u64 {
        self.bytes.len() as u64
    }

    /// Everything before the tensors' data: the metadata, and each tensor's name, type, dimensions and place.
    pub fn header(&self) -> &[u8] {
        &self.bytes[..self.directory.data_start()]
    }

    /// The metadata.
    pub fn metadata(&self) -> Metadata<'_> {
        Metadata::new(&self.bytes, &self.table)
    }

    /// All tensors in file order.
    pub fn tensors(&self) -> impl ExactSizeIterator<Item = Tensor<'_>> {
        (0..self.directory.len()).map(|index| self.directory.tensor(&self.bytes, index))
    }

    /// Gives the memory of mapped bytes back to the system, which reads them from the file again when they are needed.
    pub fn release(&self, bytes: &[u8]) {
        let Backing::Map(map) = &self.bytes else { return };
        let Some(offset) = (bytes.as_ptr() as usize).checked_sub(map.as_ptr() as usize) else { return };
        if offset + bytes.len() > map.len() {
            return;
        }
        // SAFETY: the map is of a file and never written, so that the pages come back as they were. That the system does
        // not take the advice changes nothing but how much memory is used.
        #[cfg(unix)]
        let _ = unsafe { map.unchecked_advise_range(memmap2::UncheckedAdvice::DontNeed, offset, bytes.len()) };
    }

    /// The tensor of this name.
    pub fn tensor(&self, name: &str) -> Option<Tensor<'_>> {
        let index = self.directory.find(&self.bytes, name)?;
        Some(self.directory.tensor(&self.bytes, index))
    }
}

impl std::fmt::Debug for Gguf {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (entries, tensors) = (self.metadata().len(), self.directory.len());
        write!(f, "Gguf(version {}, {entries} metadata entries, {tensors} tensors)", self.version)
    }
}

fn check_magic(magic: &[u8]) -> Result<(), ModelError> {
    let help = "give a .gguf file; convert safetensors or older ggml files first";
    match magic {
        m if m == MAGIC => Ok(()),
        b"FUGG" => Err(ModelError::new(Fault::Format, "a big-endian GGUF file", "convert it to little-endian first")),
        _ => Err(ModelError::new(Fault::Format, format!("not a GGUF file: it begins with {magic:02x?}"), help)),
    }
}

fn check_version(version: u32) -> Result<(), ModelError> {
    match version {
        2 | 3 => Ok(()),
        v if v != 0 && v & 0xffff == 0 => {
            Err(ModelError::new(Fault::Format, "a big-endian GGUF file", "convert it to little-endian first"))
        }
        v => Err(ModelError::new(
            Fault::Format,
            format!("GGUF version {v}"),
            "versions 2 and 3 are read; convert the model again with a current converter",
        )),
    }
}

fn alignment(metadata: &Metadata<'_>) -> Result<u64, ModelError> {
    let key = ALIGNMENT_KEY;
    match metadata.value_type(key) {
        None => return Ok(DEFAULT_ALIGNMENT),
        Some(ValueType::U32) => {}
        Some(other) => return Err(ModelError::metadata(key, format!("the type is {other:?}, not U32"))),
    }
    let value = metadata.u64(key)?;
    if !is_alignment(value) {
        return Err(ModelError::metadata(key, format!("{value} is no power of two from 8 to {MOST_ALIGNMENT}")));
    }
    Ok(value)
}
