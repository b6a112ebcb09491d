//! What a schedule can be for: an instruction set of the CPU, or CUDA.
use crate::cpu::row::Slot;
use crate::cpu::{self, Isa, operations};
use crate::cuda;
use crate::instructions::{INSTRUCTIONS, Instruction};
use crate::ir::Kernel;
use crate::loop_ir::Func;
use crate::lower::lower;
use crate::nvrtc::MEASURED;
use crate::places::Places;
use crate::schedule::Schedule;
use std::fmt;

/// A kind of machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Target {
    /// A CPU with an instruction set.
    Cpu(Isa),
    /// An NVIDIA GPU.
    Cuda,
}

impl Target {
    /// Every target.
    pub const ALL: [Target; 4] =
        [Target::Cpu(Isa::Scalar), Target::Cpu(Isa::Avx2), Target::Cpu(Isa::Avx512), Target::Cuda];

    /// The file in a folder's `schedules/` that has those for this target.
    pub fn schedule_file(self) -> String {
        match self {
            Target::Cpu(isa) => format!("{isa}.json"),
            Target::Cuda => format!("{MEASURED}.json"),
        }
    }

    /// Numbers of lanes that a function can have.
    pub fn widths(self) -> &'static [usize] {
        match self {
            Target::Cpu(isa) => isa.widths(),
            Target::Cuda => &cuda::WIDTHS,
        }
    }

    /// Instructions for dots of bytes, for functions of so many lanes.
    pub fn dots(self, width: usize) -> Vec<&'static str> {
        self.instructions(width, |i| {
            [Slot::U, Slot::S].iter().all(|side| i.args.iter().any(|(_, slot, _)| slot == side))
        })
    }

    /// Instructions for dots of numbers of 16 bits, likewise.
    pub fn dots2(self, width: usize) -> Vec<&'static str> {
        self.instructions(width, |i| i.args.iter().filter(|(_, slot, _)| *slot == Slot::H).count() == 2)
    }

    fn instructions(self, width: usize, wanted: fn(&Instruction) -> bool) -> Vec<&'static str> {
        let has = |i: &&Instruction| match self {
            Target::Cpu(isa) => operations::find(i.name, isa, width).is_some(),
            Target::Cuda => i.cuda.is_some(),
        };
        INSTRUCTIONS.iter().filter(|i| i.registers == 0 && wanted(i)).filter(has).map(|i| i.name).collect()
    }

    /// Whether a schedule can be used for a kernel here, with the reason if not.
    pub fn legal(self, kernel: &Kernel, schedule: &Schedule) -> Result<(), String> {
        self.lower(kernel, schedule).map(drop)
    }

    /// The kernel as loop IR that can be printed for this target, or the reason why there is none.
    pub fn lower(self, kernel: &Kernel, schedule: &Schedule) -> Result<Func, String> {
        let Target::Cpu(isa) = self else {
            let func = lower(kernel, schedule).map_err(|e| e.to_string())?;
            return cuda::emit(&func, schedule.threads, &Places::default()).map(|_| func).map_err(|e| e.to_string());
        };
        isa.supports_width(schedule.width).map_err(|e| e.to_string())?;
        for dot in schedule.dot.iter().chain(&schedule.dot2) {
            isa.supports_call(dot, schedule.width).map_err(|e| e.to_string())?;
        }
        let func = lower(kernel, schedule).map_err(|e| e.to_string())?;
        cpu::emit(&func, isa).map(|_| func).map_err(|e| e.to_string())
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Target::Cpu(isa) => isa.fmt(f),
            Target::Cuda => f.pad("cuda"),
        }
    }
}
