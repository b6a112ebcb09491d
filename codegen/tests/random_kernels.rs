//! Random kernels, written as text: the interpreter, the loop IR under random legal schedules, and compiled code agree bit by bit.
mod common;
#[path = "common/compiled.rs"]
mod compiled;
#[path = "common/generate.rs"]
mod generate;

use common::{compile, lowered, meaning, work};
use compiled::Call;
use generate::{Random, program};
use kgen::cpu::Isa;
use kgen::ir::{Kernel, Scalar, interp};
use kgen::lower;
use kgen::schedule::{self, Schedule};
use kgen::target::Target;

/// Kernels that are drawn.
const KERNELS: u64 = 200;
/// Schedules that are drawn for each.
const DRAWN: usize = 6;

/// Sizes, and the buffers that belong to them.
fn data(kernel: &Kernel, random: &mut Random) -> (Vec<i32>, Vec<Vec<u8>>) {
    let ints: Vec<i32> = kernel.dims.iter().map(|_| 1 + random.below(40) as i32).collect();
    let buffers = kernel.buffers.iter().map(|b| {
        let extent = |e| interp::size(kernel, e, &ints).expect("a shape is made of sizes") as usize;
        let bytes = b.elem_bytes * b.shape.iter().map(extent).product::<usize>();
        match b.scalar {
            _ if b.written => vec![0xa5; bytes],
            Some(Scalar::F32) => (0..bytes / 4).flat_map(|_| random.float().to_le_bytes()).collect(),
            Some(Scalar::I32) => {
                (0..bytes / 4).flat_map(|_| (random.below(2001) as i32 - 1000).to_le_bytes()).collect()
            }
            _ => (0..bytes).map(|at| byte(at % b.elem_bytes, b.scalar.is_none(), random)).collect(),
        }
    });
    let buffers = buffers.collect();
    (ints, buffers)
}

/// A byte; those of a block that are declared narrower keep to that.
fn byte(at: usize, block: bool, random: &mut Random) -> u8 {
    match at {
        130..138 if block => (random.below(15) as i8 - 5) as u8,
        _ => random.below(256) as u8,
    }
}

fn same(what: &str, text: &str, expected: &[Vec<u8>], given: &[Vec<u8>]) {
    for (b, (x, y)) in expected.iter().zip(given).enumerate() {
        if let Some(at) = x.iter().zip(y).position(|(x, y)| x != y) {
            let word = at / 4 * 4..x.len().min(at / 4 * 4 + 4);
            let (x, y) = (&x[word.clone()], &y[word]);
            panic!("{what}: byte {at} of buffer {b} is in {y:02x?}, must be in {x:02x?}\n{text}");
        }
    }
}

#[test]
fn no_schedule_changes_a_random_kernel() {
    let mut wide = 0;
    for seed in 0..KERNELS {
        let mut random = Random(seed);
        let text = program("f", &mut random);
        let kernel = compile(&text);
        Target::Cpu(Isa::Scalar)
            .legal(&kernel, &Schedule::plain(&["t"]))
            .unwrap_or_else(|e| panic!("seed {seed}: {e}\n{text}"));
        for _ in 0..DRAWN {
            let target = Target::ALL[random.below(Target::ALL.len())];
            let schedule = schedule::draw(&kernel, target, |n| random.below(n));
            if target.legal(&kernel, &schedule).is_err() {
                continue;
            }
            wide += usize::from(schedule.width > 1);
            let what = format!("seed {seed}, {schedule:?}");
            let (ints, buffers) = data(&kernel, &mut random);
            let expected = meaning(&kernel, &ints, &buffers).unwrap_or_else(|e| panic!("{what} {ints:?}: {e}\n{text}"));
            let func = lower::lower(&kernel, &schedule).unwrap_or_else(|e| panic!("{what}: {e}"));
            let given = lowered(&func, &ints, &buffers).unwrap_or_else(|e| panic!("{what} {ints:?}: {e}\n{text}"));
            same(&format!("{what} {ints:?}"), &text, &expected, &given);
        }
    }
    assert!(wide > KERNELS as usize, "only {wide} schedules with lanes were legal");
}

#[test]
fn compiled_random_kernels_give_the_interpreters_bits() {
    let isas: Vec<Isa> = Isa::ALL.into_iter().filter(|isa| isa.available()).collect();
    let (mut calls, mut expected) = (Vec::new(), Vec::new());
    for seed in 0..64 {
        let mut random = Random(1000 + seed);
        let name = format!("f{seed}");
        let text = program(&name, &mut random);
        let kernel = compile(&text);
        let (ints, buffers) = data(&kernel, &mut random);
        let meaning = meaning(&kernel, &ints, &buffers).unwrap_or_else(|e| panic!("seed {seed}: {e}\n{text}"));
        for isa in &isas {
            // The widest of a few, so that most have lanes.
            let drawn = (0..DRAWN).map(|_| schedule::draw(&kernel, Target::Cpu(*isa), |n| random.below(n)));
            let legal = drawn.filter(|s| Target::Cpu(*isa).legal(&kernel, s).is_ok());
            let Some(schedule) = legal.max_by_key(|s| s.width) else { continue };
            let func = lower::lower(&kernel, &schedule).expect("legal");
            let work = work(&func.work, &ints);
            calls.push(Call { isa: *isa, func, ints: ints.clone(), part: (0, work), buffers: buffers.clone() });
            expected.push((format!("seed {seed} on {isa}, {schedule:?} {ints:?}"), text.clone(), meaning.clone()));
        }
    }
    assert!(calls.len() >= 60 * isas.len(), "{} calls", calls.len());
    for (given, (what, text, expected)) in compiled::run(&calls).iter().zip(&expected) {
        same(what, text, expected, given);
    }
}
