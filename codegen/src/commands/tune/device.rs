//! `--device` of `kgen tune`.
use kgen::cpu::Isa;
use kgen::target::Target;
use std::str::FromStr;

/// Where candidates are run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum On {
    /// The GPU of this number.
    Cuda(u32),
    /// This processor, with an instruction set.
    Cpu(Isa),
}

impl On {
    /// What schedules are for.
    pub fn target(self) -> Target {
        match self {
            On::Cuda(_) => Target::Cuda,
            On::Cpu(isa) => Target::Cpu(isa),
        }
    }
}

impl FromStr for On {
    type Err = String;

    fn from_str(text: &str) -> Result<On, String> {
        let (device, which) = text.split_once(':').map_or((text, None), |(device, which)| (device, Some(which)));
        match (device, which) {
            ("cuda", None) => Ok(On::Cuda(0)),
            ("cuda", Some(number)) => number.parse().map(On::Cuda).map_err(|e| format!("cuda:{number}: {e}")),
            ("cpu", None) => Ok(On::Cpu(Isa::best())),
            ("cpu", Some(isa)) => isa.parse().map(On::Cpu),
            _ => Err("write cuda, cuda:N, cpu, or cpu:ISA".into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_have_names() {
        assert_eq!("cuda".parse(), Ok(On::Cuda(0)));
        assert_eq!("cuda:3".parse(), Ok(On::Cuda(3)));
        assert_eq!("cpu".parse(), Ok(On::Cpu(Isa::best())));
        assert_eq!("cpu:avx2".parse::<On>().map(On::target), Ok(Target::Cpu(Isa::Avx2)));
        for bad in ["", "gpu", "cuda:x", "cpu:sse9", "cuda:-1"] {
            assert!(bad.parse::<On>().is_err(), "{bad}");
        }
    }
}
