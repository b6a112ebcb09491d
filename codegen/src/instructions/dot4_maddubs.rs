//! The dot of four bytes by `vpmaddubsw` and `vpmaddwd` (AVX2, AVX-512BW).
use super::{DOT4, Instruction};
use crate::cpu::row::*;

pub const INSTRUCTION: Instruction = Instruction {
    name: "dot4_maddubs",
    // It adds neighbours in 16 bits, saturating.
    in_i16: &["a[0] * b[0] + a[1] * b[1]", "a[2] * b[2] + a[3] * b[3]"],
    rust: rows! {
        VECTOR dot4_maddubs (I U S) -> I { "{p}_add_epi32(a, {p}_madd_epi16({p}_maddubs_epi16(b, c), {p}_set1_epi16(1)))" }
    },
    ..DOT4
};
