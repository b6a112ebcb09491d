//! The dot of four bytes by `dp4a` (CUDA, compute capability 6.1 and later).
use super::{DOT4, Instruction};

pub const INSTRUCTION: Instruction = Instruction { name: "dot4_dp4a", cuda: Some("dp4a({}, {}, {})"), ..DOT4 };
