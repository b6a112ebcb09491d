//! The options of the CPU, and executors on it.
use super::progress::while_loading;
use crate::{
    Error,
    exec::{Executor, cpu},
    gguf::Gguf,
    plan::{Plan, Step},
};
use kernels_gen::Isa;
use std::fmt;

/// Most threads that can be asked for; more than any machine that this runs on has.
const MOST_THREADS: usize = 1024;

/// How the CPU is used.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Device")]
pub struct CpuArgs {
    /// Threads of the CPU; by default one for each core that the process may use
    #[arg(long, value_name = "N", value_parser = threads)]
    threads: Option<usize>,
    /// Instruction set of the CPU: scalar, avx2 or avx512; by default the widest there is. All give equal bits
    #[arg(long, value_name = "ISA")]
    isa: Option<Isa>,
}

fn threads(s: &str) -> Result<usize, String> {
    let n = s.parse().ok().filter(|n| (1..=MOST_THREADS).contains(n));
    n.ok_or_else(|| format!("must be a number from 1 to {MOST_THREADS}"))
}

/// Threads and an instruction set that are there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OnCpu {
    /// Threads, the caller's included.
    pub threads: usize,
    /// The instruction set.
    pub isa: Isa,
}

impl CpuArgs {
    /// What was asked for, else the best there is; an instruction set that the processor lacks is an error.
    pub fn find(&self) -> Result<OnCpu, Error> {
        self.with(self.isa.unwrap_or_else(Isa::best))
    }

    /// The same threads with this instruction set.
    pub fn with(&self, isa: Isa) -> Result<OnCpu, Error> {
        if !isa.available() {
            let message = format!("{isa}: this processor lacks {}", isa.missing().join(", "));
            let help = format!("leave it out to use {}, the widest that this processor has", Isa::best());
            return Err(Error::device(message, help));
        }
        let threads = self.threads.unwrap_or_else(|| cpu::usable_cores().min(MOST_THREADS));
        Ok(OnCpu { threads, isa })
    }

    /// Whether an instruction set was asked for.
    pub fn isa_is_given(&self) -> bool {
        self.isa.is_some()
    }
}

impl OnCpu {
    /// An executor for steps up to `limits`.
    pub fn executor<'m>(&self, plan: &Plan, file: &'m Gguf, limits: Step) -> Result<Box<dyn Executor + 'm>, Error> {
        let &OnCpu { threads, isa } = self;
        let setup = cpu::Setup { threads, isa, limits };
        Ok(Box::new(while_loading(|loading| cpu::Cpu::new(plan, file, setup, loading))?))
    }
}

impl fmt::Display for OnCpu {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let s = if self.threads == 1 { "" } else { "s" };
        write!(f, "cpu: {}, {} thread{s}", self.isa, self.threads)
    }
}
