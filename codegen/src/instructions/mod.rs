//! Instructions with a meaning of their own: a file each, with what it computes and how each target writes it.
//!
//! The meaning is text in the kernel language, which [`meaning`] evaluates: so an instruction is tested as a kernel is, and
//! whoever adds one adds a file here and a line to [`INSTRUCTIONS`]. What a processor does to a register lane by lane
//! (add, load, convert) has no entry here: its meaning is that of the operator, see [`crate::cpu::operations`].
mod dot2_madd;
mod dot2_scalar;
mod dot2_vpdpwssd;
mod dot4_dp4a;
mod dot4_maddubs;
mod dot4_scalar;
mod dot4_vpdpbusd;
mod hsum;
pub mod matrix;
pub mod matrix_halves;
pub mod matrix_wide;
pub mod meaning;
pub mod multiply_add;
mod pairs_maddubs;
mod pairs_scalar;
pub mod times;

use crate::cpu::row::{Row, Slot};

/// An instruction for [`crate::loop_ir::Expr::Call`], or for [`crate::loop_ir::Stmt::Accumulate`].
#[derive(Clone, Copy, Debug)]
pub struct Instruction {
    /// Name, also of its rows.
    pub name: &'static str,
    /// Arguments: their names in `meaning`, what they are, and what their numbers are in the kernel language. `{share}` is what
    /// can be added up over all lanes.
    pub args: &'static [(&'static str, Slot, &'static str)],
    /// What the result is: [`Slot::I`], [`Slot::H`] or [`Slot::U`].
    pub result: Slot,
    /// Whether it combines all lanes, into one number unless there are `registers`; then a name in `meaning` is an array of `LANES`
    /// lanes.
    pub across: bool,
    /// How many of the arguments, the first ones, are registers that it changes; then `meaning` has the new number of each in
    /// lane `lane`, and it is for [`crate::loop_ir::Stmt::Accumulate`].
    pub registers: usize,
    /// How many of the arguments, the last ones, are no registers but loads from a team's memory that the instruction does by itself, two
    /// for each 8 columns: of byte `k` of column `n` from `k / 16 * apart + n * 16 + k % 16` on, where `apart` is for the code to say.
    pub in_memory: usize,
    /// The numbers of the result (of one lane), in the kernel language; packs are arrays of four bytes or of two halves.
    pub meaning: &'static [&'static str],
    /// Values, in the kernel language, that must lie in `i16` in each lane.
    pub in_i16: &'static [&'static str],
    /// Rust for it, on the instruction sets and registers that have it.
    pub rust: &'static [Row],
    /// CUDA C++ for it, with `{}` for each argument in order; `{mask}` are the lanes that run together.
    pub cuda: Option<&'static str>,
}

/// Every instruction.
pub static INSTRUCTIONS: &[Instruction] = &[
    dot4_scalar::INSTRUCTION,
    dot4_maddubs::INSTRUCTION,
    dot4_vpdpbusd::INSTRUCTION,
    dot4_dp4a::INSTRUCTION,
    pairs_scalar::INSTRUCTION,
    pairs_maddubs::INSTRUCTION,
    dot2_scalar::INSTRUCTION,
    dot2_madd::INSTRUCTION,
    dot2_vpdpwssd::INSTRUCTION,
    hsum::INSTRUCTION,
    multiply_add::INSTRUCTION,
    times::INSTRUCTION,
    matrix::OF_32,
    matrix::OF_16,
    matrix_halves::OF_UNSIGNED,
    matrix_halves::OF_SIGNED,
    matrix_wide::INSTRUCTION,
];

/// A dot of four unsigned with four signed bytes, added to `acc`: what all `dot4_` instructions compute.
const DOT4: Instruction = Instruction {
    name: "dot4",
    args: &[("acc", Slot::I, "i32<-2146435071, 2146435071>"), ("a", Slot::U, "u8"), ("b", Slot::S, "i8")],
    result: Slot::I,
    across: false,
    registers: 0,
    in_memory: 0,
    meaning: &["acc + isum(0..4, |c| a[c] * b[c])"],
    in_i16: &[],
    rust: &[],
    cuda: None,
};

/// The dots of two unsigned with two signed neighbours, added to the two halves of `acc`: what all `pairs_` instructions compute.
const PAIRS: Instruction = Instruction {
    name: "pairs",
    args: &[("acc", Slot::H, "i16"), ("a", Slot::U, "u8"), ("b", Slot::S, "i8")],
    result: Slot::H,
    meaning: &["acc[0] + a[0] * b[0] + a[1] * b[1]", "acc[1] + a[2] * b[2] + a[3] * b[3]"],
    in_i16: &["a[0] * b[0] + a[1] * b[1]", "a[2] * b[2] + a[3] * b[3]"],
    ..DOT4
};

/// A dot of two halves with two of at most [`SMALL`], added to `acc`: what all `dot2_` instructions compute.
const DOT2: Instruction = Instruction {
    name: "dot2",
    args: &[
        ("acc", Slot::I, "i32<-1610612735, 1610612735>"),
        ("a", Slot::H, "i16"),
        ("b", Slot::H, "i16<-8192, 8192>"),
    ],
    meaning: &["acc + a[0] * b[0] + a[1] * b[1]"],
    ..DOT4
};

/// The largest magnitude of the second factors of a `dot2_` instruction.
pub const SMALL: i64 = 8192;

impl Instruction {
    /// The number of lanes that it is for, where it is for no other.
    pub fn lanes(&self) -> Option<usize> {
        (self.registers > 0).then_some(matrix::LANES)
    }
}

/// The instruction of this name.
pub fn instruction(name: &str) -> Option<&'static Instruction> {
    INSTRUCTIONS.iter().find(|i| i.name == name)
}
