//! The instruction sets that kernels are generated for, and what this processor has.
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
            Isa::Scalar => Vec::new(),
            #[cfg(target_arch = "x86_64")]
            _ => {
                macro_rules! lacks {
                    ($($feature:tt),*) => {
                        [$(($feature, std::arch::is_x86_feature_detected!($feature))),*]
                            .into_iter().filter_map(|(name, has)| (!has).then_some(name)).collect()
                    };
                }
                if self == Isa::Avx2 {
                    lacks!("avx2", "fma", "f16c")
                } else {
                    lacks!("avx2", "fma", "f16c", "avx512f", "avx512bw", "avx512dq", "avx512vl", "avx512vnni")
                }
            }
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

/// Whether this thread computes as IEEE-754 says: rounding to nearest even, subnormals kept (MXCSR without
/// flush-to-zero, denormals-are-zero or another rounding). The mode is per thread, and a library may have changed it.
pub fn float_mode_is_ieee() -> bool {
    #[cfg(target_arch = "x86_64")]
    {
        const DENORMALS_ARE_ZERO: u32 = 1 << 6;
        const ROUNDING: u32 = 3 << 13;
        const FLUSH_TO_ZERO: u32 = 1 << 15;
        let mut mxcsr = 0u32;
        // SAFETY: stmxcsr stores 4 bytes to the address of a live u32; every x86_64 processor has it.
        unsafe { std::arch::asm!("stmxcsr [{}]", in(reg) &raw mut mxcsr, options(nostack, preserves_flags)) };
        mxcsr & (DENORMALS_ARE_ZERO | ROUNDING | FLUSH_TO_ZERO) == 0
    }
    #[cfg(not(target_arch = "x86_64"))]
    {
        let tiny = std::hint::black_box(f32::MIN_POSITIVE);
        std::hint::black_box(tiny * 0.5) != 0.0
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

    #[cfg(target_arch = "x86_64")]
    #[test]
    fn flush_to_zero_is_noticed() {
        std::thread::spawn(|| {
            assert!(float_mode_is_ieee());
            let flush = 0x1f80u32 | 1 << 15;
            // SAFETY: sets a valid mode on a thread that does nothing else.
            unsafe { std::arch::asm!("ldmxcsr [{}]", in(reg) &raw const flush, options(nostack, preserves_flags)) };
            assert!(!float_mode_is_ieee());
        })
        .join()
        .unwrap();
    }
}
