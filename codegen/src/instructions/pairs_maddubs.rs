//! The dots of neighbours by `vpmaddubsw`, added up in 16 bits (AVX2, AVX-512BW).
use super::{Instruction, PAIRS};
use crate::cpu::row::*;

pub const INSTRUCTION: Instruction = Instruction {
    name: "pairs_maddubs",
    rust: rows! {
        VECTOR pairs_maddubs (H U S) -> H { "{p}_add_epi16(a, {p}_maddubs_epi16(b, c))" }
    },
    ..PAIRS
};
