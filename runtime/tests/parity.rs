//! The parity check between two instruction sets of the CPU: silent on a healthy pair, and every planted fault is found and
//! named.
mod engine_support;

use apr::{
    Error,
    exec::{
        Executor, Fault,
        cpu::{Cpu, Setup},
    },
    gguf::Gguf,
    model::Model,
    parity::{Case, Feed, GATE_POSITIONS, Report, Verdicts, bisect, check, gate, key},
    plan::{CHUNK, Plan, Role, Step, transformer},
    synth::Quant,
};
use engine_support::model;
use kernels_gen::Isa;

fn cpu<'m>(plan: &Plan, file: &'m Gguf, isa: Isa, limits: Step) -> Cpu<'m> {
    Cpu::new(plan, file, Setup { threads: 2, isa, limits }, &|_, _| ()).unwrap()
}

fn limits(tokens: usize) -> Step {
    Step { tokens, outputs: 1, position: 0, chunks: GATE_POSITIONS.div_ceil(CHUNK) }
}

fn plan(file: &Gguf) -> Plan {
    transformer(&Model::load(file).unwrap())
}

fn tokens(count: u32) -> Vec<u32> {
    (0..count).map(|i| i * 37 % 512).collect()
}

/// A check of `count` tokens and two decode steps, with a fault on the tested side.
fn checked(file: &Gguf, count: u32, fault: Option<&str>) -> Report {
    let plan = plan(file);
    let (mut a, mut b) = (cpu(&plan, file, Isa::best(), limits(48)), cpu(&plan, file, Isa::Scalar, limits(32)));
    if let Some(fault) = fault {
        b.plant(fault.parse::<Fault>().unwrap().place(&plan).unwrap()).unwrap();
    }
    let mut seen = 0;
    let prompt = tokens(count);
    let feed = Feed::new(&prompt, 2);
    let report = check(&plan, &mut a, &mut b, &feed, &mut |row| {
        assert_eq!(row.step, seen);
        seen += 1;
    });
    assert_eq!(seen, report.steps.len());
    report
}

#[test]
fn a_healthy_pair_is_equal_in_every_step() {
    for (name, quant) in [("tiny", Quant::Q4KM), ("tiny-tied", Quant::Q4KM), ("tiny", Quant::F16)] {
        let report = checked(&model(name, quant), 70, None);
        assert!(report.equal && report.findings().is_empty(), "{name}: {:?}", report.findings());
        let fed: Vec<_> = report.steps.iter().map(|row| (row.position, row.tokens)).collect();
        assert_eq!(fed, [(0, 32), (32, 32), (64, 6), (70, 1), (71, 1)]);
        let logits: Vec<_> = report.steps.iter().map(|row| row.logits_equal).collect();
        assert_eq!(logits, [None, None, Some(true), Some(true), Some(true)]);
        assert!(report.steps[2].cosine.unwrap() > 0.999_999 && report.steps[2].largest_difference == Some(0.0));
    }
}

#[test]
fn a_flipped_bit_is_found_in_the_stage_that_it_was_planted_in() {
    let file = model("tiny", Quant::Q4KM);
    let names: Vec<String> = plan(&file).stages.iter().map(|stage| stage.name.clone()).collect();
    let mut planted = 0;
    for name in names.iter().filter_map(|name| name.strip_prefix("blk.")) {
        let (layer, op) = name.split_once('.').unwrap();
        let report = checked(&file, 5, Some(&format!("bit:{layer}:{op}")));
        assert!(!report.equal, "{name}");
        let found = report.difference.unwrap_or_else(|| panic!("{name}: {:?}", report.failure));
        assert_eq!((found.layer, found.operation.as_str()), (Some(layer.parse().unwrap()), op), "{found}");
        assert_eq!((found.step, found.differing), (0, 1), "{found}");
        assert_ne!(found.reference.bits, found.tested.bits);
        planted += 1;
    }
    assert_eq!(planted, 2 * 24, "stages of two layers");
}

#[test]
fn a_wrong_head_is_found_in_attention() {
    for name in ["tiny", "tiny-hd128", "tiny-gqa7"] {
        let report = checked(&model(name, Quant::Q4KM), 5, Some("head:0"));
        let found = report.difference.unwrap();
        assert_eq!((found.layer, found.operation.as_str()), (Some(0), "attn"), "{name}: {found}");
    }
}

#[test]
fn a_damaged_weight_is_found_in_the_stage_that_reads_it() {
    for quant in [Quant::Q4KM, Quant::F32] {
        let file = model("tiny", quant);
        for fault in ["offset", "partial"] {
            for tensor in ["blk.1.ffn_down", "blk.0.attn_k", "blk.1.ffn_gate"] {
                let report = checked(&file, 5, Some(&format!("{fault}:{tensor}.weight")));
                let found = report.difference.unwrap();
                assert_eq!(found.stage, tensor, "{fault}: {found}");
            }
        }
    }
}

#[test]
fn a_fault_without_a_place_is_wrong_usage_that_lists_the_places() {
    let file = model("tiny", Quant::Q4KM);
    let plan = plan(&file);
    for (fault, part) in [
        ("bit:0:attn_x", "attn_q.bias"),
        ("bit:2:attn_q", "0 to 1"),
        ("head:2", "0 to 1"),
        ("offset:nothing", "blk.0.ffn_up.weight"),
        ("partial:tokens", "token_embd.weight"),
    ] {
        let error = fault.parse::<Fault>().unwrap().place(&plan).unwrap_err();
        assert_eq!(error.exit_code(), 2);
        assert!(error.to_string().contains(part) && error.to_string().contains(fault), "{error}");
    }
}

#[test]
fn an_error_is_a_failure_with_its_message() {
    let file = model("tiny", Quant::Q4KM);
    let plan = plan(&file);
    let (mut a, mut b) = (cpu(&plan, &file, Isa::best(), limits(32)), cpu(&plan, &file, Isa::Scalar, limits(32)));
    let mut failure = |prompt: &[u32]| {
        let report = check(&plan, &mut a, &mut b, &Feed::new(prompt, 1), &mut |_| ());
        assert!(!report.equal);
        report.failure.unwrap()
    };
    let message = failure(&[3, 512]);
    assert!(message.contains("token_embd") && message.contains("must be in 0..512"), "{message}");
    assert!(failure(&tokens(200)).contains("do not fit into a context of 192 positions"));
    assert!(failure(&[]).contains("nothing was fed"));
}

#[test]
fn logits_that_are_no_numbers_are_a_failure_even_where_they_are_equal() {
    let file = model("tiny", Quant::F32);
    let plan = plan(&file);
    let pair = || {
        let mut cpu = cpu(&plan, &file, Isa::best(), limits(32));
        // 2^128 times what the embedding has; its square is more than a float can be.
        cpu.plant("bit:1:attn_residual".parse::<Fault>().unwrap().place(&plan).unwrap()).unwrap();
        cpu
    };
    let report = check(&plan, &mut pair(), &mut pair(), &Feed::new(&[1, 2], 1), &mut |_| ());
    assert!(!report.equal && report.failure.as_ref().unwrap().contains("NaN"), "{report:?}");
}

#[test]
fn the_gate_passes_a_healthy_pair_and_stops_a_damaged_one() {
    let file = model("tiny", Quant::Q4KM);
    let plan = plan(&file);
    let gated = |fault: Option<&str>, prompt: &[u32]| {
        let (mut a, mut b) = (cpu(&plan, &file, Isa::best(), limits(130)), cpu(&plan, &file, Isa::Scalar, limits(7)));
        if let Some(fault) = fault {
            b.plant(fault.parse::<Fault>().unwrap().place(&plan).unwrap()).unwrap();
        }
        gate(&plan, 512, &mut a, &mut b, prompt)
    };
    for prompt in [1, 5, 100] {
        assert!(gated(None, &tokens(prompt)).is_ok());
    }
    for fault in ["bit:1:ffn_down", "head:1", "offset:output.weight", "partial:blk.0.attn_v.weight"] {
        let failed = gated(Some(fault), &tokens(5)).unwrap_err();
        assert_eq!(failed.case, Case::Prompt);
        assert!(!failed.report.findings().is_empty(), "{fault}");
    }
    assert!(gated(None, &[512]).unwrap_err().report.failure.is_some());
}

#[test]
fn a_verdict_is_for_one_model_plan_and_executor() {
    let (file, other) = (model("tiny", Quant::Q4KM), model("tiny-tied", Quant::Q4KM));
    let plans = [plan(&file), plan(&other)];
    let keys = [
        key(&file, &plans[0], "a").unwrap(),
        key(&file, &plans[0], "b").unwrap(),
        key(&other, &plans[0], "a").unwrap(),
        key(&file, &plans[1], "a").unwrap(),
    ];
    for (i, key) in keys.iter().enumerate() {
        assert!(key.len() == 64 && !keys[..i].contains(key));
    }
    assert_eq!(keys[0], key(&file, &plans[0], "a").unwrap());
    let folder = tempfile::tempdir().unwrap();
    let verdicts = Verdicts::at(folder.path());
    verdicts.remember(&keys[0]).unwrap();
    assert!(verdicts.passed(&keys[0]) && !verdicts.passed(&keys[1]));
}

/// A bisection of `stage` after a check, with a fault on the tested side.
fn bisected(file: &Gguf, stage: Option<&str>, fault: Option<&str>) -> Result<apr::parity::Bisection, Error> {
    let plan = plan(file);
    let report = checked(file, 5, fault);
    let mut reference = cpu(&plan, file, Isa::best(), limits(32));
    bisect(&plan, &report, stage, &mut reference, &[1, 2, 3], &mut |tested, plan, limits| {
        let isa = if tested { Isa::Scalar } else { Isa::best() };
        let mut cpu = cpu(plan, file, isa, limits);
        if let Some(placed) = fault.and_then(|fault| fault.parse::<Fault>().ok()?.place(plan).ok())
            && tested
        {
            cpu.plant(placed)?;
        }
        Ok(Box::new(cpu))
    })
}

#[test]
fn bisection_tells_definitions_from_devices() {
    let file = model("tiny", Quant::Q4KM);
    for stage in [None, Some("blk.1.ffn_down"), Some("output")] {
        let found = bisected(&file, stage, None).unwrap();
        assert_eq!(found.stage, stage.unwrap_or("blk.0.attn_q"));
        assert_eq!((found.quantized_differing, found.float_differing), (0, 0), "equal bits within each definition");
        assert_eq!(found.reference, found.tested);
        let percent = found.reference.relative_rms_percent;
        assert!(percent > 0.05 && percent < 5.0, "{percent} % between the definitions");
    }
    // The weight is damaged on one side: both definitions see it, and the stage is the one that was found.
    let found = bisected(&file, None, Some("partial:blk.1.ffn_up.weight")).unwrap();
    assert_eq!((found.stage.as_str(), found.weight.as_str()), ("blk.1.ffn_up", "blk.1.ffn_up.weight"));
    assert_eq!((found.quantized_differing, found.float_differing), (256, 256));
    // A fault in one definition alone.
    let found = bisected(&file, None, Some("bit:0:attn_v")).unwrap();
    assert_eq!((found.stage.as_str(), found.quantized_differing, found.float_differing), ("blk.0.attn_v", 1, 0));
}

#[test]
fn bisection_names_the_products_that_there_are() {
    let error = bisected(&model("tiny", Quant::Q4KM), Some("blk.0.attn"), None).unwrap_err();
    assert_eq!(error.exit_code(), 2);
    assert!(error.to_string().contains("blk.0.attn_q"), "{error}");
    assert_eq!(bisected(&model("tiny", Quant::F32), None, None).unwrap_err().exit_code(), 2);
}

#[test]
fn only_the_chunks_of_a_step_count_as_changed() {
    let file = model("tiny", Quant::Q4KM);
    let plan = plan(&file);
    let step = Step { tokens: 3, outputs: 1, position: 63, chunks: 4 };
    let cache = plan.buffers.iter().find(|buffer| matches!(buffer.role, Role::Cache)).unwrap();
    let row = cache.row_bytes(&step).unwrap();
    assert_eq!(cache.changed(&step), 0..2 * row);
    assert_eq!(cache.changed(&Step { position: 64, ..step }), row..2 * row);
    assert_eq!(cache.changed(&Step { position: 189, ..step }), 2 * row..3 * row);
}
