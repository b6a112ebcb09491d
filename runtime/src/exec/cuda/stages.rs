//! The stages of a plan with their kernels on a GPU, and which of them are one launch.
use super::{
    Gpu,
    beside::{self, Beside},
    indices,
    kernels::{self, Codes, Loaded},
};
use crate::{
    exec::{ExecError, step::ints},
    plan::{BoundStage, Pair, Placements, Plan, PlanSchedule, Size, Step, Unit, pairs, units},
};
use kernels_gen::{FUSED, INLINED};
use std::{ptr, slice};

/// The stages in the order in which they are run.
pub struct Stages {
    stages: Vec<BoundStage>,
    /// The stages with those that can be computed in them.
    units: Vec<Unit>,
    /// The number of each stage's unit.
    unit_of: Vec<usize>,
    /// By the number of the first.
    pairs: Vec<Pair>,
    /// Of a step of one token.
    besides: Vec<Beside>,
    /// By name.
    kernels: Vec<Loaded>,
}

/// How a stage is done in a step.
pub enum Placement<'c> {
    /// It has nothing to do.
    Nothing,
    /// In the launch of a later one, which leaves nothing of it in memory.
    Inside,
    /// By a launch of its own, with those that are computed in it.
    Alone(&'c BoundStage),
    /// In one launch with the next one.
    WithNext(&'c Pair),
    /// In one launch with the next ones, side by side.
    Beside(&'c Beside),
    /// By the launch of one before it.
    Done,
}

/// What a launch is given besides buffers.
pub struct Call<'c> {
    /// Name of the stage.
    pub name: &'c str,
    /// What is launched.
    pub kernel: &'c Loaded,
    /// Which of its codes that fit.
    pub turn: usize,
    /// Dims, then integer scalars.
    pub sizes: &'c [Size],
    /// How many of them are dims.
    pub dims: usize,
    /// Float scalars.
    pub floats: &'c [f32],
}

impl Stages {
    /// Loads each kernel of the stages, and of those that the schedule makes one launch, once.
    pub fn load(
        gpu: &Gpu,
        plan: &Plan,
        bound: Vec<BoundStage>,
        limits: &Step,
        schedule: PlanSchedule,
    ) -> Result<Stages, ExecError> {
        indices::check(plan, &bound, limits)?;
        let units = units(plan, &bound, INLINED, schedule);
        let pairs = pairs(&units, FUSED, schedule);
        let fused = pairs.iter().map(|pair| (pair.fused.name, slice::from_ref(&pair.fused.cuda)));
        let all = bound.iter().chain(units.iter().map(|unit| &unit.bound));
        let alone = all.map(|stage| (stage.kernel.name, stage.kernel.codes()));
        let mut codes: Vec<Codes> = alone.chain(fused).collect();
        codes.sort_by_key(|codes| codes.0);
        codes.dedup_by_key(|codes| codes.0);
        let kernels = kernels::load(gpu, &codes)?;
        let mut unit_of = vec![0; bound.len()];
        for (number, unit) in units.iter().enumerate() {
            unit.stages.iter().for_each(|stage| unit_of[*stage] = number);
        }
        let mut stages = Stages { stages: bound, units, unit_of, pairs, besides: Vec::new(), kernels };
        let step = one_token(limits);
        let alone = |unit: usize| {
            let last = stages.units[unit].last();
            let placed = stages.placement(last, &step, |_| false);
            matches!(placed, Placement::Alone(bound) if ptr::eq(bound, &stages.units[unit].bound))
        };
        stages.besides = beside::load(gpu, &stages.units, &step, schedule, alone)?;
        Ok(stages)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.stages.len()
    }

    /// What is taken in a step of one token.
    pub fn placements(&self, limits: &Step) -> Placements {
        let step = one_token(limits);
        let other = |bound: &BoundStage| {
            let ints = ints(&bound.ints, &step);
            usize::from(!ptr::eq(bound.cuda(&ints), bound.kernel.cuda(&ints, 0)))
        };
        let mut taken = Placements::default();
        for number in 0..self.len() {
            match self.placement(number, &step, |_| false) {
                Placement::Inside => taken.inlined += 1,
                Placement::Alone(bound) => taken.other_codes += other(bound),
                Placement::WithNext(_) => taken.pairs += 1,
                Placement::Beside(beside) => {
                    taken.beside += 1;
                    taken.other_codes += self.all(beside).map(other).sum::<usize>();
                }
                Placement::Nothing | Placement::Done => {}
            }
        }
        taken
    }

    /// The stages, as the plan has them.
    pub fn all_bound(&self) -> &[BoundStage] {
        &self.stages
    }

    /// The stage of this number.
    pub fn bound(&self, number: usize) -> &BoundStage {
        &self.stages[number]
    }

    /// The kernels, each once.
    pub fn kernels(&self) -> &[Loaded] {
        &self.kernels
    }

    /// How a stage is done in a step, where `apart` says whether something comes between a stage and those that read it.
    pub fn placement(&self, number: usize, step: &Step, apart: impl Fn(usize) -> bool + Copy) -> Placement<'_> {
        if !self.bound(number).has_work(step) {
            return Placement::Nothing;
        }
        let whole = |unit: &Unit| {
            let none_apart = !unit.stages.iter().any(|stage| *stage != unit.last() && apart(*stage));
            none_apart && (unit.stages.len() == 1 || (unit.fits)(&ints(&unit.bound.ints, step)))
        };
        let own = self.unit_of[number];
        let unit = &self.units[own];
        if !whole(unit) {
            return Placement::Alone(self.bound(number));
        }
        if number != unit.last() {
            return Placement::Inside;
        }
        let pair = |first: usize| {
            let [producer, consumer] = [self.units.get(first)?, self.units.get(first + 1)?];
            self.pair(first, step).filter(|_| whole(producer) && whole(consumer) && !apart(producer.last()))
        };
        match (pair(own), own.checked_sub(1).and_then(pair)) {
            (Some(pair), _) => Placement::WithNext(pair),
            (None, Some(_)) => Placement::Done,
            (None, None) => self.beside(own, step, apart).unwrap_or(Placement::Alone(&unit.bound)),
        }
    }

    /// How a unit is done that is a launch by itself or one with others beside it.
    fn beside(&self, unit: usize, step: &Step, apart: impl Fn(usize) -> bool) -> Option<Placement<'_>> {
        let place = self.besides.partition_point(|beside| beside.units.end <= unit);
        let beside = self.besides.get(place).filter(|beside| is_decode(step) && beside.units.contains(&unit))?;
        // What comes after the last does not come between them.
        let mut stages = self.units[beside.units.clone()].iter().flat_map(|unit| &unit.stages);
        if stages.any(|stage| apart(*stage)) {
            return None;
        }
        Some(if unit == beside.units.start { Placement::Beside(beside) } else { Placement::Done })
    }

    /// Those that are one launch, side by side.
    pub fn all(&self, beside: &Beside) -> impl Iterator<Item = &BoundStage> {
        self.units[beside.units.clone()].iter().map(|unit| &unit.bound)
    }

    /// The launches of units side by side.
    pub fn besides(&self) -> &[Beside] {
        &self.besides
    }

    /// The launch that can do a unit and the next one in a step.
    fn pair(&self, unit: usize, step: &Step) -> Option<&Pair> {
        let place = self.pairs.binary_search_by_key(&unit, |pair| pair.producer).ok()?;
        let pair = &self.pairs[place];
        let have_work = self.two(pair).iter().all(|bound| bound.has_work(step));
        (have_work && (pair.fused.cuda.fits)(&ints(&pair.ints, step))).then_some(pair)
    }

    /// The two that are one launch.
    pub fn two(&self, pair: &Pair) -> [&BoundStage; 2] {
        [pair.producer, pair.producer + 1].map(|unit| &self.units[unit].bound)
    }

    /// The launch of a stage, with those that are computed in it.
    pub fn call<'c>(&'c self, bound: &'c BoundStage) -> Call<'c> {
        let BoundStage { name, kernel, ints, floats, turn, .. } = bound;
        Call { name, kernel: self.loaded(kernel.name), turn: *turn, sizes: ints, dims: kernel.dims, floats }
    }

    /// The launch of two.
    pub fn fused_call<'c>(&'c self, pair: &'c Pair) -> Call<'c> {
        let Pair { fused, ints, dims, floats, .. } = pair;
        let name = &self.two(pair)[0].name;
        Call { name, kernel: self.loaded(fused.name), turn: 0, sizes: ints, dims: *dims, floats }
    }

    fn loaded(&self, name: &str) -> &Loaded {
        let place = self.kernels.binary_search_by_key(&name, |kernel| kernel.name());
        &self.kernels[place.expect("the kernels of all stages, units and pairs were loaded")]
    }
}

/// The step of one token that everything is placed for.
fn one_token(limits: &Step) -> Step {
    Step { tokens: 1, outputs: 1, position: 0, chunks: limits.chunks }
}

/// Whether a step is of one token with its logits: it is recorded, to be started again for each token.
pub fn is_decode(step: &Step) -> bool {
    (step.tokens, step.outputs) == (1, 1)
}
