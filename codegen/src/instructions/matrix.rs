//! Products of matrices of bytes (CUDA, compute capability 8.0 and later): 16 rows of unsigned bytes times 8 columns of signed ones.
//!
//! Lane `4 * g + q` has, of rows `g` and `g + 8`, packs of neighbours with the number `q`, and of column `g` likewise; it has the
//! sums of rows `g` and `g + 8` in columns `2 * q` and `2 * q + 1`. Which neighbours these are does not matter, as long as both
//! sides have the same.
use super::{DOT4, Instruction};
use crate::cpu::row::Slot;

/// Lanes that have a product together.
pub const LANES: usize = 32;
/// Rows of a product.
pub const ROWS: usize = 16;
/// Columns of a product.
pub const COLUMNS: usize = 8;

const SUM: (Slot, &str) = (Slot::I, "i32<-2146000000, 2146000000>");

/// Sums over 32 neighbours: each lane has two packs of a row and of a column.
pub const OF_32: Instruction = Instruction {
    name: "matrix_32",
    args: &[
        ("c0", SUM.0, SUM.1),
        ("c1", SUM.0, SUM.1),
        ("c2", SUM.0, SUM.1),
        ("c3", SUM.0, SUM.1),
        ("a0", Slot::U, "u8"),
        ("a1", Slot::U, "u8"),
        ("a2", Slot::U, "u8"),
        ("a3", Slot::U, "u8"),
        ("b0", Slot::S, "i8"),
        ("b1", Slot::S, "i8"),
    ],
    across: true,
    registers: 4,
    meaning: &[
        "c0[lane] + isum(0..4, |q| isum(0..4, |e| a0[lane / 4 * 4 + q][e] * b0[lane % 4 * 8 + q][e] \
         + a2[lane / 4 * 4 + q][e] * b1[lane % 4 * 8 + q][e]))",
        "c1[lane] + isum(0..4, |q| isum(0..4, |e| a0[lane / 4 * 4 + q][e] * b0[lane % 4 * 8 + 4 + q][e] \
         + a2[lane / 4 * 4 + q][e] * b1[lane % 4 * 8 + 4 + q][e]))",
        "c2[lane] + isum(0..4, |q| isum(0..4, |e| a1[lane / 4 * 4 + q][e] * b0[lane % 4 * 8 + q][e] \
         + a3[lane / 4 * 4 + q][e] * b1[lane % 4 * 8 + q][e]))",
        "c3[lane] + isum(0..4, |q| isum(0..4, |e| a1[lane / 4 * 4 + q][e] * b0[lane % 4 * 8 + 4 + q][e] \
         + a3[lane / 4 * 4 + q][e] * b1[lane % 4 * 8 + 4 + q][e]))",
    ],
    cuda: Some("matrix_32({}, {}, {}, {}, {}, {}, {}, {}, {}, {});"),
    ..DOT4
};

/// Sums over 16 neighbours: each lane has one pack of a row and of a column.
pub const OF_16: Instruction = Instruction {
    name: "matrix_16",
    args: &[
        ("c0", SUM.0, SUM.1),
        ("c1", SUM.0, SUM.1),
        ("c2", SUM.0, SUM.1),
        ("c3", SUM.0, SUM.1),
        ("a0", Slot::U, "u8"),
        ("a1", Slot::U, "u8"),
        ("b0", Slot::S, "i8"),
    ],
    across: true,
    registers: 4,
    meaning: &[
        "c0[lane] + isum(0..4, |q| isum(0..4, |e| a0[lane / 4 * 4 + q][e] * b0[lane % 4 * 8 + q][e]))",
        "c1[lane] + isum(0..4, |q| isum(0..4, |e| a0[lane / 4 * 4 + q][e] * b0[lane % 4 * 8 + 4 + q][e]))",
        "c2[lane] + isum(0..4, |q| isum(0..4, |e| a1[lane / 4 * 4 + q][e] * b0[lane % 4 * 8 + q][e]))",
        "c3[lane] + isum(0..4, |q| isum(0..4, |e| a1[lane / 4 * 4 + q][e] * b0[lane % 4 * 8 + 4 + q][e]))",
    ],
    cuda: Some("matrix_16({}, {}, {}, {}, {}, {}, {});"),
    ..DOT4
};
