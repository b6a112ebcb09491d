//! Writes GGUF version 3: a header, then the tensors' bytes as they come, into a file that appears only when whole.

use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use super::value::ValueType;
use super::{ALIGNMENT_KEY, DEFAULT_ALIGNMENT, MAGIC, ModelError, TensorType, is_alignment};
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

/// A metadata value as it stands in a file; made with `From` from numbers, truth values, text, and slices of them.
#[derive(Clone, Debug, PartialEq)]
pub struct MetaValue(Vec<u8>);

/// A Rust type that has a metadata type.
trait Element {
    const TYPE: ValueType;
    fn put(&self, out: &mut Vec<u8>);
}

macro_rules! numbers {
    ($($rust:ty => $ty:ident;)*) => {
        $(impl Element for $rust {
            const TYPE: ValueType = ValueType::$ty;
            fn put(&self, out: &mut Vec<u8>) { out.extend(self.to_le_bytes()) }
        })*
    };
}

macro_rules! values {
    ($($rust:ty),*) => {
        $(impl From<$rust> for MetaValue {
            fn from(value: $rust) -> Self { scalar(&value) }
        }
        impl From<&[$rust]> for MetaValue {
            fn from(values: &[$rust]) -> Self { array(values) }
        }
        impl From<Vec<$rust>> for MetaValue {
            fn from(values: Vec<$rust>) -> Self { array(&values) }
        })*
    };
}

numbers! { u8 => U8; i8 => I8; u16 => U16; i16 => I16; u32 => U32; i32 => I32; f32 => F32; u64 => U64; i64 => I64; f64 => F64; }
values! { u8, i8, u16, i16, u32, i32, f32, u64, i64, f64, bool, &str, String }

impl Element for bool {
    const TYPE: ValueType = ValueType::Bool;
    fn put(&self, out: &mut Vec<u8>) {
        out.push(*self as u8);
    }
}

impl Element for &str {
    const TYPE: ValueType = ValueType::Str;
    fn put(&self, out: &mut Vec<u8>) {
        put_str(out, self);
    }
}

impl Element for String {
    const TYPE: ValueType = ValueType::Str;
    fn put(&self, out: &mut Vec<u8>) {
        put_str(out, self);
    }
}

fn put_str(out: &mut Vec<u8>, text: &str) {
    out.extend((text.len() as u64).to_le_bytes());
    out.extend(text.as_bytes());
}

fn scalar<T: Element>(value: &T) -> MetaValue {
    let mut out = (T::TYPE as u32).to_le_bytes().to_vec();
    value.put(&mut out);
    MetaValue(out)
}

fn array<T: Element>(values: &[T]) -> MetaValue {
    let mut out = (ValueType::Array as u32).to_le_bytes().to_vec();
    out.extend((T::TYPE as u32).to_le_bytes());
    out.extend((values.len() as u64).to_le_bytes());
    values.iter().for_each(|value| value.put(&mut out));
    MetaValue(out)
}

/// A tensor that a header announces.
#[derive(Clone, Debug, PartialEq)]
pub struct TensorSpec {
    /// Its name, at most 63 bytes.
    pub name: String,
    /// Its dimensions in ggml's order: dimension 0 is the row.
    pub dims: Vec<u64>,
    /// How its elements are stored.
    pub ty: TensorType,
}

impl TensorSpec {
    /// The tensor's size in bytes; the error names the tensor.
    pub fn bytes(&self) -> Result<u64, ModelError> {
        self.ty.tensor_bytes(&self.dims).map_err(|why| ModelError::tensor(&self.name, why))
    }
}

/// All of a file but the tensors' bytes.
#[derive(Clone, Debug, Default)]
pub struct Header {
    metadata: Vec<(String, MetaValue)>,
    tensors: Vec<TensorSpec>,
}

impl Header {
    /// A header with neither metadata nor tensors.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a metadata entry.
    pub fn set(&mut self, key: &str, value: impl Into<MetaValue>) -> &mut Self {
        self.metadata.push((key.into(), value.into()));
        self
    }

    /// Announces a tensor; the bytes follow in the order of these calls.
    pub fn tensor(&mut self, name: &str, dims: &[u64], ty: TensorType) -> &mut Self {
        self.tensors.push(TensorSpec { name: name.into(), dims: dims.into(), ty });
        self
    }

    /// The announced tensors.
    pub fn tensors(&self) -> &[TensorSpec] {
        &self.tensors
    }

    fn alignment(&self) -> u64 {
        let own = self.metadata.iter().find(|(key, _)| key == ALIGNMENT_KEY);
        let bytes = own.and_then(|(_, MetaValue(bytes))| bytes.get(4..8)?.try_into().ok());
        let value = bytes.map(|bytes| u64::from(u32::from_le_bytes(bytes)));
        // An alignment that no reader takes is written as it is, but not used to place data.
        value.filter(|&value| is_alignment(value)).unwrap_or(DEFAULT_ALIGNMENT)
    }

    /// The bytes before the data section, padded, and each tensor's size.
    fn encode(&self) -> Result<(Vec<u8>, Vec<u64>), ModelError> {
        let mut out = MAGIC.to_vec();
        out.extend(3u32.to_le_bytes());
        out.extend((self.tensors.len() as u64).to_le_bytes());
        out.extend((self.metadata.len() as u64).to_le_bytes());
        for (key, MetaValue(value)) in &self.metadata {
            put_str(&mut out, key);
            out.extend(value);
        }
        let (mut offset, mut sizes) = (0u64, Vec::with_capacity(self.tensors.len()));
        for tensor in &self.tensors {
            put_str(&mut out, &tensor.name);
            out.extend((tensor.dims.len() as u32).to_le_bytes());
            tensor.dims.iter().for_each(|dim| out.extend(dim.to_le_bytes()));
            out.extend(tensor.ty.id().to_le_bytes());
            out.extend(offset.to_le_bytes());
            let bytes = tensor.bytes()?;
            sizes.push(bytes);
            offset = offset
                .checked_add(bytes)
                .and_then(|end| end.checked_next_multiple_of(self.alignment()))
                .ok_or_else(|| ModelError::tensor(&tensor.name, "the file would be larger than 2^64 bytes"))?;
        }
        out.resize(out.len().next_multiple_of(self.alignment() as usize), 0);
        Ok((out, sizes))
    }

    /// The whole file in memory, with each tensor's bytes from the iterator.
    pub fn to_bytes<'a>(&self, data: impl IntoIterator<Item = &'a [u8]>) -> Result<Vec<u8>, WriteError> {
        let (mut out, sizes) = self.encode()?;
        let mut body = Body { sizes, alignment: self.alignment(), index: 0, written: 0 };
        for bytes in data {
            body.append(bytes, |part| {
                out.extend(part);
                Ok(())
            })?;
        }
        body.finish()?;
        Ok(out)
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
