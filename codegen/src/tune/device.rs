//! What runs candidates and times them.
use super::cases::Inputs;
use crate::ir::Kernel;
use crate::loop_ir::Func;
use crate::places::Places;
use crate::schedule::Schedule;
use crate::target::Target;
use crate::{cpu, cuda};

/// A kernel under a schedule.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// The schedule.
    pub schedule: Schedule,
    /// What the lowering made of it.
    pub func: Func,
}

impl Candidate {
    /// The emitted code as text; candidates with the same text have the same code.
    pub fn text(&self, target: Target, places: &Places) -> Result<String, String> {
        match target {
            Target::Cuda => {
                let source = cuda::emit(&self.func, self.schedule.threads, places).map_err(|e| e.to_string())?;
                Ok(format!("{}// {} bytes of shared memory", source.text(), source.shared))
            }
            Target::Cpu(isa) => {
                let module = cpu::module(std::slice::from_ref(&self.func), isa).map_err(|e| e.to_string())?;
                Ok(module.to_string())
            }
        }
    }
}

/// A GPU or a CPU.
pub trait Device {
    /// Code that can be run.
    type Code;
    /// Inputs where the device reads them, and room for what is written.
    type Placed;

    /// Its name, and that of the compiler with its version.
    fn names(&self) -> (&str, &str);

    /// Bytes a second that it reads at most, as measured in this run.
    fn read_rate(&self) -> f64;

    /// Compiles candidates of one kernel, and checks what the compiler has made; in their order.
    fn compile(&self, kernel: &Kernel, candidates: &[&Candidate]) -> Vec<Result<Self::Code, String>>;

    /// Brings inputs to the device as a function wants them in memory. To be timed, large inputs are there several times, so that
    /// no cache serves them.
    fn place(&self, kernel: &Kernel, func: &Func, inputs: &Inputs, to_time: bool) -> Result<Self::Placed, String>;

    /// Runs code once; what all buffers that are written hold afterwards, the others empty. An error where bytes around the buffers
    /// were written.
    fn run(&self, code: &Self::Code, placed: &Self::Placed) -> Result<Vec<Vec<u8>>, String>;

    /// Seconds of one run, measured several times.
    fn samples(&self, code: &Self::Code, placed: &Self::Placed) -> Result<Vec<f64>, String>;
}
