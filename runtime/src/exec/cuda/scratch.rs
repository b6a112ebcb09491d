//! Memory in which the groups of a launch leave partial results for each other, and the counters that they meet at.
//!
//! One of each serves all stages: they run one after the other, and every launch leaves its counters at 0.
use super::{CudaError, Gpu, driver::DeviceMemory, driver::Stream, error::USE_CPU};
use crate::{
    exec::step::ints,
    plan::{BoundStage, CHUNK, Plan, PlanSchedule, Step, pairs, units},
};
use kernels_gen::{Cuda, FUSED, INLINED};

/// The memory for all stages.
pub struct Scratch {
    memory: DeviceMemory,
    counters: DeviceMemory,
}

/// Bytes of scratch memory and of counters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ScratchBytes {
    /// Of partial results.
    pub memory: usize,
    /// Of counters.
    pub counters: usize,
}

impl ScratchBytes {
    /// What a launch takes.
    fn of(code: &Cuda, ints: &[i32]) -> ScratchBytes {
        if code.scratch_per_item == 0 {
            return ScratchBytes::default();
        }
        let items = usize::try_from(code.work(ints)).unwrap_or(0);
        let counters = usize::try_from(code.counters(ints)).unwrap_or(0);
        ScratchBytes {
            memory: items.saturating_mul(code.scratch_per_item as usize),
            counters: counters.saturating_mul(4),
        }
    }

    /// The most that any launch takes in steps up to `limits`. Within the sizes that one code of a kernel is for, more tokens
    /// and a later position take more.
    pub fn most(plan: &Plan, stages: &[BoundStage], limits: &Step, schedule: PlanSchedule) -> ScratchBytes {
        let has = |stage: &&BoundStage| stage.kernel.codes().iter().any(|code| code.scratch_per_item > 0);
        let units = units(plan, stages, INLINED, schedule);
        let alone: Vec<&BoundStage> = stages.iter().chain(units.iter().map(|unit| &unit.bound)).filter(has).collect();
        let pairs = pairs(&units, FUSED, schedule);
        let mut most = ScratchBytes::default();
        let mut note = |code: &Cuda, ints: &[i32]| {
            let bytes = ScratchBytes::of(code, ints);
            most.memory = most.memory.max(bytes.memory);
            most.counters = most.counters.max(bytes.counters);
        };
        for tokens in 1..=limits.tokens {
            let position = (limits.chunks * CHUNK).saturating_sub(tokens);
            let step = Step { tokens, outputs: limits.outputs.min(tokens), position, chunks: limits.chunks };
            for stage in &alone {
                let ints = ints(&stage.ints, &step);
                note(stage.cuda(&ints), &ints);
            }
            for pair in &pairs {
                let ints = ints(&pair.ints, &step);
                if (pair.fused.cuda.fits)(&ints) {
                    note(&pair.fused.cuda, &ints);
                }
            }
        }
        most
    }

    /// Both.
    pub fn total(&self) -> usize {
        self.memory.saturating_add(self.counters)
    }
}

impl Scratch {
    /// Takes the memory and clears the counters.
    pub fn new(gpu: &Gpu, stream: &Stream, bytes: ScratchBytes) -> Result<Scratch, CudaError> {
        let memory = DeviceMemory::new(gpu, bytes.memory, "partial results")?;
        let counters = DeviceMemory::new(gpu, bytes.counters, "counters")?;
        stream.zero(&counters)?;
        Ok(Scratch { memory, counters })
    }

    /// The addresses of both for a launch that takes them.
    pub fn lend(&self, code: &Cuda, ints: &[i32]) -> Result<Option<[u64; 2]>, CudaError> {
        let bytes = ScratchBytes::of(code, ints);
        if bytes.memory > self.memory.len() || bytes.counters > self.counters.len() {
            let (needs, has) = (bytes.total(), self.memory.len() + self.counters.len());
            return Err(CudaError::new(format!("partial results take {needs} bytes, {has} were taken"), USE_CPU));
        }
        Ok((code.scratch_per_item > 0).then(|| [self.memory.address(), self.counters.address()]))
    }
}
