//! The dot of two halves by `vpmaddwd` (AVX2, AVX-512BW).
use super::{DOT2, Instruction};
use crate::cpu::row::*;

pub const INSTRUCTION: Instruction = Instruction {
    name: "dot2_madd",
    rust: rows! {
        VECTOR dot2_madd (I H H) -> I { "{p}_add_epi32(a, {p}_madd_epi16(b, c))" }
    },
    ..DOT2
};
