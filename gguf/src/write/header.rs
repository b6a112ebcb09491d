//! The header of a file: metadata and the tensors to come.
use super::value::{MetaValue, put_str};
use super::{Body, WriteError};
use crate::{ALIGNMENT_KEY, DEFAULT_ALIGNMENT, MAGIC, ModelError, TensorType, is_alignment};

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

    pub(super) fn alignment(&self) -> u64 {
        let own = self.metadata.iter().find(|(key, _)| key == ALIGNMENT_KEY);
        let bytes = own.and_then(|(_, MetaValue(bytes))| bytes.get(4..8)?.try_into().ok());
        let value = bytes.map(|bytes| u64::from(u32::from_le_bytes(bytes)));
        // An alignment that no reader takes is written as it is, but not used to place data.
        value.filter(|&value| is_alignment(value)).unwrap_or(DEFAULT_ALIGNMENT)
    }

    /// The bytes before the data section, padded, and each tensor's size.
    pub(super) fn encode(&self) -> Result<(Vec<u8>, Vec<u64>), ModelError> {
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
