//! The dot of two halves by `vpdpwssd` (AVX-512 VNNI), which adds to 32 bits and never saturates.
use super::{DOT2, Instruction};
use crate::cpu::row::*;

pub const INSTRUCTION: Instruction = Instruction {
    name: "dot2_vpdpwssd",
    rust: rows! {
        AVX512 dot2_vpdpwssd (I H H) -> I { "{p}_dpwssd_epi32(a, b, c)" }
    },
    ..DOT2
};
