//! The instruction sets that kernels are generated for, and what this processor has.
use crate::generated;
use std::{fmt, str::FromStr};

/// An instruction set. All give the same bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Isa {
    /// Plain code, for any processor.
    Scalar = 0,
    /// AVX2, FMA and F16C.
    Avx2 = 1,
    /// AVX-512 F, BW, DQ, VL and VNNI.
    Avx512 = 2,
}

impl Isa {
    /// From the plainest to the widest.
    pub const ALL: [Isa; 3] = [Isa::Scalar, Isa::Avx2, Isa::Avx512];

    /// The widest that this processor has.
    pub fn best() -> Isa {
        Isa::ALL.into_iter().rev().find(|isa| isa.available()).unwrap_or(Isa::Scalar)
    }

    /// Whether this processor has it.
    pub fn available(self) -> bool {
        self.missing().is_empty()
    }

    /// The processor features that it needs and this processor lacks.
    pub fn missing(self) -> Vec<&'static str> {
        match self {
            Isa::Scalar => generated::scalar::missing(),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => generated::avx2::missing(),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 => generated::avx512::missing(),
            #[cfg(not(target_arch = "x86_64"))]
            _ => vec!["x86_64"],
        }
    }

    /// The name that [`FromStr`] takes.
    pub fn name(self) -> &'static str {
        ["scalar", "avx2", "avx512"][self as usize]
    }
}

impl fmt::Display for Isa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// The error of parsing an [`Isa`].
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown instruction set `{0}`: use scalar, avx2 or avx512")]
pub struct UnknownIsa(String);

impl FromStr for Isa {
    type Err = UnknownIsa;

    fn from_str(s: &str) -> Result<Isa, UnknownIsa> {
        Isa::ALL.into_iter().find(|isa| isa.name() == s).ok_or_else(|| UnknownIsa(s.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_parse_back() {
        for isa in Isa::ALL {
            assert_eq!(isa.to_string().parse(), Ok(isa));
        }
        assert!("sse9".parse::<Isa>().unwrap_err().to_string().contains("`sse9`"));
    }

    #[test]
    fn best_is_available_and_nothing_wider_is() {
        assert!(Isa::best().available());
        assert!(Isa::ALL.into_iter().all(|isa| isa <= Isa::best() || !isa.available()));
    }
}
