//! Inputs for candidates, and whether what came out is what must: small ones that the interpreter runs, and those of a model.
use crate::data::{self, Filler};
use crate::inspect::counts;
use crate::ir::{BinOp, Kernel, Kind, Scalar, Ty, Var, interp};
use crate::loop_ir::{self, Func};
use crate::random::Random;
use crate::schedule::Schedule;
use crate::target::Target;

/// What buffers hold before a kernel writes them.
pub const BEFORE: u8 = 0xa5;

/// Small cases of a task.
pub const CASES: usize = 6;
/// Sizes that are drawn until there are so many.
const DRAWN: usize = 4000;
/// Most operations and bytes of a small case: the interpreter does some millions a second.
const MOST_WORK: u64 = 400_000;
/// Values of sizes: 1, and around the numbers of lanes, rows and groups that schedules have.
const SIZES: [i32; 16] = [1, 1, 2, 3, 4, 5, 7, 8, 9, 15, 17, 33, 64, 65, 256, 300];

/// What a kernel is run on.
#[derive(Clone, Debug)]
pub struct Inputs {
    /// Dims and integer scalars.
    pub ints: Vec<i32>,
    /// Float scalars.
    pub floats: Vec<f32>,
    /// Buffers in row-major order; those that are written hold [`BEFORE`].
    pub buffers: Vec<Vec<u8>>,
}

/// Inputs with what the interpreter makes of them.
#[derive(Clone, Debug)]
pub struct Case {
    /// What goes in.
    pub inputs: Inputs,
    /// All buffers afterwards.
    pub expected: Vec<Vec<u8>>,
}

/// Random inputs at these sizes. Wild ones have NaN, infinities, subnormals and zeros among the floats.
pub fn inputs(filler: &Filler, kernel: &Kernel, ints: &[i32], wild: bool, seed: u64) -> Result<Inputs, String> {
    let mut random = Random::new(seed);
    let float = |v: &&Var| kernel.vars[v.0 as usize].ty == Ty::F32;
    let floats = kernel.scalars.iter().filter(float).map(|_| 0.125).collect();
    let mut buffers = Vec::new();
    for (i, buffer) in kernel.buffers.iter().enumerate() {
        if buffer.written {
            let len = usize::try_from(data::bytes(kernel, i, ints)?).map_err(|e| e.to_string())?;
            buffers.push(vec![BEFORE; len]);
            continue;
        }
        let mut bytes = filler.random(kernel, i, ints, &mut random)?;
        if wild && buffer.scalar == Some(Scalar::F32) {
            make_wild(&mut bytes, &mut random);
        }
        buffers.push(bytes);
    }
    Ok(Inputs { ints: ints.to_vec(), floats, buffers })
}

/// Some floats become values that are rare.
fn make_wild(bytes: &mut [u8], random: &mut Random) {
    let rare = [f32::NAN, -f32::NAN, f32::INFINITY, f32::NEG_INFINITY, -0.0, 0.0, 1e-40, -3e-45, 3e38];
    for number in bytes.chunks_exact_mut(4) {
        if random.below(9) == 0 {
            number.copy_from_slice(&rare[random.below(rare.len())].to_le_bytes());
        }
    }
}

/// Small cases for a schedule, with what the interpreter makes of them, the smallest first; every third is wild.
pub fn small(filler: &Filler, kernel: &Kernel, schedule: &Schedule) -> Result<Vec<Case>, String> {
    let mut random = Random::new(kernel.name.len() as u64);
    let mut sizes: Vec<(u64, Vec<i32>)> = Vec::new();
    for _ in 0..DRAWN {
        let ints = draw(kernel, schedule, &mut random);
        if let Some(work) = work(kernel, &ints)
            && schedule.fits(kernel, &ints)
            && sizes.iter().all(|(_, other)| *other != ints)
        {
            sizes.push((work, ints));
        }
        if sizes.len() == CASES {
            break;
        }
    }
    if sizes.is_empty() {
        return Err(format!("{}: no small sizes are found that the schedule is for", kernel.name));
    }
    sizes.sort();
    let case = |(i, (_, ints)): (usize, &(u64, Vec<i32>))| {
        let inputs = inputs(filler, kernel, ints, i % 3 == 2, i as u64)?;
        let mut expected = inputs.buffers.clone();
        interp::run(kernel, ints, &inputs.floats, &mut expected)?;
        Ok(Case { inputs, expected })
    };
    sizes.iter().enumerate().map(case).collect()
}

/// Sizes that a schedule may be for.
fn draw(kernel: &Kernel, schedule: &Schedule, random: &mut Random) -> Vec<i32> {
    let mut ints = Vec::new();
    for v in kernel.dims.iter().chain(&kernel.scalars) {
        let info = &kernel.vars[v.0 as usize];
        let Ty::Int { lo, hi } = info.ty else { continue };
        let most = schedule.most.get(&info.name).copied().unwrap_or(i32::MAX);
        let size = SIZES[random.below(SIZES.len())];
        // Positions begin at 0.
        let size = if kernel.dims.contains(v) { size } else { size - 1 };
        ints.push(size.min(most).clamp(lo as i32, hi as i32));
    }
    // A size that must equal an expression is what that is.
    for (condition, _) in &kernel.requires {
        if let Kind::Binary(BinOp::Eq, a, b) = &condition.kind
            && let Kind::Var(v) = &a.kind
            && let Some(place) = kernel.dims.iter().position(|dim| dim == v)
            && let Ok(size) = interp::size(kernel, b, &ints)
        {
            ints[place] = size;
        }
    }
    ints
}

/// Operations and bytes of a case; none where the kernel refuses the sizes, or it is no small one.
fn work(kernel: &Kernel, ints: &[i32]) -> Option<u64> {
    let holds = interp::unmet(kernel, ints).ok()?.is_none();
    let bytes = (0..kernel.buffers.len()).map(|i| data::bytes(kernel, i, ints)).sum::<Result<u64, String>>().ok()?;
    if !holds || bytes > MOST_WORK {
        return None;
    }
    let work = bytes + counts::count(kernel, ints).ok()?.operations.all();
    (work <= MOST_WORK).then_some(work)
}

/// Whether the lowered kernel gives what it must in the loop IR's interpreter, which also finds races and accesses outside of
/// buffers.
pub fn interpreted(kernel: &Kernel, target: Target, func: &Func, case: &Case) -> Result<(), String> {
    let Inputs { ints, floats, buffers } = &case.inputs;
    let mut buffers = buffers.clone();
    let work = func.work_items(ints).ok_or("the number of work items is no i32")?;
    func.with_layouts(ints, &mut buffers, |buffers| match target {
        Target::Cuda => {
            let mut turns = Random::new(1);
            loop_ir::interp::run_at_once(func, ints, floats, buffers, 3, |n| turns.below(n))
        }
        Target::Cpu(_) => [(work / 2, work), (0, work / 2)]
            .into_iter()
            .try_for_each(|(lo, hi)| loop_ir::interp::run(func, ints, floats, buffers, lo, hi)),
    })
    .map_err(|fault| format!("the loop IR's interpreter: {fault}"))?;
    at_sizes(ints, data::compare(kernel, &case.expected, &buffers))
}

/// The buffers as a lowered kernel wants them in memory.
pub fn packed(func: &Func, inputs: &Inputs) -> Vec<Vec<u8>> {
    let packed = |(i, bytes): (usize, &Vec<u8>)| func.packed(i, &inputs.ints, bytes).unwrap_or_else(|| bytes.clone());
    inputs.buffers.iter().enumerate().map(packed).collect()
}

/// A difference with the sizes that show it.
pub fn at_sizes(ints: &[i32], result: Result<(), String>) -> Result<(), String> {
    result.map_err(|difference| format!("{difference}, with the integers {ints:?}"))
}
