//! The two devices that are compared.
use crate::{
    Error,
    commands::{
        cpu::{CpuArgs, OnCpu},
        device::{describe, gpu_number},
        progress::while_loading,
    },
    exec::{
        Executor,
        cuda::{Cuda, Gpu, Setup, USE_CPU},
    },
    gguf::Gguf,
    plan::{Plan, Step},
};
use kernels_gen::Isa;
use std::str::FromStr;

/// What can be compared with the CPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tested {
    /// A GPU.
    Cuda(u32),
    /// The CPU's code for an instruction set.
    Cpu(Isa),
}

impl FromStr for Tested {
    type Err = String;

    fn from_str(s: &str) -> Result<Tested, String> {
        if let Some(number) = gpu_number(s) {
            return number.map(Tested::Cuda);
        }
        let isa = s.strip_prefix("cpu:").ok_or("use cuda, cuda:N or cpu:ISA")?;
        isa.parse().map(Tested::Cpu)
    }
}

/// Both sides, found to be there.
pub struct Sides {
    cpu: OnCpu,
    other: Other,
    /// The reference, for people.
    pub reference: String,
    /// What is tested, for people.
    pub tested: String,
}

enum Other {
    Gpu(Gpu),
    Cpu(OnCpu),
}

impl Sides {
    /// Finds both, or says why one cannot serve.
    pub fn find(tested: &Tested, args: &CpuArgs) -> Result<Sides, Error> {
        let cpu = args.find()?;
        let (other, tested) = match *tested {
            Tested::Cuda(number) => {
                let gpu = Gpu::open(number).map_err(|error| {
                    let other = "use --device cpu:scalar, to compare two instruction sets of the CPU";
                    Error::device(error.message, error.help.replace(USE_CPU, other))
                })?;
                let name = describe(&gpu);
                (Other::Gpu(gpu), name)
            }
            Tested::Cpu(isa) => {
                let other = args.with(isa)?;
                (Other::Cpu(other), other.to_string())
            }
        };
        Ok(Sides { cpu, other, reference: cpu.to_string(), tested })
    }

    /// An executor of one side.
    pub fn executor<'m>(
        &self,
        tested: bool,
        plan: &Plan,
        file: &'m Gguf,
        limits: Step,
    ) -> Result<Box<dyn Executor + 'm>, Error> {
        match &self.other {
            _ if !tested => self.cpu.executor(plan, file, limits),
            Other::Cpu(cpu) => cpu.executor(plan, file, limits),
            Other::Gpu(gpu) => {
                let setup = Setup { gpu: gpu.clone(), limits };
                Ok(Box::new(while_loading(|loading| Cuda::new(plan, file, setup, loading))?))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_tested_parses() {
        assert_eq!("cuda:1".parse(), Ok(Tested::Cuda(1)));
        assert_eq!("cpu:scalar".parse(), Ok(Tested::Cpu(Isa::Scalar)));
        for text in ["cpu", "auto", "cpu:sse9", "cuda:x", ""] {
            assert!(text.parse::<Tested>().is_err(), "{text}");
        }
    }
}
