//! How the rows of a weight lie in memory. Rows that lie side by side, piece by piece, let lanes that do a row each read
//! neighbouring bytes. A layout is a part of a schedule: it moves bytes, and changes no bit of a result.
use crate::ir::Buffer;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::collections::BTreeMap;

/// What a schedule says of a weight `[.., N, B]` of blocks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SideBySide {
    /// Rows that lie side by side.
    pub rows: usize,
    /// Bytes of a row's field that stay together, by the field's name; `piece` where nothing is said of a field.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub pieces: BTreeMap<String, usize>,
    /// The same of each field of bytes that has a bit of every element of a block, or more; a shorter one is a piece. All others are
    /// cut into single numbers, and these, too, where this is 0.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub piece: usize,
}

fn is_zero(piece: &usize) -> bool {
    *piece == 0
}

/// Where every byte of a weight lies. A *tile* of `rows` rows takes the place that these rows would take, one tile after the
/// other, and the last one is filled up with zeros. In a tile, the blocks of one column after the other; in these, field after
/// field, cut into pieces, of which those of the tile's rows lie next to each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Rows of a tile.
    pub rows: usize,
    /// Bytes of a block.
    pub block_bytes: usize,
    /// The fields of a block.
    pub runs: Cow<'static, [Run]>,
}

/// A field, cut into pieces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// Its first byte in a block.
    pub offset: usize,
    /// Its bytes, a multiple of `piece`.
    pub bytes: usize,
    /// Bytes of a piece.
    pub piece: usize,
}

impl Layout {
    /// The layout of a buffer as a schedule wants it, or why there is none.
    pub fn of(buffer: &Buffer, wanted: &SideBySide) -> Result<Layout, String> {
        let name = &buffer.name;
        if buffer.written || buffer.fields.is_empty() || buffer.shape.len() < 2 {
            return Err(format!("`{name}` is no weight with rows of blocks, so its rows cannot lie side by side"));
        }
        if !(1..=64).contains(&wanted.rows) {
            return Err(format!("{} rows of `{name}` cannot lie side by side; 1 to 64 can", wanted.rows));
        }
        if let Some(unknown) = wanted.pieces.keys().find(|field| buffer.fields.iter().all(|f| f.name != **field)) {
            return Err(format!("the blocks of `{name}` have no field `{unknown}`"));
        }
        let mut runs = Vec::new();
        for field in &buffer.fields {
            let number = field.scalar.bytes();
            let bytes = number * field.len.unwrap_or(1);
            let of_all = wanted.piece > 0 && number == 1 && 8 * bytes >= buffer.elements;
            let usual = if of_all { wanted.piece.min(bytes) } else { number };
            let piece = wanted.pieces.get(&field.name).copied().unwrap_or(usual);
            if piece == 0 || !piece.is_multiple_of(number) || !bytes.is_multiple_of(piece) {
                let field = &field.name;
                return Err(format!("the {bytes} bytes of `{field}` cannot be cut into pieces of {piece}"));
            }
            runs.push(Run { offset: field.offset, bytes, piece });
        }
        Ok(Layout { rows: wanted.rows, block_bytes: buffer.elem_bytes, runs: runs.into() })
    }

    /// Bytes of a tile of rows of `blocks` blocks each.
    pub fn tile_bytes(&self, blocks: usize) -> usize {
        self.rows * blocks * self.block_bytes
    }

    /// Bytes of `rows` rows of `blocks` blocks, with what fills up the last tile.
    pub fn bytes(&self, rows: usize, blocks: usize) -> usize {
        rows.div_ceil(self.rows) * self.tile_bytes(blocks)
    }

    /// Matrices of `rows` rows of `blocks` blocks, one after the other in row-major order, in this layout.
    pub fn packed(&self, matrices: &[u8], rows: usize, blocks: usize) -> Vec<u8> {
        let row_bytes = blocks * self.block_bytes;
        let mut out = Vec::new();
        for matrix in matrices.chunks((rows * row_bytes).max(1)) {
            for tile in matrix.chunks((self.rows * row_bytes).max(1)) {
                let from = out.len();
                out.resize(from + self.tile_bytes(blocks), 0);
                self.pack(tile, blocks, &mut out[from..]);
            }
        }
        out
    }

    /// Moves at most `self.rows` rows of `blocks` blocks, one after the other in `from`, to their places in a tile.
    ///
    /// # Panics
    /// When `from` is not that, or `tile` has not [`Layout::tile_bytes`] bytes.
    pub fn pack(&self, from: &[u8], blocks: usize, tile: &mut [u8]) {
        let row_bytes = blocks * self.block_bytes;
        assert!(from.len() <= self.tile_bytes(blocks) && tile.len() == self.tile_bytes(blocks));
        assert!(row_bytes == 0 || from.len().is_multiple_of(row_bytes), "whole rows");
        if from.len() < tile.len() {
            tile.fill(0);
        }
        for (row, bytes) in from.chunks_exact(row_bytes.max(1)).enumerate() {
            let columns = tile.chunks_exact_mut(self.rows * self.block_bytes);
            for (block, column) in bytes.chunks_exact(self.block_bytes).zip(columns) {
                for run in self.runs.iter() {
                    let field = &block[run.offset..][..run.bytes];
                    let to = &mut column[run.offset * self.rows..][..run.bytes * self.rows];
                    spread(field, run.piece, row, self.rows, to);
                }
            }
        }
    }
}

/// Puts the pieces of a field to where those of row `row` of `rows` are. Pieces of a constant length are copied much faster.
fn spread(field: &[u8], piece: usize, row: usize, rows: usize, to: &mut [u8]) {
    fn each<const PIECE: usize>(field: &[u8], row: usize, rows: usize, to: &mut [u8]) {
        let places = to.as_chunks_mut::<PIECE>().0.iter_mut().skip(row).step_by(rows);
        field.as_chunks::<PIECE>().0.iter().zip(places).for_each(|(from, to)| *to = *from);
    }
    match piece {
        1 => each::<1>(field, row, rows, to),
        2 => each::<2>(field, row, rows, to),
        4 => each::<4>(field, row, rows, to),
        8 => each::<8>(field, row, rows, to),
        16 => each::<16>(field, row, rows, to),
        _ => {
            let places = to.chunks_exact_mut(piece).skip(row).step_by(rows);
            field.chunks_exact(piece).zip(places).for_each(|(from, to)| to.copy_from_slice(from));
        }
    }
}
