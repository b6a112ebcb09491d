//! Which neighbouring units can be one launch: a placement of the edge between them, not another forward pass.
use super::{BoundStage, PlanSchedule, Size, Step, Unit};
use kernels_gen::Fused;

/// Two units that can be one launch: the groups that finish what the second one reads do that, too.
#[derive(Clone, Debug)]
pub struct Pair {
    /// Number of the unit that writes; the next one reads.
    pub producer: usize,
    /// The launch.
    pub fused: &'static Fused,
    /// The integers of both, as [`Fused::ints`] has them: dims, then integer scalars.
    pub ints: Vec<Size>,
    /// How many of them are dims.
    pub dims: usize,
    /// The floats of both.
    pub floats: Vec<f32>,
}

/// The pairs that the schedule takes among units in the order in which they are run; no unit is in two of them.
pub fn pairs(units: &[Unit], fused: &'static [Fused], schedule: PlanSchedule) -> Vec<Pair> {
    let mut found: Vec<Pair> = Vec::new();
    for (producer, two) in units.windows(2).enumerate() {
        let [Unit { bound: first, .. }, Unit { bound: then, .. }] = two else { unreachable!("windows are of two") };
        let free = found.last().is_none_or(|pair| pair.producer + 1 < producer);
        let taken = free && schedule.joins(units[producer].last());
        let dims = [first, then].map(|stage| stage.kernel.dims);
        let ints = |fused: &Fused| fused.ints((&first.ints, dims[0]), (&then.ints, dims[1]));
        // Two kernels may be one launch in several ways, for other sizes.
        let can = |fused: &&Fused| can_be_one(first, then, fused) && fits_a_token(fused, &ints(fused));
        let Some(fused) = fused.iter().filter(|_| taken).find(can) else { continue };
        found.push(Pair {
            producer,
            fused,
            ints: ints(fused),
            dims: dims[0] + dims[1],
            floats: fused.floats(&first.floats, &then.floats),
        });
    }
    found
}

/// Whether a launch is for the sizes of a step of one token.
fn fits_a_token(fused: &Fused, ints: &[Size]) -> bool {
    let step = Step { tokens: 1, outputs: 1, position: 0, chunks: 1 };
    let ints: Vec<i32> = ints.iter().map(|size| i32::try_from(step.get(*size)).unwrap_or(i32::MAX)).collect();
    (fused.cuda.fits)(&ints)
}

/// Whether the stages have these kernels, hand on the edge, and else share no memory that one of them writes.
fn can_be_one(first: &BoundStage, then: &BoundStage, fused: &Fused) -> bool {
    if (first.kernel.name, then.kernel.name) != (fused.producer, fused.consumer) {
        return false;
    }
    let (from, to) = fused.edge;
    let written = |stage: &BoundStage, i: usize| stage.kernel.buffers[i].written;
    let apart = |i: usize, j: usize| {
        let shared = first.args[i].buffer == then.args[j].buffer;
        !shared || !written(first, i) && !written(then, j) || (i, j) == (from, to)
    };
    let all_apart = (0..first.args.len()).all(|i| (0..then.args.len()).all(|j| apart(i, j)));
    first.args[from] == then.args[to] && all_apart
}
