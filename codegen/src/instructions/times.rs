//! Four unsigned bytes times a number, of which each product is a byte: there is no carry from one to the next.
use super::{DOT4, Instruction};
use crate::cpu::row::Slot;

/// `a * by`.
pub const INSTRUCTION: Instruction = Instruction {
    name: "times",
    args: &[("a", Slot::U, "u8"), ("by", Slot::I, "i32<0, 255>")],
    result: Slot::U,
    meaning: &["a[0] * by", "a[1] * by", "a[2] * by", "a[3] * by"],
    cuda: Some("({} * (u32)({}))"),
    ..DOT4
};
