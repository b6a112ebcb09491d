//! The dot of four bytes in plain code.
use super::{DOT4, Instruction};
use crate::cpu::row::*;

pub const INSTRUCTION: Instruction = Instruction {
    name: "dot4_scalar",
    rust: rows! {
        PLAIN dot4_scalar (i u s) -> i { "let (u, s) = (b.to_le_bytes(), c.to_le_bytes()); \
            let t = |l: usize| u[l] as i32 * s[l] as i8 as i32; a + (t(0) + t(1) + t(2) + t(3))" }
    },
    ..DOT4
};
