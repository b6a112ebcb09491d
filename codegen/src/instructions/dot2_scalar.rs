//! The dot of two halves in plain code.
use super::{DOT2, Instruction};
use crate::cpu::row::*;

pub const INSTRUCTION: Instruction = Instruction {
    name: "dot2_scalar",
    rust: rows! {
        PLAIN dot2_scalar (i h h) -> i { "let low = |v: u32| v as i16 as i32; \
            a + low(b) * low(c) + (b as i32 >> 16) * (c as i32 >> 16)" }
    },
    ..DOT2
};
