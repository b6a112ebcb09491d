//! The instruction sets of x86-64: their registers, their features, and which instructions they have.
use super::operations;
use crate::instructions;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// An instruction set of x86-64, or none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Isa {
    /// Plain Rust, for any CPU.
    Scalar,
    /// AVX2 with FMA and F16C; 4 or 8 lanes.
    Avx2,
    /// AVX-512 F, BW, DQ, VL and VNNI; 4, 8 or 16 lanes.
    Avx512,
}

/// Why a function, or a part of one, cannot be had on an instruction set.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{isa}: {reason}")]
pub struct Unsupported {
    /// The instruction set.
    pub isa: Isa,
    /// What is in the way, and what would do instead.
    pub reason: String,
}

impl Isa {
    /// Every instruction set, the plainest first.
    pub const ALL: [Isa; 3] = [Isa::Scalar, Isa::Avx2, Isa::Avx512];

    /// Whether this machine has it.
    pub fn available(self) -> bool {
        self.missing().is_empty()
    }

    /// The processor features that it needs and this machine lacks.
    pub fn missing(self) -> Vec<&'static str> {
        let Features { names, present } = self.features();
        names.iter().zip(present).filter(|(_, present)| !present()).map(|(name, _)| *name).collect()
    }

    /// The processor features that it needs.
    pub fn needs(self) -> &'static [&'static str] {
        self.features().names
    }

    /// The last of [`Isa::ALL`] that this machine has.
    pub fn best() -> Isa {
        Isa::ALL.into_iter().rev().find(|isa| isa.available()).unwrap_or(Isa::Scalar)
    }

    /// Whether a function of `width` lanes can be emitted.
    pub fn supports_width(self, width: usize) -> Result<(), Unsupported> {
        if self.widths().contains(&width) {
            return Ok(());
        }
        let widths: Vec<String> = self.widths().iter().map(usize::to_string).collect();
        Err(self.lacks(format!("no registers of {width} lanes; it has {}", widths.join(", "))))
    }

    /// Whether `intrinsic` (of [`instructions::INSTRUCTIONS`]) can be called in a function of `width` lanes.
    pub fn supports_call(self, intrinsic: &str, width: usize) -> Result<(), Unsupported> {
        self.supports_width(width)?;
        if instructions::instruction(intrinsic).is_none() {
            let known: Vec<&str> = instructions::INSTRUCTIONS.iter().map(|i| i.name).collect();
            return Err(self.lacks(format!("no instruction `{intrinsic}` is known; there are {}", known.join(", "))));
        }
        if operations::find(intrinsic, self, width).is_some() || operations::find(intrinsic, self, 1).is_some() {
            return Ok(());
        }
        let places: Vec<String> = (Isa::ALL.into_iter())
            .flat_map(|isa| isa.widths().iter().map(move |w| (isa, *w)))
            .filter(|(isa, w)| operations::find(intrinsic, *isa, *w).is_some())
            .map(|(isa, w)| format!("{isa} x{w}"))
            .collect();
        Err(self.lacks(format!("`{intrinsic}` is not there with {width} lanes; it is on {}", places.join(", "))))
    }

    pub(super) fn lacks(self, reason: String) -> Unsupported {
        Unsupported { isa: self, reason }
    }

    /// The name that [`FromStr`] takes.
    pub fn name(self) -> &'static str {
        match self {
            Isa::Scalar => "scalar",
            Isa::Avx2 => "avx2",
            Isa::Avx512 => "avx512",
        }
    }
}

impl fmt::Display for Isa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Isa {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Isa::ALL
            .into_iter()
            .find(|isa| isa.name() == text)
            .ok_or_else(|| format!("unknown instruction set `{text}`; there are scalar, avx2, avx512"))
    }
}

/// The features of one instruction set: their names, and whether this machine has each.
macro_rules! features {
    ($($feature:tt),*) => {
        Features { names: &[$($feature),*], present: &[$(|| detected!($feature)),*] }
    };
}
#[cfg(target_arch = "x86_64")]
macro_rules! detected {
    ($feature:tt) => {
        std::arch::is_x86_feature_detected!($feature)
    };
}
#[cfg(not(target_arch = "x86_64"))]
macro_rules! detected {
    ($feature:tt) => {
        false
    };
}
pub(super) struct Features {
    pub names: &'static [&'static str],
    pub present: &'static [fn() -> bool],
}

impl Isa {
    pub(super) fn features(self) -> Features {
        match self {
            Isa::Scalar => features!(),
            Isa::Avx2 => features!("avx2", "fma", "f16c"),
            Isa::Avx512 => {
                features!("avx2", "fma", "f16c", "avx512f", "avx512bw", "avx512dq", "avx512vl", "avx512vnni")
            }
        }
    }

    /// Numbers of lanes that a register can have, ascending; 1 stands for plain code.
    pub fn widths(self) -> &'static [usize] {
        match self {
            Isa::Scalar => &[1],
            Isa::Avx2 => &[1, 4, 8],
            Isa::Avx512 => &[1, 4, 8, 16],
        }
    }

    /// What a file of generated code for this set begins with: `None` where it needs nothing.
    pub(super) fn import(self) -> Option<&'static str> {
        (self != Isa::Scalar).then_some("use core::arch::x86_64::*;")
    }
}
