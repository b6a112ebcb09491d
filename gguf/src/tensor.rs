//! The tensor directory: parsing, and the checks that make every byte slice safe to hand out.

use std::fmt;
use std::ops::Deref;

use super::cursor::Cursor;
use super::{ModelError, TensorType};

/// The least bytes an entry takes: name length, one byte of name, dimension count, one dimension, type, offset.
const LEAST_ENTRY: u64 = 8 + 1 + 4 + 8 + 4 + 8;
/// ggml keeps names in 64 bytes, the last of them NUL.
const LONGEST_NAME: usize = 63;
const MOST_DIMS: u32 = 4;

/// A tensor in the file, or some of its rows.
#[derive(Clone, Copy, Debug)]
pub struct Tensor<'a> {
    /// Its name, free of control characters.
    pub name: &'a str,
    /// One to four non-zero dimensions in ggml's order: dimension 0 is the row and varies fastest.
    pub dims: Dims,
    /// The first of its rows and the one past the last, where these are some of a matrix.
    pub rows: Option<(u64, u64)>,
    /// How the elements are stored.
    pub ty: TensorType,
    /// Exactly the tensor's bytes, row after row.
    pub data: &'a [u8],
}

/// Dimensions of a tensor.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Dims {
    sizes: [u64; MOST_DIMS as usize],
    count: usize,
}

impl Deref for Dims {
    type Target = [u64];

    fn deref(&self) -> &[u64] {
        &self.sizes[..self.count]
    }
}

impl fmt::Debug for Dims {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self[..].fmt(f)
    }
}

impl Tensor<'_> {
    /// The number of elements.
    pub fn elements(&self) -> u64 {
        self.dims.iter().product()
    }

    /// The rows of a matrix from `first` to before `end`, as a matrix. None where it is no matrix or has no such rows.
    pub fn part(&self, (first, end): (u64, u64)) -> Option<Self> {
        let [_, rows] = self.dims[..] else { return None };
        if self.rows.is_some() || first >= end || end > rows {
            return None;
        }
        let (row, mut dims) = (self.data.len() / rows as usize, self.dims);
        dims.sizes[1] = end - first;
        Some(Self {
            dims,
            rows: Some((first, end)),
            data: &self.data[first as usize * row..end as usize * row],
            ..*self
        })
    }
}

#[derive(Debug)]
struct Entry {
    name_start: usize,
    name_len: u32,
    n_dims: u32,
    dims: [u64; MOST_DIMS as usize],
    ty: TensorType,
    /// From the start of the data section.
    offset: u64,
    bytes: u64,
}

/// Where every tensor lies in the file.
#[derive(Debug)]
pub(super) struct Directory {
    entries: Vec<Entry>,
    /// Indices of `entries`, sorted by name.
    by_name: Vec<u32>,
    /// The start of the data section in the file.
    data_start: usize,
}

impl Directory {
    /// Reads `count` entries, whose data section follows at the next multiple of `alignment` (a power of two).
    pub(super) fn parse(cursor: &mut Cursor<'_>, bytes: &[u8], count: u64, alignment: u64) -> Result<Self, ModelError> {
        let most = cursor.remaining() as u64 / LEAST_ENTRY;
        if count > most.min(u32::MAX.into()) {
            return Err(ModelError::format(format!(
                "the header declares {count} tensors, but the file can hold at most {most}"
            )));
        }
        let mut entries = Vec::with_capacity(count as usize);
        for index in 0..count {
            entries.push(parse_entry(cursor, bytes, index)?);
        }
        let mut directory = Self { entries, by_name: (0..count as u32).collect(), data_start: 0 };
        directory.sort_names(bytes)?;
        directory.place_data(bytes, cursor.pos(), alignment)?;
        Ok(directory)
    }

    fn sort_names(&mut self, bytes: &[u8]) -> Result<(), ModelError> {
        let entries = &self.entries;
        let name = |&i: &u32| entries[i as usize].name(bytes);
        self.by_name.sort_unstable_by_key(name);
        match self.by_name.windows(2).find(|pair| name(&pair[0]) == name(&pair[1])) {
            Some(pair) => Err(ModelError::tensor(name(&pair[0]), "the name occurs twice")),
            None => Ok(()),
        }
    }

    /// Checks that the data, ordered by offset, follow one another with no gap but the padding, up to the file's end.
    fn place_data(&mut self, bytes: &[u8], infos_end: usize, alignment: u64) -> Result<(), ModelError> {
        if self.entries.is_empty() {
            self.data_start = bytes.len();
            return Ok(());
        }
        // A file is far smaller than 2^63, and the alignment is at most 2^20: this cannot overflow.
        let data_start = (infos_end as u64).next_multiple_of(alignment);
        let available = (bytes.len() as u64).saturating_sub(data_start);
        let mut order: Vec<u32> = (0..self.entries.len() as u32).collect();
        order.sort_unstable_by_key(|&i| (self.entries[i as usize].offset, i));
        let mut expected = 0u64;
        for i in order {
            let entry = &self.entries[i as usize];
            let bad = |why: String| Err(ModelError::tensor(entry.name(bytes), why));
            if !entry.offset.is_multiple_of(alignment) {
                return bad(format!("offset {} is no multiple of the alignment {alignment}", entry.offset));
            }
            if entry.offset < expected {
                return bad(format!("offset {} overlaps the tensor before, which ends at {expected}", entry.offset));
            }
            if entry.offset > expected {
                return bad(format!(
                    "offset {} leaves a gap after the tensor before, ending at {expected}",
                    entry.offset
                ));
            }
            let end = entry.offset.checked_add(entry.bytes).filter(|&end| end <= available);
            let Some(end) = end else {
                let (offset, size) = (entry.offset, entry.bytes);
                return bad(format!("{size} bytes at offset {offset} of a data section of {available} bytes"));
            };
            expected = end.next_multiple_of(alignment);
        }
        self.data_start = data_start as usize;
        Ok(())
    }

    pub(super) fn data_start(&self) -> usize {
        self.data_start
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn tensor<'a>(&'a self, bytes: &'a [u8], index: usize) -> Tensor<'a> {
        let entry = &self.entries[index];
        let start = self.data_start + entry.offset as usize;
        Tensor {
            name: entry.name(bytes),
            dims: Dims { sizes: entry.dims, count: entry.n_dims as usize },
            rows: None,
            ty: entry.ty,
            data: &bytes[start..start + entry.bytes as usize],
        }
    }

    pub(super) fn find(&self, bytes: &[u8], name: &str) -> Option<usize> {
        let found = self.by_name.binary_search_by(|&i| self.entries[i as usize].name(bytes).cmp(name)).ok()?;
        Some(self.by_name[found] as usize)
    }
}

impl Entry {
    fn name<'a>(&self, bytes: &'a [u8]) -> &'a str {
        let range = self.name_start..self.name_start + self.name_len as usize;
        // Names were checked to be UTF-8 when the entry was read.
        std::str::from_utf8(&bytes[range]).unwrap_or_default()
    }
}

fn parse_entry(cursor: &mut Cursor<'_>, bytes: &[u8], index: u64) -> Result<Entry, ModelError> {
    let range = cursor.string(|| format!("the name of tensor {index}"))?;
    let name = check_name(&bytes[range.clone()], index)?;
    let what = || format!("the entry of tensor `{name}`");
    let n_dims = cursor.u32(what)?;
    if !(1..=MOST_DIMS).contains(&n_dims) {
        return Err(ModelError::tensor(name, format!("{n_dims} dimensions; a tensor has 1 to {MOST_DIMS}")));
    }
    let mut dims = [1; MOST_DIMS as usize];
    for dim in &mut dims[..n_dims as usize] {
        *dim = cursor.u64(what)?;
    }
    let id = cursor.u32(what)?;
    let Some(ty) = TensorType::from_id(id) else {
        return Err(ModelError::tensor(name, format!("unknown type id {id}")));
    };
    let size = ty.tensor_bytes(&dims[..n_dims as usize]).map_err(|why| ModelError::tensor(name, why))?;
    let offset = cursor.u64(what)?;
    Ok(Entry { name_start: range.start, name_len: name.len() as u32, n_dims, dims, ty, offset, bytes: size })
}

fn check_name(bytes: &[u8], index: u64) -> Result<&str, ModelError> {
    let bad = |why: String| Err(ModelError::format(format!("the name of tensor {index} {why}")));
    match std::str::from_utf8(bytes) {
        Err(_) => bad("is not UTF-8".into()),
        Ok("") => bad("is empty".into()),
        Ok(name) if name.len() > LONGEST_NAME => bad(format!("is longer than {LONGEST_NAME} bytes")),
        Ok(name) if name.chars().any(char::is_control) => {
            bad(format!("has a control character: `{}`", super::shown(name)))
        }
        Ok(name) => Ok(name),
    }
}
