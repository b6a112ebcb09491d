//! The options that say where a model runs, and the line that says where it does.
use crate::{
    Error,
    exec::{Session, cpu},
    gguf::Gguf,
    plan::{CHUNK, Plan, Step},
};
use kernels_gen::Isa;
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
    threads: usize,
    isa: Isa,
    why: String,
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
        if let Device::Cuda(_) = self.device {
            let message = "this build of apr has no CUDA executor, so --device cuda cannot serve";
            return Err(Error::device(message, "use --device cpu; the CPU gives the same bits"));
        }
        let isa = self.isa.unwrap_or_else(Isa::best);
        if !isa.available() {
            let message = format!("--isa {isa}: this processor lacks {}", isa.missing().join(", "));
            return Err(Error::device(
                message,
                format!("leave --isa out to use {}, the widest that it has", Isa::best()),
            ));
        }
        let threads = self.threads.unwrap_or_else(|| thread::available_parallelism().map_or(1, NonZero::get));
        Ok(Placement { threads, isa, why: self.why() })
    }

    fn why(&self) -> String {
        let device = match (self.device, self.no_gpu) {
            (_, true) => "asked for by --no-gpu",
            (Device::Cpu, _) => "asked for by --device cpu",
            _ => "the only device of this build",
        };
        let isa = if self.isa.is_some() { "asked for by --isa" } else { "the widest that this processor has" };
        format!("cpu is {device}; the instruction set is {isa}")
    }
}

impl Placement {
    /// The device in short, for machines to read.
    pub fn device(&self) -> String {
        format!("cpu:{}", self.isa)
    }

    /// One line for people: device, instruction set, kernels, and why.
    pub fn line(&self, plan: &Plan) -> String {
        let mut kernels: Vec<_> = plan.stages.iter().map(|stage| stage.kernel.as_str()).collect();
        kernels.sort_unstable();
        kernels.dedup();
        let (isa, n, why) = (self.isa, self.threads, &self.why);
        let s = if n == 1 { "" } else { "s" };
        format!("cpu: {isa}, {n} thread{s}, kernels {}; {why}", kernels.join(" "))
    }

    /// An empty sequence on this device.
    pub fn session<'m>(&self, plan: &Plan, model: &'m Gguf, size: Size) -> Result<Session<'m>, Error> {
        let chunks = size.positions.div_ceil(CHUNK).max(1);
        let limits = Step { tokens: size.tokens.max(1), outputs: size.outputs.max(1), position: 0, chunks };
        let setup = cpu::Setup { threads: self.threads, isa: self.isa, limits };
        Ok(Session::new(Box::new(cpu::Cpu::new(plan, model, setup)?)))
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
        assert_eq!(place(&["--device", "cuda:1"]).unwrap_err().exit_code(), 5);
    }

    #[test]
    fn cpu_options_are_taken() {
        let placement = place(&["--no-gpu", "--threads", "3", "--isa", "scalar"]).unwrap();
        let line = placement.line(&Plan::default());
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
