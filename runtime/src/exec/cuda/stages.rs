//! The stages of a plan with their kernels on a GPU, and which of them are one launch.
use super::{
    CudaError, Gpu,
    error::USE_CPU,
    kernels::{self, Codes, Loaded},
};
use crate::{
    exec::step::ints,
    plan::{BoundStage, Pair, Plan, Role, Size, Step, pairs},
};
use kernels_gen::FUSED;
use std::slice;

/// The stages in the order in which they are run.
pub struct Stages {
    stages: Vec<Stage>,
    fusions: Vec<Fusion>,
    kernels: Vec<Loaded>,
}

/// A stage, and the number of its kernel among the loaded ones.
struct Stage {
    bound: BoundStage,
    kernel: usize,
}

/// Two stages in one launch, and the number of its kernel among the loaded ones.
pub struct Fusion {
    /// The two.
    pub pair: Pair,
    kernel: usize,
}

/// How a stage is done in a step.
pub enum Placement<'c> {
    /// It has nothing to do.
    Nothing,
    /// By a launch of its own.
    Alone,
    /// In one launch with the next one.
    WithNext(&'c Fusion),
    /// By the launch of the one before it.
    Done,
}

/// What a launch is given besides buffers.
pub struct Call<'c> {
    /// Name of the stage.
    pub name: &'c str,
    /// What is launched.
    pub kernel: &'c Loaded,
    /// Dims, then integer scalars.
    pub sizes: &'c [Size],
    /// How many of them are dims.
    pub dims: usize,
    /// Float scalars.
    pub floats: &'c [f32],
}

impl Stages {
    /// Loads each kernel of the stages, and of those that can be one launch, once.
    pub fn load(gpu: &Gpu, plan: &Plan, bound: Vec<BoundStage>) -> Result<Stages, CudaError> {
        refuse_computed_indices(plan, &bound)?;
        let pairs = pairs(&bound, FUSED);
        let fused = pairs.iter().map(|pair| (pair.fused.name, slice::from_ref(&pair.fused.cuda)));
        let alone = bound.iter().map(|stage| (stage.kernel.name, stage.kernel.cuda));
        let mut codes: Vec<Codes> = alone.chain(fused).collect();
        codes.sort_by_key(|codes| codes.0);
        codes.dedup_by_key(|codes| codes.0);
        let kernels = kernels::load(gpu, &codes)?;
        let number = |name: &str| kernels.iter().position(|kernel| kernel.name() == name).unwrap_or(0);
        let stages = bound.into_iter().map(|bound| Stage { kernel: number(bound.kernel.name), bound }).collect();
        let fusions = pairs.into_iter().map(|pair| Fusion { kernel: number(pair.fused.name), pair }).collect();
        Ok(Stages { stages, fusions, kernels })
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.stages.len()
    }

    /// The stage of this number.
    pub fn bound(&self, number: usize) -> &BoundStage {
        &self.stages[number].bound
    }

    /// The kernels, each once.
    pub fn kernels(&self) -> &[Loaded] {
        &self.kernels
    }

    /// How a stage is done in a step, where `apart` says whether something comes between a stage and the next one.
    pub fn placement(&self, number: usize, step: &Step, apart: impl Fn(usize) -> bool) -> Placement<'_> {
        if !self.bound(number).has_work(step) {
            return Placement::Nothing;
        }
        let fusion = |number| self.fusion(number, step).filter(|_| !apart(number));
        match (fusion(number), number.checked_sub(1).and_then(fusion)) {
            (Some(fusion), _) => Placement::WithNext(fusion),
            (None, Some(_)) => Placement::Done,
            (None, None) => Placement::Alone,
        }
    }

    /// The launch that can do a stage and the next one in a step.
    fn fusion(&self, number: usize, step: &Step) -> Option<&Fusion> {
        let fusion = self.fusions.iter().find(|fusion| fusion.pair.producer == number)?;
        let have_work = [number, number + 1].iter().all(|number| self.bound(*number).has_work(step));
        (have_work && (fusion.pair.fused.cuda.fits)(&ints(&fusion.pair.ints, step))).then_some(fusion)
    }

    /// The launch of a stage alone.
    pub fn call(&self, number: usize) -> Call<'_> {
        let Stage { bound, kernel } = &self.stages[number];
        let BoundStage { name, ints, floats, .. } = bound;
        Call { name, kernel: &self.kernels[*kernel], sizes: ints, dims: bound.kernel.dims, floats }
    }

    /// The launch of two.
    pub fn fused_call<'c>(&'c self, fusion: &'c Fusion) -> Call<'c> {
        let Pair { producer, ints, dims, floats, .. } = &fusion.pair;
        let name = &self.bound(*producer).name;
        Call { name, kernel: &self.kernels[fusion.kernel], sizes: ints, dims: *dims, floats }
    }
}

/// Indices are checked on the host before a step, which knows the tokens and nothing else.
fn refuse_computed_indices(plan: &Plan, stages: &[BoundStage]) -> Result<(), CudaError> {
    for stage in stages {
        let most: Vec<i32> = stage.kernel.ranges.iter().map(|&(lo, _)| lo).collect();
        for (i, arg) in stage.args.iter().enumerate() {
            let buffer = plan.buffer(arg.buffer);
            if (stage.kernel.index_below)(&most, i).is_some() && !matches!(buffer.role, Role::Input) {
                let message = format!("stage {}: the indices in `{}` cannot be checked", stage.name, buffer.name);
                return Err(CudaError::new(message, USE_CPU));
            }
        }
    }
    Ok(())
}
