//! A product of integers, added to a sum where it stands: a compiler would put off such sums until all products of matrices are there,
//! for which there are not enough registers.
use super::{DOT4, Instruction};
use crate::cpu::row::Slot;

/// The largest magnitude of the one factor, and of the other.
pub const MOST: [i64; 2] = [1023, 1_048_575];

/// `c + a * b`.
pub const INSTRUCTION: Instruction = Instruction {
    name: "multiply_add",
    args: &[
        ("c", Slot::I, "i32<-1073741823, 1073741823>"),
        ("a", Slot::I, "i32<-1023, 1023>"),
        ("b", Slot::I, "i32<-1048575, 1048575>"),
    ],
    across: true,
    registers: 1,
    meaning: &["c[lane] + a[lane] * b[lane]"],
    cuda: Some("multiply_add({}, {}, {});"),
    ..DOT4
};
