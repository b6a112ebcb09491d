//! Which stages can be computed where another one reads them: their edges are registers, not memory. A placement again, not
//! another forward pass.
use super::{Arg, BEST, BoundStage, BufferId, LOGITS, Plan, PlanSchedule, Role, Size, Step};
use kernels_gen::{Edge, Inlined};

/// A stage with those that are computed in it, or a stage by itself.
#[derive(Clone, Debug)]
pub struct Unit {
    /// How it is called. It has the name of the last stage.
    pub bound: BoundStage,
    /// The numbers of its stages in the plan; the last is the one that reads what the others would write.
    pub stages: Vec<usize>,
    /// Whether it can be done so with these integers, those of `bound`.
    pub fits: fn(&[i32]) -> bool,
}

impl Unit {
    /// The stage that it is done in the place of.
    pub fn last(&self) -> usize {
        self.stages[self.stages.len() - 1]
    }

    /// Whether it can be done so in a step of one token.
    fn fits_a_token(&self) -> bool {
        let step = Step { tokens: 1, outputs: 1, position: 0, chunks: 1 };
        let int = |size: &Size| i32::try_from(step.get(*size)).unwrap_or(i32::MAX);
        (self.fits)(&self.bound.ints.iter().map(int).collect::<Vec<_>>())
    }
}

/// All stages of a plan as units, in the order in which they are run, with those in others that the schedule takes.
pub fn units(plan: &Plan, stages: &[BoundStage], inlined: &'static [Inlined], schedule: PlanSchedule) -> Vec<Unit> {
    let finder = Finder { plan, stages };
    let mut inside = vec![false; stages.len()];
    let mut found: Vec<Unit> = Vec::new();
    for (number, stage) in stages.iter().enumerate() {
        // A stage is in one unit, and none that has others in it is in another one.
        let has_others = |stage: usize| found.iter().any(|unit| unit.last() == stage && unit.stages.len() > 1);
        let free = |unit: &Unit| unit.stages.iter().all(|stage| !inside[*stage] && !has_others(*stage));
        let taken = inlined.iter().enumerate().filter(|(way, _)| schedule.inlines(number, *way));
        let mut ways = taken.filter_map(|(_, inlined)| finder.unit(number, inlined));
        let alone = Unit { bound: stage.clone(), stages: vec![number], fits: |_| true };
        let unit = ways.find(|unit| free(unit) && unit.fits_a_token()).unwrap_or(alone);
        unit.stages.iter().for_each(|stage| inside[*stage] |= *stage != number);
        found.push(unit);
    }
    found.retain(|unit| !inside[unit.last()]);
    found
}

struct Finder<'p> {
    plan: &'p Plan,
    stages: &'p [BoundStage],
}

impl Finder<'_> {
    /// A stage as the last one of a kernel with others in it.
    fn unit(&self, number: usize, inlined: &'static Inlined) -> Option<Unit> {
        let last = &self.stages[number];
        if last.kernel.name != inlined.kernels[0] {
            return None;
        }
        let mut numbers = vec![None; inlined.kernels.len()];
        numbers[0] = Some(number);
        for Edge { reader, writer } in inlined.edges {
            let from = numbers[reader.0]?;
            let arg = self.stages[from].args[reader.1];
            let producer = (0..from).rev().find(|stage| self.writes(*stage, arg.buffer))?;
            let stage = &self.stages[producer];
            let known = numbers[writer.0].is_none_or(|known| known == producer);
            if !known || stage.kernel.name != inlined.kernels[writer.0] || stage.args[writer.1] != arg || self.kept(arg)
            {
                return None;
            }
            numbers[writer.0] = Some(producer);
        }
        let mut numbers: Vec<usize> = numbers.into_iter().collect::<Option<_>>()?;
        let all: Vec<&BoundStage> = numbers.iter().map(|number| &self.stages[*number]).collect();
        let ints = Inlined::pick(inlined.ints, &all.iter().map(|s| &s.ints[..]).collect::<Vec<_>>())?;
        let floats = Inlined::pick(inlined.floats, &all.iter().map(|s| &s.floats[..]).collect::<Vec<_>>())?;
        let args = Inlined::pick(inlined.buffers, &all.iter().map(|s| &s.args[..]).collect::<Vec<_>>())?;
        let BoundStage { name, turn, .. } = last;
        let bound = BoundStage { name: name.clone(), kernel: &inlined.kernel, ints, floats, args, turn: *turn };
        // What is handed on is in no memory any more: nothing else of the call may read it.
        let handed = |arg: &Arg| inlined.edges.iter().any(|e| all[e.writer.0].args[e.writer.1].buffer == arg.buffer);
        let reads_it = bound.args.iter().any(handed);
        let only_here = |stage: &usize| self.readers(*stage).iter().all(|reader| numbers.contains(reader));
        if reads_it || !numbers[1..].iter().all(only_here) {
            return None;
        }
        numbers.sort();
        let fits = inlined.fits;
        (self.can_wait(&numbers) && apart(&bound)).then_some(Unit { bound, stages: numbers, fits })
    }

    fn writes(&self, stage: usize, buffer: BufferId) -> bool {
        self.stages[stage].writes().any(|arg| arg.buffer == buffer)
    }

    /// Whether what is in a buffer stays there for others than the stages.
    fn kept(&self, arg: Arg) -> bool {
        let buffer = self.plan.buffer(arg.buffer);
        !matches!(buffer.role, Role::Activation) || [LOGITS, BEST].contains(&&*buffer.name)
    }

    /// The stages that read what a stage writes.
    fn readers(&self, producer: usize) -> Vec<usize> {
        let mut readers = Vec::new();
        for arg in self.stages[producer].writes() {
            let again = (producer + 1..self.stages.len()).find(|stage| self.writes(*stage, arg.buffer));
            let reads = |stage: &usize| self.stages[*stage].reads().any(|read| read.buffer == arg.buffer);
            // A stage reads before it writes.
            let until = again.map_or(self.stages.len(), |stage| stage + 1);
            readers.extend((producer + 1..until).filter(reads));
        }
        readers
    }

    /// Whether what these stages read is still there when the last of them is run.
    fn can_wait(&self, numbers: &[usize]) -> bool {
        let last = numbers[numbers.len() - 1];
        numbers.iter().all(|number| {
            let between = (number + 1..last).filter(|stage| !numbers.contains(stage));
            let mut others = between.flat_map(|stage| self.stages[stage].writes());
            others.all(|written| self.stages[*number].reads().all(|read| read.buffer != written.buffer))
        })
    }
}

/// Whether a call writes nothing that it reads.
fn apart(bound: &BoundStage) -> bool {
    bound.writes().all(|written| bound.reads().all(|read| read.buffer != written.buffer))
}
