//! Parity between a GPU and the CPU: silent on a healthy pair, every planted fault found and named on the GPU, the gate and
//! its verdict. Without a GPU nothing can be shown.
mod engine_support;
mod gpu_support;

use apr::{
    exec::{
        Executor, Fault,
        cpu::{self, Cpu},
        cuda::{self, Cuda, Gpu},
        fill_to_depth,
    },
    gguf::Gguf,
    model::Model,
    parity::{Feed, GATE_POSITIONS, Report, Trace, Verdicts, bisect, check, check_and_trace, gate, key},
    plan::{CHUNK, Placements, Plan, PlanSchedule, Step, transformer, units},
    synth::Quant,
};
use engine_support::model;
use gpu_support::gpu;
use kernels_gen::Isa;

fn limits(tokens: usize) -> Step {
    Step { tokens, outputs: 1, position: 0, chunks: GATE_POSITIONS.div_ceil(CHUNK) }
}

fn on_cpu<'m>(plan: &Plan, file: &'m Gguf, limits: Step) -> Cpu<'m> {
    Cpu::new(plan, file, cpu::Setup { threads: 2, isa: Isa::best(), limits }, &|_, _| ()).unwrap()
}

/// An executor on the GPU, with a fault where there is one.
fn on_gpu(plan: &Plan, file: &Gguf, gpu: &Gpu, limits: Step, fault: Option<&str>) -> Cuda {
    let mut cuda = Cuda::new(plan, file, cuda::Setup { gpu: gpu.clone(), limits }, &|_, _| ()).unwrap();
    if let Some(fault) = fault {
        cuda.plant(fault.parse::<Fault>().unwrap().place(plan).unwrap()).unwrap();
    }
    cuda
}

fn tokens(count: u32) -> Vec<u32> {
    (0..count).map(|i| i * 37 % 128).collect()
}

fn checked(file: &Gguf, gpu: &Gpu, count: u32, fault: Option<&str>) -> Report {
    let plan = transformer(&Model::load(file).unwrap());
    let (mut a, mut b) = (on_cpu(&plan, file, limits(48)), on_gpu(&plan, file, gpu, limits(48), fault));
    check(&plan, &mut a, &mut b, &Feed::new(&tokens(count), 4), &mut |_| ())
}

#[test]
fn a_healthy_gpu_is_equal_in_every_step() {
    let Some(gpu) = gpu() else { return };
    for (name, quant) in [
        ("tiny", Quant::Q4KM),
        ("tiny-hd128", Quant::Q4KM),
        ("tiny-gqa7", Quant::Q4KM),
        ("tiny", Quant::Bf16),
        ("tiny-odd", Quant::Q4KM),
        ("tiny", Quant::Q5KS),
        ("tiny", Quant::Q3KS),
        ("tiny", Quant::Q2KS),
        ("tiny", Quant::Iq4Xs),
        ("tiny", Quant::Iq4Nl),
        ("tiny", Quant::Q51),
        ("tiny", Quant::Q41),
        ("tiny", Quant::Q40),
        ("tiny-llama", Quant::Q4KM),
        ("tiny-qwen3", Quant::Q4KM),
        ("tiny-qwen3moe", Quant::Q4KM),
        ("tiny-qwen3moe", Quant::Q80),
        ("tiny-qwen3moe", Quant::F16),
        ("tiny-phi3", Quant::Q4KM),
        ("tiny-gemma3", Quant::Q4KM),
    ] {
        let report = checked(&model(name, quant), &gpu, 120, None);
        assert!(report.equal && report.steps.len() == 3 + 4, "{name} {quant:?}: {:?}", report.findings());
    }
}

#[test]
fn every_planted_fault_is_found_and_named() {
    let Some(gpu) = gpu() else { return };
    let file = model("tiny", Quant::Q4KM);
    let plan = transformer(&Model::load(&file).unwrap());
    let ops = plan.stages.iter().filter_map(|stage| stage.name.strip_prefix("blk.1."));
    let mut faults: Vec<(String, String)> = ops.map(|op| (format!("bit:1:{op}"), op.to_string())).collect();
    assert!(faults.len() > 20, "{faults:?}");
    faults.push(("head:1".into(), "attn".into()));
    for op in ["attn_q", "attn_k", "ffn_gate", "ffn_down"] {
        faults.push((format!("offset:blk.1.{op}.weight"), op.into()));
        faults.push((format!("partial:blk.1.{op}.weight"), op.into()));
    }
    for (fault, op) in faults {
        let report = checked(&file, &gpu, 5, Some(&fault));
        assert!(!report.equal, "{fault}");
        let found = report.difference.unwrap_or_else(|| panic!("{fault}: {:?}", report.failure));
        assert_eq!((found.step, found.layer, found.operation.as_str()), (0, Some(1), op.as_str()), "{fault}: {found}");
    }
}

#[test]
fn faults_around_a_fused_launch_are_found_in_decode() {
    let Some(gpu) = gpu() else { return };
    let file = model("tiny", Quant::Q4KM);
    let plan = transformer(&Model::load(&file).unwrap());
    for (fault, op) in [("bit:1:attn", "attn"), ("bit:1:attn_output.q8k", "attn_output.q8k"), ("head:1", "attn")] {
        let (mut a, mut b) = (on_cpu(&plan, &file, limits(48)), on_gpu(&plan, &file, &gpu, limits(48), Some(fault)));
        // One token is a decode step.
        let report = check(&plan, &mut a, &mut b, &Feed::new(&[3], 2), &mut |_| ());
        let found = report.difference.unwrap_or_else(|| panic!("{fault}: {:?}", report.failure));
        assert_eq!((found.layer, found.operation.as_str()), (Some(1), op), "{fault}: {found}");
        // Between the two stages there is something only where the fault is.
        let apart = usize::from(op == "attn_output.q8k");
        let fused = b.launched().into_iter().flatten().filter(|name| name.starts_with("quantized_matvec_")).count();
        let bound = plan.bind(kernels_gen::kernel).unwrap();
        let units = units(&plan, &bound, kernels_gen::INLINED, PlanSchedule::ALL);
        let placed = units.iter().filter(|unit| unit.bound.kernel.name.starts_with("quantized_matvec_")).count();
        assert_eq!(fused, placed - apart, "{fault}");
    }
}

#[test]
fn faults_in_and_beside_other_launches_are_found_in_decode() {
    let Some(gpu) = gpu() else { return };
    let file = model("tiny", Quant::Q4KM);
    let plan = transformer(&Model::load(&file).unwrap());
    // What is computed in another launch as a rule, what others are beside, and what follows them.
    for op in [
        "ffn_gate",
        "ffn_up",
        "attn_output",
        "attn_q",
        "attn_k.bias",
        "attn_q.bias",
        "kv.k",
        "kv.v",
        "ffn_swiglu",
        "ffn_down",
    ] {
        let fault = format!("bit:1:{op}");
        let (mut a, mut b) = (on_cpu(&plan, &file, limits(48)), on_gpu(&plan, &file, &gpu, limits(48), Some(&fault)));
        let report = check(&plan, &mut a, &mut b, &Feed::new(&[3], 2), &mut |_| ());
        let found = report.difference.unwrap_or_else(|| panic!("{fault}: {:?}", report.failure));
        assert_eq!((found.layer, found.operation.as_str()), (Some(1), op), "{fault}: {found}");
    }
}

/// Random schedules that are tried.
const SCHEDULES: u64 = 20;

#[test]
fn random_schedules_give_equal_bits_also_at_depth() {
    let Some(gpu) = gpu() else { return };
    for (name, quant, depth) in [
        ("tiny", Quant::Q4KM, 0),
        ("tiny", Quant::Q4KM, 4096),
        ("tiny-hd128", Quant::Q4KM, 130),
        ("tiny-gqa7", Quant::Q4KM, 0),
        ("tiny", Quant::Bf16, 0),
    ] {
        let file = model(name, quant);
        let plan = transformer(&Model::load(&file).unwrap());
        let chunks = usize::div_ceil(depth + 80, CHUNK);
        let limits = Step { chunks, ..limits(48) };
        let (mut a, mut b) = (on_cpu(&plan, &file, limits), on_gpu(&plan, &file, &gpu, limits, None));
        fill_to_depth(&mut a, &plan, depth).unwrap();
        fill_to_depth(&mut b, &plan, depth).unwrap();
        let prompt = tokens(70);
        let feed = Feed { start: depth, ..Feed::new(&prompt, 8) };
        let mut trace = Trace::default();
        let report = check_and_trace(&plan, &mut a, &mut b, &feed, Some(&mut trace), &mut |_| ());
        assert!(report.equal, "{name} {quant:?} at {depth}: {:?}", report.findings());
        let all = b.reschedule(&plan, PlanSchedule::ALL).unwrap();
        assert_eq!(all.other_codes, 0, "{all}");
        let mut drawn = Vec::new();
        for schedule in (0..SCHEDULES).map(PlanSchedule::random) {
            let taken = b.reschedule(&plan, schedule).unwrap();
            let found = trace.first_difference(&plan, &mut b, schedule.chunk(48)).unwrap();
            assert_eq!(found, None, "{name} {quant:?} at {depth}, {schedule:?}: {taken}");
            drawn.push(taken);
        }
        if matches!(quant, Quant::Q4KM) {
            let some = |of: fn(&Placements) -> usize| of(&all) > 0 && drawn.iter().any(|taken| of(taken) > 0);
            assert!(some(|taken| taken.inlined) && some(|taken| taken.beside), "{name}");
            assert!(drawn.iter().any(|taken| taken.pairs > 0), "{name}");
            assert!(drawn.iter().any(|taken| taken.inlined < all.inlined), "{name}: {all}");
            assert!(drawn.iter().any(|taken| taken.other_codes > 0), "{name}");
        }
        // And back again.
        assert_eq!(b.reschedule(&plan, PlanSchedule::ALL).unwrap(), all);
        assert_eq!(trace.first_difference(&plan, &mut b, 48).unwrap(), None);
    }
}

#[test]
fn planted_faults_are_found_and_named_under_random_schedules() {
    let Some(gpu) = gpu() else { return };
    let file = model("tiny", Quant::Q4KM);
    let plan = transformer(&Model::load(&file).unwrap());
    for op in ["ffn_gate", "attn", "attn_q.bias", "ffn_swiglu"] {
        let fault = format!("bit:1:{op}");
        for schedule in (0..SCHEDULES).map(PlanSchedule::random) {
            // Both caches are empty: a step is compared with what the one before it has left.
            let (mut a, mut b) =
                (on_cpu(&plan, &file, limits(48)), on_gpu(&plan, &file, &gpu, limits(48), Some(&fault)));
            b.reschedule(&plan, schedule).unwrap();
            let mut trace = Trace::default();
            // One token is a decode step.
            let report = check_and_trace(&plan, &mut a, &mut b, &Feed::new(&[3], 1), Some(&mut trace), &mut |_| ());
            let found = report.difference.unwrap_or_else(|| panic!("{fault}, {schedule:?}: {:?}", report.failure));
            assert_eq!((found.layer, found.operation.as_str()), (Some(1), op), "{fault}, {schedule:?}: {found}");
            // A query that sees one key alone changes nothing.
            let first = usize::from(op == "attn_q.bias");
            assert_eq!(trace.first_difference(&plan, &mut b, 48).unwrap(), Some(first), "{fault}, {schedule:?}");
        }
    }
}

#[test]
fn the_gate_refuses_a_damaged_gpu_and_a_healthy_one_is_remembered() {
    let Some(gpu) = gpu() else { return };
    let file = model("tiny", Quant::Q4KM);
    let plan = transformer(&Model::load(&file).unwrap());
    let gated = |tested: &mut Cuda| gate(&plan, 512, &mut on_cpu(&plan, &file, limits(130)), tested, &tokens(80));
    for fault in ["bit:0:attn_v", "head:0", "offset:output.weight", "partial:token_embd.weight"] {
        let failed = gated(&mut on_gpu(&plan, &file, &gpu, limits(64), Some(fault))).unwrap_err();
        assert!(!failed.report.findings().is_empty(), "{fault}");
    }
    let mut healthy = on_gpu(&plan, &file, &gpu, limits(64), None);
    gated(&mut healthy).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let verdicts = Verdicts::at(folder.path());
    let of = |executor: &Cuda| key(&file, &plan, &executor.identity().unwrap()).unwrap();
    assert!(!verdicts.passed(&of(&healthy)));
    verdicts.remember(&of(&healthy)).unwrap();
    assert!(verdicts.passed(&of(&on_gpu(&plan, &file, &gpu, limits(7), None))), "another executor of the same");

    // What has passed serves from position 0 on, and gives the bits of one that was never compared.
    let mut fresh = on_gpu(&plan, &file, &gpu, limits(64), None);
    for executor in [&mut healthy, &mut fresh] {
        executor.step(&[5, 6, 7], 0, 1).unwrap();
    }
    assert!(healthy.logits().iter().map(|x| x.to_bits()).eq(fresh.logits().iter().map(|x| x.to_bits())));
}

#[test]
fn bisection_finds_equal_bits_within_each_definition() {
    let Some(gpu) = gpu() else { return };
    let file = model("tiny", Quant::Q4KM);
    let plan = transformer(&Model::load(&file).unwrap());
    let report = checked(&file, &gpu, 5, None);
    let mut reference = on_cpu(&plan, &file, limits(32));
    for stage in ["blk.0.attn_q", "blk.1.ffn_down", "output"] {
        let found = bisect(&plan, &report, Some(stage), &mut reference, &[1, 2, 3], &mut |tested, plan, limits| {
            Ok(if tested {
                Box::new(on_gpu(plan, &file, &gpu, limits, None))
            } else {
                Box::new(on_cpu(plan, &file, limits))
            })
        });
        let found = found.unwrap();
        assert_eq!((found.quantized_differing, found.float_differing), (0, 0), "{stage}");
        assert!(found.reference == found.tested && found.reference.relative_rms_percent > 0.01, "{found:?}");
    }
}
