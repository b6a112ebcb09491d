//! Tests of plans on hand-written kernels.
use super::*;
use kernels_gen::{BufferInfo, Kernel};

const fn info(name: &'static str, elem_bytes: usize, written: bool) -> BufferInfo {
    BufferInfo { name, elem: "", elem_bytes, written }
}

static COPY: Kernel = Kernel {
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
    cuda: &[],
};

/// Input, activations `a` and `b`, a weight with elements of two bytes, and one stage that copies.
fn plan(x: usize, y: usize) -> Plan {
    let buffer =
        |name: &str, role, elem_bytes| Buffer { name: name.into(), role, elem_bytes, shape: vec![Size::Tokens] };
    let arg = |index| Arg { buffer: BufferId(index), outputs_only: false };
    let buffers = vec![
        buffer("tokens", Role::Input, 4),
        buffer("a", Role::Activation, 4),
        buffer("b", Role::Activation, 4),
        buffer("w", Role::Weight, 2),
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
    plan.bind(|name| (name == "copy").then_some(&COPY)).map_err(|error| error.to_string())
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
