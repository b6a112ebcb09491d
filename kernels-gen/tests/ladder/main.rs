//! Every kernel, rung by rung, bit by bit: interpreter = loop IR under random legal schedules = generated code.
mod data;
mod fused;
mod inlined;
mod recomputed;

use data::{Case, Rng, case};
use kernels_gen::{Buf, Isa, Launch, Layout};
use kgen::ir::{self, Kernel, interp};
use kgen::library::Library;
use kgen::schedule::Schedule;
use kgen::target::Target;
use kgen::{loop_ir, lower, schedule};
use std::path::Path;

/// Random legal schedules that each kernel is run under.
const SCHEDULES: usize = 80;
/// The same of kernels that have no schedules of their own, but share those of others of their kind.
const SCHEDULES_IF_SHARED: usize = 24;
/// Schedules in a row that run on the same inputs.
const SCHEDULES_A_CASE: usize = 8;

fn library() -> Library {
    Library::open(Path::new(env!("CARGO_MANIFEST_DIR"))).unwrap_or_else(|e| panic!("{e}"))
}

/// The buffers after the interpreter has run: what every other rung must give.
fn meaning(kernel: &Kernel, case: &Case) -> Vec<Vec<u8>> {
    let mut buffers = case.buffers.clone();
    interp::run(kernel, &case.ints, &case.floats, &mut buffers).unwrap_or_else(|e| panic!("{e}"));
    buffers
}

/// Panics at the first byte that differs.
fn same(what: &str, kernel: &Kernel, case: &Case, expected: &[Vec<u8>], given: &[Vec<u8>]) {
    for ((b, x), y) in kernel.buffers.iter().zip(expected).zip(given).filter(|((b, _), _)| b.written) {
        if let Some(at) = x.iter().zip(y).position(|(x, y)| x != y) {
            let (x, y) = (&x[at / 4 * 4..at / 4 * 4 + 4], &y[at / 4 * 4..at / 4 * 4 + 4]);
            panic!(
                "{} ints {:?}: {what} differs in `{}` at byte {at}: {x:x?} became {y:x?}",
                kernel.name, case.ints, b.name
            );
        }
    }
}

/// The buffers of a case as the code for an instruction set wants them in memory.
fn packed(kernel: &Kernel, code: &kernels_gen::Kernel, isa: Isa, case: &Case) -> Vec<Vec<u8>> {
    let layouts = code.memory(Target::Cpu(isa)).layouts;
    let extent = |e: &ir::Expr| interp::size(kernel, e, &case.ints).expect("a shape is made of sizes") as usize;
    let packed = |((bytes, b), layout): ((&Vec<u8>, &ir::Buffer), &Option<Layout>)| match (layout, &b.shape[..]) {
        (Some(layout), [.., rows, blocks]) => layout.packed(bytes, extent(rows), extent(blocks)),
        _ => bytes.clone(),
    };
    case.buffers.iter().zip(&kernel.buffers).zip(layouts).map(packed).collect()
}

#[test]
fn generated_code_is_the_interpreter() {
    let library = library();
    for kernel in &library.kernels {
        let code = kernels_gen::kernel(&kernel.name).expect("every kernel is generated");
        for seed in 0..24 {
            let case = case(kernel, seed % 3 == 2, &mut Rng::new(seed));
            let expected = meaning(kernel, &case);
            for isa in Isa::ALL.into_iter().filter(|isa| isa.available()) {
                let mut buffers = packed(kernel, code, isa, &case);
                let bufs: Vec<Buf> = (kernel.buffers.iter().zip(&mut buffers))
                    .map(|(b, bytes)| if b.written { Buf::write(bytes) } else { Buf::read(bytes) })
                    .collect();
                let launch = Launch::new(code, isa, &case.ints, &case.floats, &bufs).unwrap_or_else(|e| panic!("{e}"));
                let work = launch.work();
                let cut = work / 3;
                // SAFETY: the instruction set is available, and one thread does all parts.
                unsafe {
                    launch.run(cut, work);
                    launch.run(0, cut);
                }
                same(&format!("{isa} code"), kernel, &case, &expected, &buffers);
            }
        }
    }
}

#[test]
fn the_schedules_of_gpus_give_the_same_bits() {
    let library = library();
    for kernel in library.kernels_on(Target::Cuda) {
        for (schedule, _) in library.lowered(kernel, Target::Cuda).unwrap_or_else(|e| panic!("{e}")) {
            let mut rng = Rng::new(schedule.threads as u64);
            let mut done = 0;
            for number in 0..200 {
                let case = case(kernel, number % 3 == 2, &mut rng);
                if done < 3 && schedule.fits(kernel, &case.ints) {
                    under(Target::Cuda, kernel, &schedule, &case, &meaning(kernel, &case), &mut rng);
                    done += 1;
                }
            }
            assert!(done == 3, "{}: no case is for {schedule:?}", kernel.name);
        }
    }
}

#[test]
fn no_schedule_changes_a_bit() {
    let library = library();
    std::thread::scope(|scope| {
        for part in 0..2 {
            let names: Vec<&str> =
                library.kernels_on(Target::Cuda).skip(part).step_by(2).map(|k| k.name.as_str()).collect();
            scope.spawn(move || {
                let library = self::library();
                let own = library.schedules(Target::Cuda).unwrap_or_else(|e| panic!("{e}"));
                for name in names {
                    let schedules = if own.contains_key(name) { SCHEDULES } else { SCHEDULES_IF_SHARED };
                    under_schedules(library.kernel(name).unwrap_or_else(|e| panic!("{e}")), schedules);
                }
            });
        }
    });
}

fn under_schedules(kernel: &Kernel, schedules: usize) {
    let mut rng = Rng::new(kernel.name.len() as u64);
    // A kernel with others in it is for CUDA alone.
    let targets = if kernels_gen::kernel(&kernel.name).is_some() { &Target::ALL[..] } else { &[Target::Cuda] };
    let mut drawn = 0;
    for number in 0..schedules / SCHEDULES_A_CASE {
        let case = case(kernel, number % 4 == 3, &mut rng);
        let expected = meaning(kernel, &case);
        let mut legal = 0;
        while legal < SCHEDULES_A_CASE {
            drawn += 1;
            assert!(drawn < 40 * schedules, "{}: of {drawn} schedules too few are legal", kernel.name);
            let target = targets[rng.below(targets.len())];
            let schedule = schedule::draw(kernel, target, |n| rng.below(n));
            if schedule.fits(kernel, &case.ints) && target.legal(kernel, &schedule).is_ok() {
                legal += 1;
                under(target, kernel, &schedule, &case, &expected, &mut rng);
            }
        }
    }
}

/// Runs the loop IR of a schedule: for a CPU in two parts, the second first, and for a GPU by several workers in random turns.
fn under(target: Target, kernel: &Kernel, schedule: &Schedule, case: &Case, expected: &[Vec<u8>], rng: &mut Rng) {
    let func = lower::lower(kernel, schedule).unwrap_or_else(|e| panic!("{e}"));
    let mut buffers = case.buffers.clone();
    let failed = |e| panic!("{} under {schedule:?} with {:?}: {e}", kernel.name, case.ints);
    let items = func.work_items(&case.ints).expect("a number of items");
    func.with_layouts(&case.ints, &mut buffers, |buffers| {
        if target == Target::Cuda {
            // Few workers meet often; one for each item races with all.
            let workers = [2, 3, 5, (items as usize).clamp(1, 64 / func.team)][rng.below(4)];
            let turn = |n| rng.below(n);
            return loop_ir::interp::run_at_once(&func, &case.ints, &case.floats, buffers, workers, turn);
        }
        let cut = rng.below(items as usize + 1) as i32;
        [(cut, items), (0, cut)]
            .into_iter()
            .try_for_each(|(lo, hi)| loop_ir::interp::run(&func, &case.ints, &case.floats, buffers, lo, hi))
    })
    .unwrap_or_else(failed);
    same(&format!("{schedule:?}"), kernel, case, expected, &buffers);
}
