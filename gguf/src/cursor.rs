//! A bounds-checked reader of little-endian values over a byte slice.

use std::ops::Range;

use super::ModelError;

/// Reads forward through a file; every length is checked before it is used.
#[derive(Clone)]
pub(super) struct Cursor<'a> {
    bytes: &'a [u8],
    pos: usize,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, pos: 0 }
    }

    pub(super) fn pos(&self) -> usize {
        self.pos
    }

    pub(super) fn remaining(&self) -> usize {
        self.bytes.len() - self.pos
    }

    /// Skips `len` bytes and returns where they are; `what` names them in the error.
    pub(super) fn skip(&mut self, len: u64, what: impl FnOnce() -> String) -> Result<Range<usize>, ModelError> {
        match usize::try_from(len).ok().filter(|&len| len <= self.remaining()) {
            Some(len) => {
                let start = self.pos;
                self.pos += len;
                Ok(start..self.pos)
            }
            None => Err(ModelError::format(format!(
                "{} needs {len} bytes at offset {}, but only {} bytes of the file are left",
                what(),
                self.pos,
                self.remaining()
            ))),
        }
    }

    fn array<const N: usize>(&mut self, what: impl FnOnce() -> String) -> Result<[u8; N], ModelError> {
        let range = self.skip(N as u64, what)?;
        let mut out = [0; N];
        out.copy_from_slice(&self.bytes[range]);
        Ok(out)
    }

    pub(super) fn u32(&mut self, what: impl FnOnce() -> String) -> Result<u32, ModelError> {
        self.array(what).map(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self, what: impl FnOnce() -> String) -> Result<u64, ModelError> {
        self.array(what).map(u64::from_le_bytes)
    }

    /// A string of the format: a u64 length and that many bytes.
    pub(super) fn string(&mut self, what: impl Fn() -> String) -> Result<Range<usize>, ModelError> {
        let len = self.u64(|| format!("the length of {}", what()))?;
        self.skip(len, what)
    }
}
