//! Instructions with a meaning of their own: a file each, with what it computes and how each target writes it.
//!
//! The meaning is text in the kernel language, which [`meaning`] evaluates: so an instruction is tested as a kernel is, and
//! whoever adds one adds a file here and a line to [`INSTRUCTIONS`]. What a processor does to a register lane by lane
//! (add, load, convert) has no entry here: its meaning is that of the operator, see [`crate::cpu::operations`].
mod dot4_dp4a;
mod dot4_maddubs;
mod dot4_scalar;
mod dot4_vpdpbusd;
mod hsum;
pub mod meaning;

use crate::cpu::row::{Row, Slot};

/// An instruction for [`crate::loop_ir::Expr::Call`].
#[derive(Clone, Copy, Debug)]
pub struct Instruction {
    /// Name, also of its rows.
    pub name: &'static str,
    /// Arguments: their names in `meaning`, and what they are.
    pub args: &'static [(&'static str, Slot)],
    /// Whether it combines all lanes into one number; then a name in `meaning` is an array of `LANES` lanes.
    pub across: bool,
    /// The result (of one lane), in the kernel language; packs are arrays of four bytes.
    pub meaning: &'static str,
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
    hsum::INSTRUCTION,
];

/// A dot of four unsigned with four signed bytes, added to `acc`: what all `dot4_` instructions compute.
const DOT4: Instruction = Instruction {
    name: "dot4",
    args: &[("acc", Slot::I), ("a", Slot::U), ("b", Slot::S)],
    across: false,
    meaning: "acc + isum(0..4, |c| a[c] * b[c])",
    in_i16: &[],
    rust: &[],
    cuda: None,
};

/// The instruction of this name.
pub fn instruction(name: &str) -> Option<&'static Instruction> {
    INSTRUCTIONS.iter().find(|i| i.name == name)
}
