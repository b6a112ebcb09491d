//! The options that say where a model runs, and the line that says where it does.
use crate::{
    Error,
    exec::{
        Executor, Session, cpu,
        cuda::{self, Cuda, Gpu, Need},
    },
    gguf::Gguf,
    plan::{CHUNK, Plan, Step},
};
use indicatif::HumanBytes;
use kernels_gen::Isa;
use kgen::nvrtc;
use std::{num::NonZero, str::FromStr, thread};

/// Most threads that can be asked for; more than any machine that this runs on has.
const MOST_THREADS: usize = 1024;

/// Where a model runs.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Device")]
pub struct DeviceArgs {
    /// Where to run: auto, cpu, cuda, or cuda:N for one of several GPUs. A device that cannot serve is an error
    #[arg(long, default_value = "auto", value_name = "DEVICE")]
    device: Device,
    /// The same as --device cpu
    #[arg(long, conflicts_with = "device")]
    no_gpu: bool,
    /// Threads of the CPU; by default one for each that the system offers
    #[arg(long, value_name = "N", value_parser = threads)]
    threads: Option<usize>,
    /// Instruction set of the CPU: scalar, avx2 or avx512; by default the widest there is. All give equal bits
    #[arg(long, value_name = "ISA")]
    isa: Option<Isa>,
}

/// A device that can be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Device {
    Auto,
    Cpu,
    Cuda(u32),
}

impl FromStr for Device {
    type Err = String;

    fn from_str(s: &str) -> Result<Device, String> {
        let number = |n: &str| n.parse().map_err(|_| format!("`{n}` is no number of a GPU: write cuda:0"));
        match s {
            "auto" => Ok(Device::Auto),
            "cpu" => Ok(Device::Cpu),
            "cuda" => Ok(Device::Cuda(0)),
            _ => match s.strip_prefix("cuda:") {
                Some(n) => number(n).map(Device::Cuda),
                None => Err("use auto, cpu, cuda or cuda:N".into()),
            },
        }
    }
}

fn threads(s: &str) -> Result<usize, String> {
    let n = s.parse().ok().filter(|n| (1..=MOST_THREADS).contains(n));
    n.ok_or_else(|| format!("must be a number from 1 to {MOST_THREADS}"))
}

/// A device that was found to be there.
#[derive(Clone, Debug)]
pub struct Placement {
    place: Place,
    why: String,
}

#[derive(Clone, Debug)]
enum Place {
    Cpu { threads: usize, isa: Isa },
    Cuda { gpu: Gpu, free: usize },
}

/// How much a session must hold.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    /// Most positions of the sequence.
    pub positions: usize,
    /// Most tokens that are fed at a time.
    pub tokens: usize,
    /// Most of them that get logits.
    pub outputs: usize,
}

impl DeviceArgs {
    /// Finds the device, or says why it cannot serve.
    pub fn place(&self) -> Result<Placement, Error> {
        match self.device {
            Device::Cuda(number) => {
                let gpu = Gpu::open(number)?;
                let (free, _) = gpu.memory()?;
                Ok(Placement { place: Place::Cuda { gpu, free }, why: format!("asked for by --device cuda:{number}") })
            }
            Device::Auto | Device::Cpu => self.place_on_cpu(),
        }
    }

    fn place_on_cpu(&self) -> Result<Placement, Error> {
        let isa = self.isa.unwrap_or_else(Isa::best);
        if !isa.available() {
            let message = format!("--isa {isa}: this processor lacks {}", isa.missing().join(", "));
            return Err(Error::device(
                message,
                format!("leave --isa out to use {}, the widest that it has", Isa::best()),
            ));
        }
        let threads = self.threads.unwrap_or_else(|| thread::available_parallelism().map_or(1, NonZero::get));
        let device = match (self.device, self.no_gpu) {
            (_, true) => "asked for by --no-gpu".into(),
            (Device::Cpu, _) => "asked for by --device cpu".into(),
            _ => no_gpu(),
        };
        let choice = if self.isa.is_some() { "asked for by --isa" } else { "the widest that this processor has" };
        let why = format!("{device}; the instruction set is {choice}");
        Ok(Placement { place: Place::Cpu { threads, isa }, why })
    }
}

/// Why a GPU is not used where nobody asked for one.
fn no_gpu() -> String {
    match cuda::list() {
        Err(error) => error.message,
        Ok(names) => {
            let name = names.join(", ");
            match nvrtc::Compiler::new().nvrtc() {
                Ok(_) => format!("GPU found ({name}), not used: ask for it with --device cuda"),
                Err(_) => format!("GPU found ({name}), not used: NVRTC missing; {}", nvrtc::INSTALL),
            }
        }
    }
}

impl Size {
    fn limits(&self) -> Step {
        let chunks = self.positions.div_ceil(CHUNK).max(1);
        Step { tokens: self.tokens.max(1), outputs: self.outputs.max(1), position: 0, chunks }
    }
}

impl Placement {
    /// The device in short, for machines to read.
    pub fn device(&self) -> String {
        match &self.place {
            Place::Cpu { isa, .. } => format!("cpu:{isa}"),
            Place::Cuda { gpu, .. } => format!("cuda:{}:{}", gpu.number(), gpu.arch()),
        }
    }

    /// One line for people: device, instruction set, memory, kernels, and why.
    pub fn line(&self, plan: &Plan, size: Size) -> Result<String, Error> {
        let mut kernels: Vec<_> = plan.stages.iter().map(|stage| stage.kernel.as_str()).collect();
        kernels.sort_unstable();
        kernels.dedup();
        let device = match &self.place {
            Place::Cpu { threads, isa } => {
                let s = if *threads == 1 { "" } else { "s" };
                format!("cpu: {isa}, {threads} thread{s}")
            }
            Place::Cuda { gpu, free } => {
                let need = Need::of(plan, &size.limits())?;
                let [weights, cache, activations, free] =
                    [need.weights, need.cache, need.activations, *free].map(|n| HumanBytes(n as u64));
                let (number, name, arch, driver) = (gpu.number(), gpu.name(), gpu.arch(), gpu.driver());
                format!(
                    "cuda:{number}: {name}, {arch}, driver for CUDA {driver}, weights {weights}, KV cache {cache}, \
                     activations {activations} of {free} free"
                )
            }
        };
        Ok(format!("{device}, kernels {}; {}", kernels.join(" "), self.why))
    }

    /// An empty sequence on this device.
    pub fn session<'m>(&self, plan: &Plan, model: &'m Gguf, size: Size) -> Result<Session<'m>, Error> {
        let limits = size.limits();
        let executor: Box<dyn Executor + 'm> = match &self.place {
            &Place::Cpu { threads, isa } => Box::new(cpu::Cpu::new(plan, model, cpu::Setup { threads, isa, limits })?),
            Place::Cuda { gpu, .. } => Box::new(Cuda::new(plan, model, cuda::Setup { gpu: gpu.clone(), limits })?),
        };
        Ok(Session::new(executor))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(clap::Parser)]
    struct Cli {
        #[command(flatten)]
        device: DeviceArgs,
    }

    fn place(args: &[&str]) -> Result<Placement, Error> {
        Cli::try_parse_from([&["apr"], args].concat()).unwrap().device.place()
    }

    #[test]
    fn devices_parse() {
        assert_eq!("cuda:3".parse(), Ok(Device::Cuda(3)));
        assert_eq!("cuda".parse(), Ok(Device::Cuda(0)));
        assert!("cuda:x".parse::<Device>().unwrap_err().contains("`x`"));
        assert!("gpu".parse::<Device>().is_err());
    }

    #[test]
    fn a_device_that_cannot_serve_is_exit_5() {
        let error = place(&["--device", "cuda:99"]).unwrap_err();
        assert_eq!(error.exit_code(), 5);
        assert!(error.to_string().contains("\n  help: "), "{error}");
    }

    #[test]
    fn auto_is_the_cpu_and_says_why_no_gpu_is_used() {
        let placement = place(&[]).unwrap();
        assert!(placement.device().starts_with("cpu:"));
        let why = placement.why.to_lowercase();
        assert!(["libcuda", "not used", "gpus"].iter().any(|word| why.contains(word)), "{why}");
    }

    #[test]
    fn cpu_options_are_taken() {
        let placement = place(&["--no-gpu", "--threads", "3", "--isa", "scalar"]).unwrap();
        let size = Size { positions: 1, tokens: 1, outputs: 1 };
        let line = placement.line(&Plan::default(), size).unwrap();
        assert!(line.starts_with("cpu: scalar, 3 threads") && line.contains("--no-gpu"), "{line}");
        assert_eq!(placement.device(), "cpu:scalar");
    }

    #[test]
    fn impossible_thread_counts_are_usage_errors() {
        for n in ["0", "-1", "1025", "many"] {
            assert!(Cli::try_parse_from(["apr", "--threads", n]).is_err(), "{n}");
        }
    }
}
