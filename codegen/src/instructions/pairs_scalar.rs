//! The dots of neighbours in plain code.
use super::{Instruction, PAIRS};
use crate::cpu::row::*;

pub const INSTRUCTION: Instruction = Instruction {
    name: "pairs_scalar",
    rust: rows! {
        PLAIN pairs_scalar (h u s) -> h { "let (u, s) = (b.to_le_bytes(), c.to_le_bytes()); \
            let t = |l: usize| u[l] as i32 * s[l] as i8 as i32; \
            pair_half(a as i16 as i32 + t(0) + t(1), (a as i32 >> 16) + t(2) + t(3))" }
    },
    ..PAIRS
};
