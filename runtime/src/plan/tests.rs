//! Tests of plans on hand-written kernels.
use super::*;
use kernels_gen::{BufferInfo, Kernel};

const fn info(name: &'static str, elem_bytes: usize, written: bool) -> BufferInfo {
    BufferInfo { name, elem: "", elem_bytes, elements: 1, halves: &[], written }
}

const COPY: Kernel = Kernel {
    name: "copy",
    ints: &["T", "pos"],
    dims: 1,
    floats: &["scale"],
    buffers: &[info("x", 4, false), info("y", 4, true)],
    require: |_| Ok(()),
    index_below: |_, _| None,
    ranges: &[(1, i32::MAX), (0, i32::MAX)],
    memory: [const { kernels_gen::Memory { bytes: |_, _| (), layouts: &[None, None] } }; 4],
    cpu: [&[]; 3],
    shipped: &[],
};

static COPY_KERNEL: Kernel = COPY;

const ALL: PlanSchedule = PlanSchedule::ALL;

/// Input, activations `a` and `b`, a weight with elements of two bytes, and one stage that copies.
fn plan(x: usize, y: usize) -> Plan {
    let buffer =
        |name: &str, role, elem_bytes| Buffer { name: name.into(), role, elem_bytes, shape: vec![Size::Tokens] };
    let arg = |index| Arg { buffer: BufferId(index), outputs_only: false };
    let buffers = vec![
        buffer("tokens", Role::Input, 4),
        buffer("a", Role::Activation, 4),
        buffer("b", Role::Activation, 4),
        buffer("w", Role::Weight(None), 2),
    ];
    let stage = Stage {
        name: "s".into(),
        kernel: "copy".into(),
        ints: vec![("pos", Size::Position), ("T", Size::Tokens)],
        floats: vec![("scale", 0.5)],
        args: vec![("y", arg(y)), ("x", arg(x))],
    };
    Plan { buffers, stages: vec![stage] }
}

fn bind(plan: &Plan) -> Result<Vec<BoundStage>, String> {
    plan.bind(|name| (name == "copy").then_some(&COPY_KERNEL)).map_err(|error| error.to_string())
}

#[test]
fn parameters_are_put_in_the_kernels_order() {
    let bound = bind(&plan(0, 1)).unwrap();
    assert_eq!(bound[0].ints, [Size::Tokens, Size::Position]);
    assert_eq!(bound[0].reads().map(|arg| arg.buffer.0).collect::<Vec<_>>(), [0]);
    assert_eq!(bound[0].writes().map(|arg| arg.buffer.0).collect::<Vec<_>>(), [1]);
}

#[test]
fn a_stage_must_fit_its_kernel() {
    let error = |change: &dyn Fn(&mut Stage)| {
        let mut plan = plan(0, 1);
        change(&mut plan.stages[0]);
        bind(&plan).unwrap_err()
    };
    assert_eq!(error(&|s| s.kernel = "move".into()), "stage s (move): there is no such kernel");
    assert_eq!(error(&|s| s.ints.truncate(1)), "stage s (copy): the parameter `T` is not given");
    assert_eq!(error(&|s| s.floats.push(("scale", 1.0))), "stage s (copy): the parameter `scale` is given twice");
    let extra = error(&|s| s.ints.push(("N", Size::Tokens)));
    assert_eq!(extra, "stage s (copy): there is no parameter `N`, only T, pos");
}

#[test]
fn values_are_written_before_they_are_read_and_constants_never() {
    assert_eq!(bind(&plan(2, 1)).unwrap_err(), "stage s (copy): reads `b`, which no stage before it writes");
    assert_eq!(bind(&plan(1, 1)).unwrap_err(), "stage s (copy): reads `a`, which no stage before it writes");
    assert_eq!(bind(&plan(0, 0)).unwrap_err(), "stage s (copy): writes `tokens`, which is constant");
    let sizes = bind(&plan(3, 1)).unwrap_err();
    assert_eq!(sizes, "stage s (copy): `w` has elements of 2 bytes, `x` takes 4");
}

#[test]
fn sizes_follow_the_step() {
    let step = Step { tokens: 3, outputs: 1, position: 9, chunks: 2 };
    assert_eq!(step.get(Size::Capacity), 128);
    let shape = vec![Size::Chunks, Size::Fixed(5), Size::Capacity];
    let mut buffer = Buffer { name: String::new(), role: Role::Cache, elem_bytes: 2, shape };
    assert_eq!(buffer.bytes(&step), Some(2 * 5 * 128 * 2));
    buffer.shape[1] = Size::Fixed(usize::MAX);
    assert_eq!(buffer.bytes(&step), None);
}

/// Copies between the buffers of [`plan`] and another activation, number 4.
fn copies(from_to: &[(usize, usize)]) -> Plan {
    let mut plan = plan(0, 1);
    plan.buffers.push(Buffer { name: "c".into(), ..plan.buffers[1].clone() });
    let first = plan.stages.remove(0);
    let arg = |index| Arg { buffer: BufferId(index), outputs_only: false };
    let stage = |&(x, y): &(usize, usize)| Stage { args: vec![("x", arg(x)), ("y", arg(y))], ..first.clone() };
    plan.stages = from_to.iter().map(stage).collect();
    plan
}

static COPIES: [kernels_gen::Fused; 1] = [kernels_gen::Fused {
    name: "copy_copy",
    producer: "copy",
    consumer: "copy",
    edge: (1, 0),
    cuda: kernels_gen::Cuda {
        fits: |_| true,
        parameters: &[],
        body: "",
        resident: 0,
        allowed: "",
        entry: "copy_copy",
        at_once: 32,
        threads: 32,
        shared: 0,
        scratch_per_item: 4,
        sizes: kernels_gen::Sizes::Built { counters: |_| 1, work: |_| 1 },
    },
}];

fn paired(plan: &Plan) -> Vec<usize> {
    let bound = plan.bind(|_| Some(&COPY_KERNEL)).unwrap();
    pairs(&units(plan, &bound, &[], ALL), &COPIES, ALL).into_iter().map(|pair| pair.producer).collect()
}

#[test]
fn neighbours_that_hand_on_a_buffer_are_a_pair() {
    let plan = copies(&[(0, 1), (1, 2)]);
    let bound = plan.bind(|_| Some(&COPY_KERNEL)).unwrap();
    let pair = pairs(&units(&plan, &bound, &[], ALL), &COPIES, ALL).remove(0);
    assert_eq!(pair.ints, [Size::Tokens, Size::Tokens, Size::Position, Size::Position]);
    assert_eq!((pair.producer, pair.dims, pair.floats), (0, 2, vec![0.5, 0.5]));
    assert_eq!(paired(&copies(&[(0, 1), (1, 2), (2, 4)])), [0], "a stage is in one pair at most");
    assert_eq!(paired(&copies(&[(0, 1), (1, 2), (2, 4), (4, 1)])), [0, 2]);
}

#[test]
fn stages_that_share_more_or_read_another_part_are_no_pair() {
    assert_eq!(paired(&copies(&[(0, 1), (0, 2)])), [0; 0], "nothing is handed on");
    assert_eq!(paired(&copies(&[(0, 1), (0, 2), (1, 4)])), [0; 0], "another stage is in between");
    assert_eq!(paired(&copies(&[(0, 1), (1, 1)])), [0; 0], "the second writes what it reads");
    assert_eq!(paired(&copies(&[(0, 2), (0, 4), (2, 1), (1, 2)])), [0; 0], "the second writes what the first reads");
    let mut part = copies(&[(0, 1), (1, 2)]);
    part.stages[1].args[0].1.outputs_only = true;
    assert_eq!(paired(&part), [0; 0], "the second reads a part");
}

static COPY_IN_COPY: [kernels_gen::Inlined; 1] = [kernels_gen::Inlined {
    kernel: Kernel {
        name: "copy_in_copy",
        ints: &["T", "pos", "x_pos"],
        floats: &["scale", "x_scale"],
        buffers: &[info("y", 4, true), info("x", 4, false)],
        ..COPY
    },
    kernels: &["copy", "copy"],
    fits: |ints| ints[0] == 1,
    edges: &[kernels_gen::Edge { reader: (0, 0), writer: (1, 1) }],
    ints: &[&[(0, 0), (1, 0)], &[(0, 1)], &[(1, 1)]],
    floats: &[&[(0, 0)], &[(1, 0)]],
    buffers: &[&[(0, 1)], &[(1, 0)]],
}];

/// The stages of each unit.
fn inside(plan: &Plan) -> Vec<Vec<usize>> {
    let bound = plan.bind(|_| Some(&COPY_KERNEL)).unwrap();
    units(plan, &bound, &COPY_IN_COPY, ALL).into_iter().map(|unit| unit.stages).collect()
}

#[test]
fn a_value_that_one_stage_reads_is_computed_there() {
    let plan = copies(&[(0, 1), (1, 2)]);
    let bound = plan.bind(|_| Some(&COPY_KERNEL)).unwrap();
    let unit = units(&plan, &bound, &COPY_IN_COPY, ALL).remove(0);
    assert_eq!((unit.stages, unit.bound.kernel.name), (vec![0, 1], "copy_in_copy"));
    assert_eq!(unit.bound.ints, [Size::Tokens, Size::Position, Size::Position]);
    assert_eq!(unit.bound.args.iter().map(|arg| arg.buffer.0).collect::<Vec<_>>(), [2, 0]);
    assert_eq!(((unit.fits)(&[1, 5, 5]), (unit.fits)(&[2, 5, 5])), (true, false));
    assert_eq!(inside(&copies(&[(0, 1), (1, 2), (2, 4), (4, 1)])), [vec![0, 1], vec![2, 3]], "none is in two");
    assert_eq!(inside(&copies(&[(0, 1), (0, 2), (1, 4)])), [vec![1], vec![0, 2]], "others may come between");
    let mut other_tokens = copies(&[(0, 1), (1, 2)]);
    other_tokens.stages[1].ints[1].1 = Size::Outputs;
    assert_eq!(inside(&other_tokens), [[0], [1]], "both are for the same tokens");
}

#[test]
fn a_value_that_is_needed_elsewhere_is_not() {
    assert_eq!(inside(&copies(&[(0, 1), (1, 2), (1, 4)])), [[0], [1], [2]], "two read it");
    assert_eq!(inside(&copies(&[(0, 2), (2, 1), (0, 2), (1, 4)])).len(), 3, "what it reads is overwritten");
    assert_eq!(inside(&copies(&[(0, 2), (2, 1), (1, 2)])), [vec![0, 1], vec![2]]);
    let mut logits = copies(&[(0, 1), (1, 2)]);
    logits.buffers[1].name = LOGITS.into();
    assert_eq!(inside(&logits), [[0], [1]], "it is an output");
    logits.buffers[1].name = "cache".into();
    logits.buffers[1].role = Role::Cache;
    assert_eq!(inside(&logits), [[0], [1]], "it is kept");
}
