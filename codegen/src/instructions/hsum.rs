//! The integer sum of all lanes.
use super::Instruction;
use crate::cpu::row::*;

pub const INSTRUCTION: Instruction = Instruction {
    name: "hsum",
    args: &[("v", Slot::I, "i32<-{share}, {share}>")],
    result: Slot::I,
    across: true,
    registers: 0,
    in_memory: 0,
    meaning: &["isum(0..LANES, |l| v[l])"],
    in_i16: &[],
    rust: rows! {
        PLAIN hsum (i) -> i { "a" }
        VECTOR hsum (I) -> i { "let (mut v, mut m) = (a, {w} / 2); \
            while m > 0 { v = add_i32{x}(v, shuffle_i32{x}(v, m)); m /= 2; } first_i32{x}(v)" }
    },
    cuda: Some("__reduce_add_sync({mask}, {})"),
};
