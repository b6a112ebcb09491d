//! The dot of four bytes by `vpdpbusd` (AVX-512 VNNI), which adds all four products to 32 bits and never saturates.
use super::{DOT4, Instruction};
use crate::cpu::row::*;

pub const INSTRUCTION: Instruction = Instruction {
    name: "dot4_vpdpbusd",
    rust: rows! {
        AVX512 dot4_vpdpbusd (I U S) -> I { "{p}_dpbusd_epi32(a, b, c)" }
    },
    ..DOT4
};
