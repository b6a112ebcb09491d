//! Random kernels through the code that is emitted for the CPU: compiled in batches, run, and compared with the interpreter.
use crate::case::{Case, Checked};
use crate::compiled::{self, Call};
use crate::run::{first_seed, guarded, on_all_cores};
use crate::shrink::shrink;
use kgen::cpu::Isa;
use kgen::target::Target;
use std::sync::Mutex;

/// Kernels that are compiled together, each for every instruction set of this machine.
const BATCH: u64 = 20;

/// The instruction sets of this machine.
pub fn targets() -> Vec<Target> {
    Isa::ALL.into_iter().filter(|isa| isa.available()).map(Target::Cpu).collect()
}

/// `count` kernels on every instruction set of this machine, or what failed.
pub fn emitted(count: u64) -> Result<(), String> {
    let failures = Mutex::new(Vec::new());
    on_all_cores(count.div_ceil(BATCH), |batch| {
        let seeds = batch * BATCH..count.min((batch + 1) * BATCH);
        if let Err(failure) = guarded(|| one_batch(seeds.map(|i| first_seed() + i).collect())) {
            failures.lock().expect("no panic inside").push(failure);
        }
    });
    let failures = failures.into_inner().expect("no panic inside");
    if failures.is_empty() { Ok(()) } else { Err(failures.join("\n")) }
}

fn one_batch(seeds: Vec<u64>) -> Checked<()> {
    let mut cases = Vec::new();
    for seed in &seeds {
        cases.push(Case::drawn(&format!("f{seed}"), *seed, &targets()).map_err(|e| format!("seed {seed}: {e}"))?);
    }
    let Err(together) = differs(&cases) else { return Ok(()) };
    let fails = |case: &Case| differs(std::slice::from_ref(case)).err();
    for (case, seed) in cases.into_iter().zip(seeds) {
        if let Some(reason) = fails(&case) {
            let (small, reason) = shrink(case, reason, &targets(), fails);
            return Err(format!("seed {seed}: {reason}\n{}", small.describe()));
        }
    }
    Err(format!("only together: {together}"))
}

/// The calls of a case, one for each of its schedules.
fn calls(case: &Case) -> Checked<Vec<Call>> {
    let call = |(target, schedule): &(Target, _)| {
        let Target::Cpu(isa) = *target else { return Err(format!("{target} is no instruction set")) };
        let func = case.lowered(schedule)?;
        let work = func.work_items(&case.ints).ok_or("the number of work items is no i32")?;
        let (ints, floats, buffers) = (case.ints.clone(), case.floats.clone(), case.packed(&func));
        Ok(Call { isa, func, ints, floats, part: (0, work), buffers })
    };
    case.schedules.iter().map(call).collect()
}

/// The program of a case's calls.
pub fn text(case: &Case) -> Checked<String> {
    Ok(compiled::program(&calls(case)?))
}

/// What is wrong with the compiled code of the first case that has other bits.
fn differs(cases: &[Case]) -> Checked<()> {
    differs_with(cases, |text| text)
}

/// The same with what `change` makes of the program's text.
pub fn differs_with(cases: &[Case], change: impl Fn(String) -> String) -> Checked<()> {
    let mut all = Vec::new();
    let mut wanted = Vec::new();
    for case in cases {
        let calls = calls(case)?;
        wanted.push((case, calls.len(), case.meaning()?));
        all.extend(calls);
    }
    let text = change(compiled::program(&all));
    let given = guarded(|| Ok(compiled::run(&text, &all)))?;
    let mut given = given.iter().zip(&all);
    for (case, count, expected) in wanted {
        for (buffers, call) in given.by_ref().take(count) {
            case.compare(&expected, buffers).map_err(|e| format!("on {}: {e}", call.isa))?;
        }
    }
    Ok(())
}
