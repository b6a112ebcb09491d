//! The device that a model runs on, and the line that says so.
use super::{Found, Wanted};
use crate::{
    Error,
    commands::{cpu::OnCpu, progress::while_loading},
    exec::{
        Executor,
        cuda::{self, Cuda, Gpu, Need},
    },
    gguf::Gguf,
    plan::{CHUNK, Plan, Step},
};
use indicatif::HumanBytes;

/// A device that has what a model needs, as far as that is known before it is loaded.
#[derive(Clone, Debug)]
pub struct Placement {
    cpu: OnCpu,
    gpu: Option<OnGpu>,
    why: String,
}

/// A GPU, and the bytes of its memory that were free when it was chosen.
#[derive(Clone, Debug)]
struct OnGpu {
    gpu: Gpu,
    free: usize,
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

impl Size {
    /// The largest step of an executor of this size.
    pub fn limits(&self) -> Step {
        let chunks = self.positions.div_ceil(CHUNK).max(1);
        Step { tokens: self.tokens.max(1), outputs: self.outputs.max(1), position: 0, chunks }
    }
}

impl Found {
    /// Chooses the device for a plan. From here on a device that fails is an error: nothing is moved to another one.
    pub fn place(self, plan: &Plan, size: Size) -> Result<Placement, Error> {
        let (gpu, why) = match self.wanted {
            Wanted::Cpu(why) => (None, why),
            Wanted::Gpu(gpu, why) => (Some(on(gpu)?), why),
            Wanted::Any(names) => match first_that_serves(&names, &Need::of(plan, &size.limits())?) {
                Ok(gpu) => (Some(gpu), "the first GPU that can serve".into()),
                Err(why) => (None, why),
            },
        };
        Ok(Placement { cpu: self.cpu, gpu, why })
    }
}

fn on(gpu: Gpu) -> Result<OnGpu, cuda::CudaError> {
    let (free, _) = gpu.memory()?;
    Ok(OnGpu { gpu, free })
}

/// The first GPU with the compute capability and the memory, else what each one lacks.
fn first_that_serves(names: &[String], need: &Need) -> Result<OnGpu, String> {
    let mut reasons = Vec::new();
    for (number, name) in (0..).zip(names) {
        let found = Gpu::open(number).and_then(|gpu| {
            need.check(&format!("cuda:{number}"), gpu.memory()?)?;
            on(gpu)
        });
        match found {
            Ok(gpu) => return Ok(gpu),
            Err(error) => reasons.push(not_used(name, &error.message)),
        }
    }
    Err(reasons.join("; "))
}

/// Why a GPU that is there does not serve.
pub fn not_used(name: &str, why: &str) -> String {
    format!("GPU found ({name}), not used: {why}")
}

impl Placement {
    /// Whether it is a GPU.
    pub fn is_gpu(&self) -> bool {
        self.gpu.is_some()
    }

    /// The device in short, for machines to read.
    pub fn device(&self) -> String {
        match &self.gpu {
            None => format!("cpu:{}", self.cpu.isa),
            Some(OnGpu { gpu, .. }) => format!("cuda:{}:{}", gpu.number(), gpu.arch()),
        }
    }

    /// Threads that compute; none on a GPU.
    pub fn threads(&self) -> Option<usize> {
        if self.is_gpu() { None } else { Some(self.cpu.threads) }
    }

    /// One line for people: device, instruction set, memory, why, and where they are asked for, the kernels.
    pub fn line(&self, plan: &Plan, size: Size, kernels: bool) -> Result<String, Error> {
        let device = match &self.gpu {
            None => self.cpu.to_string(),
            Some(OnGpu { gpu, free }) => {
                let need = Need::of(plan, &size.limits())?;
                let [weights, cache, activations, free] =
                    [need.weights, need.cache, need.activations, *free].map(|n| HumanBytes(n as u64));
                format!(
                    "{}, weights {weights}, KV cache {cache}, activations {activations} of {free} free",
                    describe(gpu)
                )
            }
        };
        let kernels = if kernels { format!("; kernels {}", names(plan).join(" ")) } else { String::new() };
        Ok(format!("{device}; {}{kernels}", self.why))
    }

    /// An executor on this device.
    pub fn executor<'m>(&self, plan: &Plan, file: &'m Gguf, size: Size) -> Result<Box<dyn Executor + 'm>, Error> {
        let limits = size.limits();
        match &self.gpu {
            None => self.cpu.executor(plan, file, limits),
            Some(OnGpu { gpu, .. }) => {
                let setup = cuda::Setup { gpu: gpu.clone(), limits };
                Ok(Box::new(while_loading(|loading| Cuda::new(plan, file, setup, loading))?))
            }
        }
    }

    /// The CPU as [`Self::device`] would name it, whatever the device.
    pub fn reference_device(&self) -> String {
        format!("cpu:{}", self.cpu.isa)
    }

    /// An executor on the CPU, whatever the device.
    pub fn reference<'m>(&self, plan: &Plan, file: &'m Gguf, size: Size) -> Result<Box<dyn Executor + 'm>, Error> {
        self.cpu.executor(plan, file, size.limits())
    }
}

/// The kernels of a plan, each once.
fn names(plan: &Plan) -> Vec<&str> {
    let mut names: Vec<_> = plan.stages.iter().map(|stage| stage.kernel.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    names
}

/// A GPU for people.
pub fn describe(gpu: &Gpu) -> String {
    let tuned = match kernels_gen::tuned::names()[..] {
        [] => String::new(),
        ref names => format!(", with schedules that were tuned here for {}", names.join(" ")),
    };
    format!("cuda:{}: {}, {}, driver for CUDA {}{tuned}", gpu.number(), gpu.name(), gpu.arch(), gpu.driver())
}
