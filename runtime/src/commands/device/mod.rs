//! The options that say where a model runs, and the device that they come to.
mod placement;

pub use placement::{Placement, Size, describe};

use super::cpu::{CpuArgs, OnCpu};
use crate::{
    Error,
    exec::cuda::{self, Gpu},
};
use kgen::nvrtc;
use std::str::FromStr;

/// Where a model runs.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Device")]
pub struct DeviceArgs {
    /// Where to run: auto (a GPU where one can serve, else the CPU), cpu, cuda, or cuda:N for one of several GPUs. A device
    /// that was asked for and cannot serve is an error
    #[arg(long, default_value = "auto", value_name = "DEVICE")]
    device: Device,
    /// The same as --device cpu
    #[arg(long, conflicts_with = "device")]
    no_gpu: bool,
    #[command(flatten)]
    cpu: CpuArgs,
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
        match (s, gpu_number(s)) {
            ("auto", _) => Ok(Device::Auto),
            ("cpu", _) => Ok(Device::Cpu),
            (_, Some(number)) => number.map(Device::Cuda),
            _ => Err("use auto, cpu, cuda or cuda:N".into()),
        }
    }
}

/// The number of the GPU in `cuda` or `cuda:N`; none for another device.
pub fn gpu_number(device: &str) -> Option<Result<u32, String>> {
    match device {
        "cuda" => Some(Ok(0)),
        _ => {
            let n = device.strip_prefix("cuda:")?;
            Some(n.parse().map_err(|_| format!("`{n}` is no number of a GPU: write cuda:0")))
        }
    }
}

/// The devices that come into question, before it is known how much they must hold.
#[derive(Clone, Debug)]
pub struct Found {
    cpu: OnCpu,
    wanted: Wanted,
}

#[derive(Clone, Debug)]
enum Wanted {
    /// The CPU, and why.
    Cpu(String),
    /// This GPU, and why.
    Gpu(Gpu, String),
    /// The first of these GPUs that can serve; else the CPU.
    Any(Vec<String>),
}

impl DeviceArgs {
    /// Finds the devices, or says why the one that was asked for cannot serve.
    pub fn find(&self) -> Result<Found, Error> {
        let cpu = self.cpu.find()?;
        let wanted = match self.device {
            Device::Cuda(number) => Wanted::Gpu(Gpu::open(number)?, format!("asked for by --device cuda:{number}")),
            Device::Cpu => self.on_cpu("asked for by --device cpu"),
            Device::Auto if self.no_gpu => self.on_cpu("asked for by --no-gpu"),
            Device::Auto if self.cpu.isa_is_given() => self.on_cpu("--isa asks for the CPU"),
            Device::Auto => self.any_gpu(),
        };
        Ok(Found { cpu, wanted })
    }

    fn on_cpu(&self, why: &str) -> Wanted {
        let isa = self.cpu.isa_is_given();
        let choice = if isa { "asked for by --isa" } else { "the widest that this processor has" };
        Wanted::Cpu(format!("{why}; the instruction set is {choice}"))
    }

    fn any_gpu(&self) -> Wanted {
        match cuda::list() {
            Err(error) => self.on_cpu(&error.message),
            Ok(names) => match nvrtc::Compiler::new().nvrtc() {
                Ok(_) => Wanted::Any(names),
                Err(_) => {
                    let why = format!("NVRTC missing; {}", nvrtc::INSTALL);
                    self.on_cpu(&placement::not_used(&names.join(", "), &why))
                }
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Plan;
    use clap::Parser;

    #[derive(clap::Parser)]
    struct Cli {
        #[command(flatten)]
        device: DeviceArgs,
    }

    const SIZE: Size = Size { positions: 1, tokens: 1, outputs: 1 };

    fn place(args: &[&str]) -> Result<Placement, Error> {
        Cli::try_parse_from([&["apr"], args].concat()).unwrap().device.find()?.place(&Plan::default(), SIZE)
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
    fn auto_takes_a_gpu_or_says_why_not() {
        let placement = place(&[]).unwrap();
        let line = placement.line(&Plan::default(), SIZE, false).unwrap().to_lowercase();
        if placement.is_gpu() {
            assert!(placement.device().starts_with("cuda:") && line.contains("the first gpu that can serve"), "{line}");
        } else {
            assert!(placement.device().starts_with("cpu:"));
            assert!(["libcuda", "not used", "gpus"].iter().any(|word| line.contains(word)), "{line}");
        }
    }

    #[test]
    fn cpu_options_are_taken() {
        let placement = place(&["--no-gpu", "--threads", "3", "--isa", "scalar"]).unwrap();
        let line = placement.line(&Plan::default(), SIZE, false).unwrap();
        assert!(line.starts_with("cpu: scalar, 3 threads") && line.contains("--no-gpu"), "{line}");
        assert_eq!(placement.device(), "cpu:scalar");
        let line = place(&["--isa", "scalar"]).unwrap().line(&Plan::default(), SIZE, false).unwrap();
        assert!(line.starts_with("cpu: scalar") && line.contains("--isa asks for the CPU"), "{line}");
    }

    #[test]
    fn impossible_thread_counts_are_usage_errors() {
        for n in ["0", "-1", "1025", "many"] {
            assert!(Cli::try_parse_from(["apr", "--threads", n]).is_err(), "{n}");
        }
    }
}
