//! A kernel given as text, run by both interpreters: what the language says, and what a schedule made of it.
#![allow(dead_code, reason = "each test crate uses a part")]
use kgen::cpu::Isa;
use kgen::diagnostic::{Source, render};
use kgen::ir::{Kernel, interp};
use kgen::loop_ir::{self, Func};
use kgen::random::Random;
use kgen::schedule::Schedule;
use kgen::target::Target;

/// The only kernel of a text.
pub fn compile(text: &str) -> Kernel {
    let sources = [Source { name: "test.rs".into(), text: text.into() }];
    let mut kernels = kgen::compile(&sources).unwrap_or_else(|e| panic!("{}\n{text}", render(&e, &sources, false)));
    kernels.remove(0)
}

/// What the buffers hold after the interpreter has run.
pub fn meaning(kernel: &Kernel, ints: &[i32], buffers: &[Vec<u8>]) -> Result<Vec<Vec<u8>>, String> {
    let mut out = buffers.to_vec();
    interp::run(kernel, ints, &[], &mut out).map(|()| out)
}

/// What the buffers hold after the lowered kernel has run, in two parts, the last first.
pub fn lowered(func: &Func, ints: &[i32], buffers: &[Vec<u8>]) -> Result<Vec<Vec<u8>>, String> {
    let mut out = buffers.to_vec();
    let work = func.work_items(ints).expect("work is made of sizes");
    func.with_layouts(ints, &mut out, |out| {
        if func.scratch.is_some() || func.team > 1 {
            let mut turns = Random::new(7);
            return loop_ir::interp::run_at_once(func, ints, &[], out, 3, |n| turns.below(n));
        }
        [(work / 2, work), (0, work / 2)]
            .into_iter()
            .try_for_each(|(lo, hi)| loop_ir::interp::run(func, ints, &[], out, lo, hi))
    })
    .map_err(|e| e.to_string())?;
    Ok(out)
}

/// A schedule that splits one axis.
pub fn schedule(axis: &str, width: usize, dot: Option<&str>, unroll: usize) -> Schedule {
    Schedule { width, dot: dot.map(String::from), unroll, ..Schedule::plain(&[axis]) }
}

/// Widths that [`Isa::Avx512`] has; the plainest first.
pub const WIDTHS: [usize; 4] = [1, 4, 8, 16];

/// Whether [`Isa::Avx512`] can be given the schedule.
pub fn legal(kernel: &Kernel, schedule: &Schedule) -> Result<(), String> {
    Target::Cpu(Isa::Avx512).legal(kernel, schedule)
}

/// Little-endian bytes.
pub fn f32s(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|v| v.to_le_bytes()).collect()
}

/// Little-endian bytes.
pub fn i32s(values: &[i32]) -> Vec<u8> {
    values.iter().flat_map(|v| v.to_le_bytes()).collect()
}
