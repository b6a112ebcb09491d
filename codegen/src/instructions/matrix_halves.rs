//! Products of matrices of bytes with numbers of 16 bits, 16 neighbours in a sum: 16 rows of bytes times 8 columns of halves, in lanes
//! as those of bytes are. On CUDA it is two products of bytes: of the lower bytes of the columns, unsigned, and of the upper ones.
use super::{DOT4, Instruction};
use crate::cpu::row::Slot;

const SUM: (Slot, &str) = (Slot::I, "i32<-2012000000, 2012000000>");

/// Unsigned bytes.
pub const OF_UNSIGNED: Instruction = Instruction {
    name: "matrix_unsigned_halves",
    args: &[
        ("c0", SUM.0, SUM.1),
        ("c1", SUM.0, SUM.1),
        ("c2", SUM.0, SUM.1),
        ("c3", SUM.0, SUM.1),
        ("a0", Slot::U, "u8"),
        ("a1", Slot::U, "u8"),
        ("b0", Slot::H, "i16"),
        ("b1", Slot::H, "i16"),
    ],
    across: true,
    registers: 4,
    meaning: &[
        "c0[lane] + isum(0..4, |q| isum(0..2, |e| a0[lane / 4 * 4 + q][e] * b0[lane % 4 * 8 + q][e] \
         + a0[lane / 4 * 4 + q][2 + e] * b1[lane % 4 * 8 + q][e]))",
        "c1[lane] + isum(0..4, |q| isum(0..2, |e| a0[lane / 4 * 4 + q][e] * b0[lane % 4 * 8 + 4 + q][e] \
         + a0[lane / 4 * 4 + q][2 + e] * b1[lane % 4 * 8 + 4 + q][e]))",
        "c2[lane] + isum(0..4, |q| isum(0..2, |e| a1[lane / 4 * 4 + q][e] * b0[lane % 4 * 8 + q][e] \
         + a1[lane / 4 * 4 + q][2 + e] * b1[lane % 4 * 8 + q][e]))",
        "c3[lane] + isum(0..4, |q| isum(0..2, |e| a1[lane / 4 * 4 + q][e] * b0[lane % 4 * 8 + 4 + q][e] \
         + a1[lane / 4 * 4 + q][2 + e] * b1[lane % 4 * 8 + 4 + q][e]))",
    ],
    cuda: Some("matrix_unsigned_halves({}, {}, {}, {}, {}, {}, {}, {});"),
    ..DOT4
};

/// Signed bytes.
pub const OF_SIGNED: Instruction = Instruction {
    name: "matrix_signed_halves",
    args: &[
        ("c0", SUM.0, SUM.1),
        ("c1", SUM.0, SUM.1),
        ("c2", SUM.0, SUM.1),
        ("c3", SUM.0, SUM.1),
        ("a0", Slot::S, "i8"),
        ("a1", Slot::S, "i8"),
        ("b0", Slot::H, "i16"),
        ("b1", Slot::H, "i16"),
    ],
    cuda: Some("matrix_signed_halves({}, {}, {}, {}, {}, {}, {}, {});"),
    ..OF_UNSIGNED
};
