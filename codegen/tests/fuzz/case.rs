//! One kernel with sizes, data and schedules, made from three tapes, and whether all that runs it agrees.
use crate::generate;
use crate::tape::{Recording, Tape};
use kgen::diagnostic::{Source, render};
use kgen::ir::{Kernel, interp};
use kgen::loop_ir::{self, Func};
use kgen::places::Places;
use kgen::random::Random;
use kgen::schedule::{self, Schedule};
use kgen::target::Target;
use kgen::{data, lower};

/// Drawn schedules until one is legal.
const DRAWN: usize = 10;

/// The choices that a case is made of; each part can become simpler by itself.
#[derive(Clone, Debug, Default)]
pub struct Tapes {
    pub kernel: Recording,
    pub data: Recording,
    pub schedules: Recording,
}

/// A kernel and what it is run on.
pub struct Case {
    pub text: String,
    /// Where generated code says that it comes from.
    pub places: Places,
    pub kernel: Kernel,
    pub ints: Vec<i32>,
    pub floats: Vec<f32>,
    pub buffers: Vec<Vec<u8>>,
    /// A legal schedule for each target that was asked for.
    pub schedules: Vec<(Target, Schedule)>,
    pub tapes: Tapes,
    /// What the turns of workers are drawn from.
    turns: u64,
}

/// What went wrong, in words.
pub type Checked<T> = Result<T, String>;

/// The kernel of a seed alone.
pub fn kernel_text(seed: u64) -> String {
    generate::program("f", &mut tape(seed, 0)).text
}

/// A tape for each part of a seed's case.
fn tape(seed: u64, part: u64) -> Tape {
    Tape::drawn(Random::new(seed).bits().wrapping_add(part))
}

impl Case {
    /// The case of a seed.
    pub fn drawn(name: &str, seed: u64, targets: &[Target]) -> Checked<Case> {
        Case::new(name, [0, 1, 2].map(|part| tape(seed, part)), targets)
    }

    /// The case of choices that were made before.
    pub fn read(name: &str, tapes: &Tapes, targets: &[Target]) -> Checked<Case> {
        let tape = |recording: &Recording| Tape::read(recording.choices.clone());
        Case::new(name, [tape(&tapes.kernel), tape(&tapes.data), tape(&tapes.schedules)], targets)
    }

    fn new(name: &str, [mut kernels, mut settings, mut schedules]: [Tape; 3], targets: &[Target]) -> Checked<Case> {
        let program = generate::program(name, &mut kernels);
        let text = program.text;
        let sources = [Source { name: format!("{name}.rs"), text: text.clone() }];
        let compiled = kgen::compile(&sources);
        let kernel =
            compiled.map_err(|e| format!("the checker refuses it:\n{}", render(&e, &sources, false)))?.remove(0);
        let (ints, floats) = parameters(&kernel, &mut settings);
        let mut random = Random::new(settings.below(1 << 30) as u64);
        let turns = random.bits();
        let row = ints[kernel.dims.len() - 1];
        let mut buffers = Vec::new();
        for (i, buffer) in kernel.buffers.iter().enumerate() {
            let len = data::bytes(&kernel, i, &ints)? as usize;
            let numbers = program.inputs.iter().find(|(name, _)| *name == buffer.name).map(|(_, numbers)| numbers);
            buffers.push(match numbers {
                Some(numbers) => generate::fill(len, buffer.elem_bytes, numbers, row, &mut random),
                None => vec![0xa5; len],
            });
        }
        let drawn = targets.iter().map(|target| (*target, legal(&kernel, *target, &ints, &mut schedules)));
        let drawn = drawn.collect();
        let tapes = Tapes { kernel: kernels.finish(), data: settings.finish(), schedules: schedules.finish() };
        let places = Places::new(&sources);
        Ok(Case { text, places, kernel, ints, floats, buffers, schedules: drawn, tapes, turns })
    }

    /// What the buffers hold after the interpreter has run.
    pub fn meaning(&self) -> Checked<Vec<Vec<u8>>> {
        let mut out = self.buffers.clone();
        interp::run(&self.kernel, &self.ints, &self.floats, &mut out).map_err(|e| format!("the interpreter: {e}"))?;
        Ok(out)
    }

    /// The kernel after lowering.
    pub fn lowered(&self, schedule: &Schedule) -> Checked<Func> {
        lower::lower(&self.kernel, schedule).map_err(|e| format!("lowering: {e}"))
    }

    /// What the buffers hold after a lowered kernel has run: for a CPU in two parts, the last first, and for a GPU by several
    /// workers in random turns.
    pub fn run(&self, target: Target, func: &Func) -> Checked<Vec<Vec<u8>>> {
        let mut out = self.buffers.clone();
        let work = func.work_items(&self.ints).ok_or("the number of work items is no i32")?;
        func.with_layouts(&self.ints, &mut out, |out| {
            if target == Target::Cuda {
                let mut random = Random::new(self.turns);
                let workers = 1 + random.int(0, 4) as usize;
                let turn = |n: usize| random.int(0, n as i64 - 1) as usize;
                return loop_ir::interp::run_at_once(func, &self.ints, &self.floats, out, workers, turn);
            }
            [(work / 2, work), (0, work / 2)]
                .into_iter()
                .try_for_each(|(lo, hi)| loop_ir::interp::run(func, &self.ints, &self.floats, out, lo, hi))
        })
        .map_err(|fault| format!("the loop IR's interpreter: {fault}"))?;
        Ok(out)
    }

    /// The buffers as a lowered kernel wants them in memory.
    pub fn packed(&self, func: &Func) -> Vec<Vec<u8>> {
        let packed = |(i, bytes): (usize, &Vec<u8>)| func.packed(i, &self.ints, bytes).unwrap_or_else(|| bytes.clone());
        self.buffers.iter().enumerate().map(packed).collect()
    }

    /// Whether the outputs are the bits that the interpreter gave; else the first number that differs.
    pub fn compare(&self, expected: &[Vec<u8>], given: &[Vec<u8>]) -> Checked<()> {
        data::compare(&self.kernel, expected, given)
    }

    /// The case in full, for a message.
    pub fn describe(&self) -> String {
        let names = self.kernel.dims.iter().chain(&self.kernel.scalars).map(|v| &self.kernel.vars[v.0 as usize].name);
        let ints = self.ints.iter().map(|v| v.to_string()).chain(self.floats.iter().map(|v| format!("{v:?}")));
        let sizes: Vec<String> = names.zip(ints).map(|(name, value)| format!("{name} = {value}")).collect();
        let schedules: Vec<String> = self.schedules.iter().map(|(target, s)| format!("{target}: {s:?}")).collect();
        format!("{}\n{}\n{}", self.text, sizes.join(", "), schedules.join("\n"))
    }
}

/// Sizes and scalars.
fn parameters(kernel: &Kernel, tape: &mut Tape) -> (Vec<i32>, Vec<f32>) {
    let mut ints: Vec<i32> = kernel.dims.iter().map(|_| 1 + tape.below(5) as i32).collect();
    // The last size is that of rows: around and between the numbers of lanes.
    if let Some(row) = ints.last_mut() {
        *row = tape.pick(&[1, 2, 3, 7, 8, 9, 15, 16, 17, 31, 32, 33, 37, 39, 40, 41, 47, 64]);
    }
    ints[0] += tape.pick(&[0, 0, 3]);
    ints.push(tape.below(21) as i32);
    (ints, vec![tape.pick(&[1.0, 0.3, -2.5, 1e-39, f32::NAN])])
}

/// A schedule that is legal for the target, and for these sizes.
fn legal(kernel: &Kernel, target: Target, ints: &[i32], tape: &mut Tape) -> Schedule {
    for _ in 0..DRAWN {
        let from = tape.open();
        let schedule = schedule::draw(kernel, target, |n| tape.below(n));
        tape.close(from);
        if schedule.fits(kernel, ints) && target.legal(kernel, &schedule).is_ok() {
            return schedule;
        }
    }
    let axes = lower::outer_axes(kernel);
    let first: Vec<&str> = axes.iter().take(1).map(String::as_str).collect();
    Schedule::plain(&first)
}
