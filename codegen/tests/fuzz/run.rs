//! Runs many cases on all cores; what fails is made as small as it can be and shown.
use crate::case::{Case, Checked, kernel_text};
use crate::coverage::Coverage;
use crate::shrink::shrink;
use kgen::cpu::Isa;
use kgen::loop_ir::Func;
use kgen::target::Target;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

/// What every kernel is lowered for.
pub const TARGETS: [Target; 4] =
    [Target::Cpu(Isa::Avx512), Target::Cuda, Target::Cpu(Isa::Avx2), Target::Cpu(Isa::Avx512)];

/// Failures that are shown before a run gives up.
const SHOWN: usize = 3;

/// A number from the environment.
pub fn number(name: &str, otherwise: u64) -> u64 {
    match std::env::var(name) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{name} is a number, not `{text}`")),
        Err(_) => otherwise,
    }
}

/// The first seed.
pub fn first_seed() -> u64 {
    number("KGEN_FUZZ_SEED", 0)
}

/// `f` for each of `count` numbers, on all cores.
pub fn on_all_cores(count: u64, f: impl Fn(u64) + Sync) {
    let next = AtomicU64::new(0);
    let worker = || {
        loop {
            let i = next.fetch_add(1, Ordering::Relaxed);
            if i >= count {
                return;
            }
            f(i);
        }
    };
    thread::scope(|scope| {
        let threads = thread::available_parallelism().map_or(1, |n| n.get());
        (0..threads).for_each(|_| drop(scope.spawn(worker)));
    });
}

/// A panic of the compiler is a failure like others.
pub fn guarded<T>(f: impl FnOnce() -> Checked<T>) -> Checked<T> {
    catch_unwind(AssertUnwindSafe(f)).unwrap_or_else(|cause| {
        let text = cause.downcast_ref::<String>().map(String::as_str).or(cause.downcast_ref::<&str>().copied());
        Err(format!("a panic: {}", text.unwrap_or("without words")))
    })
}

/// The lowered kernel gives the interpreter's bits under every schedule of the case.
pub fn agrees(case: &Case) -> Checked<()> {
    agrees_with(case, &case.meaning()?, Some)
}

/// So does what `change` makes of it, where it makes something.
pub fn agrees_with(case: &Case, expected: &[Vec<u8>], change: impl Fn(Func) -> Option<Func>) -> Checked<()> {
    for (target, schedule) in &case.schedules {
        let what = |e: String| format!("under the schedule for {target}: {e}");
        if let Some(func) = change(case.lowered(schedule).map_err(what)?) {
            let given = case.run(*target, &func).map_err(what)?;
            case.compare(expected, &given).map_err(what)?;
        }
    }
    Ok(())
}

/// Both interpreters over `count` kernels; what was reached, or the failures.
pub fn interpreters(count: u64) -> Result<Coverage, String> {
    let coverage = Mutex::new(Coverage::default());
    let failures = Mutex::new(Vec::new());
    on_all_cores(count, |i| {
        let seed = first_seed() + i;
        if failures.lock().expect("no panic inside").len() >= SHOWN {
            return;
        }
        match guarded(|| one(seed)) {
            Ok(reached) => coverage.lock().expect("no panic inside").merge(&reached),
            Err(reason) => {
                let shown = show(seed, &reason);
                failures.lock().expect("no panic inside").push(shown);
            }
        }
    });
    let failures = failures.into_inner().expect("no panic inside");
    if failures.is_empty() { Ok(coverage.into_inner().expect("no panic inside")) } else { Err(failures.join("\n")) }
}

fn one(seed: u64) -> Checked<Coverage> {
    let case = Case::drawn("f", seed, &TARGETS)?;
    agrees(&case)?;
    let mut coverage = Coverage::default();
    coverage.kernel(&case.kernel);
    for (_, schedule) in &case.schedules {
        coverage.func(&case.lowered(schedule)?);
    }
    Ok(coverage)
}

/// A failure and the smallest case that still fails.
fn show(seed: u64, reason: &str) -> String {
    let fails = |case: &Case| guarded(|| agrees(case)).err();
    let drawn = match guarded(|| Case::drawn("f", seed, &TARGETS)) {
        Ok(case) => case,
        Err(e) => return format!("seed {seed}: {e}\n{}", kernel_text(seed)),
    };
    let (small, reason) = shrink(drawn, reason.to_string(), &TARGETS, fails);
    format!("seed {seed}: {reason}\n{}\n", small.describe())
}
