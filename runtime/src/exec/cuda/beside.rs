//! Launches side by side: units of a plan that have nothing to do with each other, one after the other in its order, are one launch,
//! of which each does a part of the CTAs. So it is for a token at a time, where no launch by itself fills a GPU.
use super::{
    CudaError, Gpu,
    compile::{Job, compile},
    driver::Module,
    kernels,
};
use crate::{
    exec::step::ints,
    plan::{BoundStage, PlanSchedule, Step, Unit},
};
use cudarc::driver::sys::CUfunction;
use kernels_gen::Cuda;
use kgen::{nvrtc::Compiler, text::hex};
use sha2::{Digest, Sha256};
use std::{ops::Range, ptr, rc::Rc};

/// The most units of a launch.
const MOST: usize = 4;

/// Units that are one launch.
pub struct Beside {
    /// Their numbers.
    pub units: Range<usize>,
    code: Rc<Code>,
}

/// The code of such a launch.
struct Code {
    parts: Vec<&'static Cuda>,
    module: Module,
    hash: String,
}

impl Beside {
    /// What is started.
    pub fn function(&self) -> CUfunction {
        self.code.module.function
    }

    /// The SHA-256 of its machine code, in hexadecimal.
    pub fn hash(&self) -> &str {
        &self.code.hash
    }
}

/// Compiles and loads the launches side by side that the schedule takes among units, for steps of one token as `step` is; `alone`
/// says which units are launches by themselves in it.
pub fn load(
    gpu: &Gpu,
    units: &[Unit],
    step: &Step,
    schedule: PlanSchedule,
    alone: impl Fn(usize) -> bool,
) -> Result<Vec<Beside>, CudaError> {
    let found = ranges(units, step, schedule, alone);
    let all: Vec<Vec<&'static Cuda>> =
        found.iter().map(|range| units[range.clone()].iter().map(|unit| code(unit, step)).collect()).collect();
    let mut distinct: Vec<&[&'static Cuda]> = Vec::new();
    for own in &all {
        if !distinct.iter().any(|other| same(other, own)) {
            distinct.push(own);
        }
    }
    let jobs = distinct.iter().map(|codes| Job::new(codes)).collect::<Result<Vec<_>, _>>()?;
    let cubins = compile(&Compiler::new(), &jobs, &gpu.arch())?;
    let most = |codes: &[&Cuda], of: fn(&Cuda) -> u32| codes.iter().map(|code| of(code)).max().unwrap_or(0);
    let mut loaded = Vec::new();
    for ((codes, job), cubin) in distinct.iter().zip(&jobs).zip(&cubins) {
        let shape = (most(codes, |code| code.threads), most(codes, |code| code.shared));
        let module = kernels::module(gpu, &job.entry, shape, cubin)?;
        loaded.push(Rc::new(Code { parts: codes.to_vec(), module, hash: hex(&Sha256::digest(cubin)) }));
    }
    let of = |own: &[&Cuda]| loaded.iter().find(|code| same(&code.parts, own)).cloned();
    Ok(found.into_iter().zip(&all).filter_map(|(units, own)| Some(Beside { units, code: of(own)? })).collect())
}

/// The numbers of units that are one launch. Their CTAs have equally many threads, and none leaves anything for another.
fn ranges(units: &[Unit], step: &Step, schedule: PlanSchedule, alone: impl Fn(usize) -> bool) -> Vec<Range<usize>> {
    let (mut found, mut first) = (Vec::new(), 0);
    while first < units.len() {
        let threads = code(&units[first], step).threads;
        let fits = |next: usize| {
            let own = code(&units[next], step);
            let equal = own.threads == threads && own.scratch_per_item == 0;
            equal && alone(next) && (first..next).all(|before| apart(&units[before].bound, &units[next].bound))
        };
        let last = units.len().min(first + schedule.beside(units[first].last(), MOST));
        let end = (first..last).find(|next| !fits(*next)).unwrap_or(last);
        if end > first + 1 {
            found.push(first..end);
        }
        first = end.max(first + 1);
    }
    found
}

/// The code of a unit in a step.
fn code(unit: &Unit, step: &Step) -> &'static Cuda {
    unit.bound.cuda(&ints(&unit.bound.ints, step))
}

/// Whether these are the same codes. Those of a kernel for other sizes have the same name.
fn same(a: &[&Cuda], b: &[&Cuda]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| ptr::eq(*a, *b))
}

/// Whether neither writes what the other one touches.
fn apart(a: &BoundStage, b: &BoundStage) -> bool {
    let writes = |a: &BoundStage, b: &BoundStage| {
        a.writes().any(|written| b.args.iter().any(|touched| touched.buffer == written.buffer))
    };
    !writes(a, b) && !writes(b, a)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        gguf::Gguf,
        model::Model,
        plan::{Arg, BufferId, Size, pairs, transformer, units},
        synth,
    };
    use kernels_gen::{FUSED, INLINED};
    use std::sync::atomic::AtomicBool;

    const ONE: Step = Step { tokens: 1, outputs: 1, position: 0, chunks: 1 };

    /// A call of a kernel that adds, from buffers `a` and `b` to `y`, or of another with other threads or scratch memory.
    fn unit(kernel: &str, args: &[usize]) -> Unit {
        let kernel = kernels_gen::kernel(kernel).unwrap();
        let arg = |buffer: &usize| Arg { buffer: BufferId(*buffer), outputs_only: false };
        let ints = kernel.ints.iter().map(|name| if *name == "T" { Size::Tokens } else { Size::Fixed(1) }).collect();
        let args = args.iter().map(arg).collect();
        let bound = BoundStage { name: String::new(), kernel, ints, floats: Vec::new(), args, turn: 0 };
        Unit { bound, stages: vec![0], fits: |_| true }
    }

    /// The first of each range, and how many it has.
    fn found(units: &[Unit], alone: impl Fn(usize) -> bool) -> Vec<(usize, usize)> {
        found_under(PlanSchedule::ALL, units, alone)
    }

    fn found_under(schedule: PlanSchedule, units: &[Unit], alone: impl Fn(usize) -> bool) -> Vec<(usize, usize)> {
        let ranges = ranges(units, &ONE, schedule, alone);
        ranges.into_iter().map(|range| (range.start, range.len())).collect()
    }

    #[test]
    fn neighbours_with_nothing_in_common_are_side_by_side() {
        let add = |args: &[usize]| unit("add", args);
        assert_eq!(found(&[add(&[0, 1, 2]), add(&[0, 1, 3]), add(&[2, 3, 4])], |_| true), [(0, 2)]);
        assert!(
            found(&[add(&[0, 1, 2]), add(&[2, 1, 3])], |_| true).is_empty(),
            "the second reads what the first writes"
        );
        assert!(
            found(&[add(&[0, 1, 2]), add(&[3, 1, 0])], |_| true).is_empty(),
            "the second writes what the first reads"
        );
        assert!(found(&[add(&[0, 1, 2]), add(&[0, 1, 2])], |_| true).is_empty(), "both write the same");
        let many: Vec<Unit> = (0..6).map(|i| add(&[0, 1, 2 + i])).collect();
        assert_eq!(found(&many, |_| true), [(0, 4), (4, 2)], "so many at most");
        assert_eq!(found(&many, |unit| unit != 0 && unit != 3), [(1, 2), (4, 2)], "some are in other launches");
    }

    #[test]
    fn launches_of_other_shapes_or_with_scratch_memory_stay_apart() {
        let (add, norm) = (unit("add", &[0, 1, 2]), unit("weigh_q8k", &[3, 4, 5, 6]));
        assert_ne!(code(&add, &ONE).threads, 256);
        assert!(found(&[add, norm], |_| true).is_empty());
        let attention = |args: &[usize]| unit("attention_128", args);
        assert!(
            found(&[attention(&[0, 1, 2, 3]), attention(&[4, 5, 6, 7])], |_| true).is_empty(),
            "they would share it"
        );
    }
    #[test]
    fn a_random_schedule_takes_launches_of_every_size() {
        let numbered = |i: usize| Unit { stages: vec![i], ..unit("add", &[0, 1, 2 + i]) };
        let many: Vec<Unit> = (0..4).map(numbered).collect();
        let under = |seed, units: &[Unit]| found_under(PlanSchedule::random(seed), units, |_| true);
        let drawn: Vec<_> = (0..50).map(|seed| under(seed, &many)).collect();
        for (first, len) in [(0, 2), (0, 3), (0, 4), (1, 2), (1, 3), (2, 2)] {
            assert!(drawn.iter().any(|ranges| ranges.contains(&(first, len))), "{len} from {first} on");
        }
        assert!(drawn.iter().any(|ranges| ranges.len() == 2), "{drawn:?}");
        assert!((0..50).any(|seed| under(seed, &many[..2]).is_empty()), "two by themselves");
    }

    #[test]
    fn launches_of_random_schedules_compile_and_pass_the_audit() {
        let compiler = Compiler::with_cache(None);
        if let Err(error) = compiler.nvrtc() {
            eprintln!("skipped: {error}");
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("m.gguf");
        let options = synth::Options { seed: 1, layers: Some(1), outliers: false, quant: synth::Quant::Q4KM };
        synth::write(&path, synth::shape("tiny").unwrap(), &options, 2, &AtomicBool::new(false), |_, _| ()).unwrap();
        let file = Gguf::open(&path).unwrap();
        let plan = transformer(&Model::load(&file).unwrap());
        let mut all: Vec<Vec<&'static Cuda>> = Vec::new();
        for schedule in (0..5).map(PlanSchedule::random) {
            let mut bound = plan.bind(kernels_gen::kernel).unwrap();
            schedule.choose_codes(&mut bound);
            let units = units(&plan, &bound, INLINED, schedule);
            let paired: Vec<usize> =
                pairs(&units, FUSED, schedule).iter().flat_map(|pair| [pair.producer, pair.producer + 1]).collect();
            for range in ranges(&units, &ONE, schedule, |unit| !paired.contains(&unit)) {
                let codes: Vec<&Cuda> = units[range].iter().map(|unit| code(unit, &ONE)).collect();
                if !all.iter().any(|other| same(other, &codes)) {
                    all.push(codes);
                }
            }
        }
        assert!(all.len() > 5, "{}", all.len());
        let jobs: Vec<Job> = all.iter().map(|codes| Job::new(codes).unwrap()).collect();
        let cubins = compile(&compiler, &jobs, &"sm_90".parse().unwrap()).unwrap();
        assert!(cubins.iter().all(|cubin| cubin.starts_with(b"\x7fELF")));
    }
}
