//! `apr parity` and the gate of `apr run`: what they print, and what they refuse. The check itself is tested with the library.
use apr::exec::cuda;
use serde_json::Value;
use std::{fs, path::Path, process::Stdio};
use tests::{
    data::{bundled, bundled_model, skipped},
    program::{Run, apr, run},
};

/// Two instruction sets of the CPU, which every machine has or can do without.
const ON_CPU: [&str; 3] = ["parity", "--device", "cpu:scalar"];

fn parity(args: &[&str]) -> Run {
    run(&[&ON_CPU[..], args].concat())
}

/// Whether this machine has a GPU; where it has none, a line says what `test` is skipped for.
fn has_gpu(test: &str) -> bool {
    let found = cuda::list();
    if let Err(error) = &found {
        skipped(test, &error.message);
    }
    found.is_ok()
}

#[test]
fn a_table_a_step_and_exit_0_where_all_is_equal() {
    let run = parity(&["--tokens", "5,6,7,8,9", "--chunk", "3", "--steps", "2"]);
    assert_eq!(run.code, Some(0), "{}", run.err);
    let lines: Vec<&str> = run.out.lines().collect();
    assert_eq!(lines.len(), 1 + 4 + 1, "{}", run.out);
    assert!(lines[0].starts_with("step  position  tokens") && lines[5].starts_with("equal: every bit"), "{}", run.out);
    let numbers: Vec<Vec<&str>> = lines[1..5].iter().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(numbers[0][..5], ["0", "0", "3", "-", "equal"]);
    assert_eq!(numbers[3][..5], ["3", "6", "1", "equal", "equal"]);
    assert!(run.err.contains("reference: cpu:") && run.err.contains("tested: cpu: scalar"), "{}", run.err);
}

#[test]
fn random_schedules_and_a_depth_are_compared_a_line_each() {
    let args = ["--prefill", "20", "--steps", "1", "-d", "70", "--schedules", "2", "--schedule-seed", "7"];
    let equal = parity(&args);
    assert_eq!(equal.code, Some(0), "{}", equal.err);
    let lines: Vec<&str> = equal.out.lines().collect();
    assert_eq!(lines.len(), 1 + 2 + 3 + 1, "{}", equal.out);
    let first: Vec<&str> = lines[1].split_whitespace().collect();
    assert_eq!(first[..5], ["0", "70", "20", "equal", "equal"]);
    assert!(lines[3].starts_with("as it serves: 0 inlined, ") && lines[3].ends_with("20 at a time: equal"));
    for (line, seed) in lines[4..6].iter().zip([7, 8]) {
        assert!(line.starts_with(&format!("schedule {seed}: ")) && line.ends_with(": equal"), "{line}");
    }
    assert!(lines[6].ends_with("and under 2 random schedules"), "{}", lines[6]);

    let run = parity(&[&args[..], &["--plant", "head:0", "--json"]].concat());
    assert_eq!(run.code, Some(4), "{}", run.err);
    let object: Value = serde_json::from_str(&run.out).unwrap();
    assert_eq!(
        (&object["equal"], &object["depth"], &object["steps"][0]["position"]),
        (&false.into(), &70.into(), &70.into())
    );
    for (outcome, seed) in object["schedules"].as_array().unwrap().iter().zip([7, 8]) {
        let found = (&outcome["seed"], &outcome["equal"], &outcome["step"]);
        assert_eq!(found, (&seed.into(), &false.into(), &0.into()), "{outcome}");
    }
}

#[test]
fn a_planted_fault_is_exit_4_and_named() {
    for (fault, stage) in [
        ("bit:1:ffn_up", "layer 1, operation ffn_up"),
        ("head:2", "layer 2, operation attn "),
        ("offset:blk.0.attn_output.weight", "layer 0, operation attn_output"),
        ("partial:blk.2.ffn_down.weight", "layer 2, operation ffn_down"),
    ] {
        let run = parity(&["--tokens", "5,6,7", "--steps", "1", "--plant", fault]);
        assert_eq!(run.code, Some(4), "{fault}: {}", run.err);
        assert!(run.out.contains("DIFFER") && run.out.contains(stage), "{fault}: {}", run.out);
        assert!(run.err.contains("PARITY FAILED: ") && run.err.contains("help: "), "{}", run.err);
    }
}

#[test]
fn json_is_one_object_for_equal_and_for_different() {
    let object = |args: &[&str], code| -> Value {
        let run = parity(&[&["--json", "--tokens", "5,6,7", "--steps", "1"], args].concat());
        assert_eq!(run.code, Some(code), "{}", run.err);
        serde_json::from_str(&run.out).unwrap()
    };
    let equal = object(&[], 0);
    assert_eq!((&equal["equal"], &equal["difference"], &equal["planted"]), (&true.into(), &Value::Null, &Value::Null));
    assert_eq!(equal["steps"].as_array().unwrap().len(), 2);
    let different = object(&["--plant", "bit:0:attn_k", "--bisect"], 4);
    assert_eq!((&different["equal"], &different["planted"]), (&false.into(), &"bit:0:attn_k".into()));
    let difference = &different["difference"];
    assert_eq!((&difference["layer"], &difference["operation"]), (&0.into(), &"attn_k".into()));
    assert_eq!(difference["index"], serde_json::json!([2, 0]), "the last token's first element");
    assert_ne!(difference["reference"]["bits"], difference["tested"]["bits"]);
    assert_eq!(different["bisection"]["stage"], "blk.0.attn_k");
    assert_eq!(
        (&different["bisection"]["quantized_differing"], &different["bisection"]["float_differing"]),
        (&1.into(), &0.into())
    );
}

#[test]
fn bisection_says_how_far_the_definitions_are_apart() {
    let run = parity(&["--tokens", "5,6,7", "--steps", "0", "--bisect=blk.1.ffn_gate"]);
    assert_eq!(run.code, Some(0), "{}", run.err);
    assert!(run.out.contains("bisection of blk.1.ffn_gate (blk.1.ffn_gate.weight)"), "{}", run.out);
    assert_eq!(run.out.matches("equal bits in all").count(), 2, "{}", run.out);
    assert_eq!(run.out.matches(" % (relative RMS)").count(), 2, "{}", run.out);
}

#[test]
fn what_cannot_be_compared_is_refused() {
    let tiny = bundled("qwen2-tiny.gguf");
    let tiny = tiny.to_str().unwrap();
    let no_model = Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml");
    for (args, code, part) in [
        (&["--plant", "swap:1"][..], 2, "bit:LAYER:OP"),
        (&["--plant", "bit:0:attn_x"], 2, "attn_q.bias"),
        (&["--plant", "head:99"], 2, "layers are 0 to"),
        (&["--plant", "offset:nothing"], 2, "token_embd.weight"),
        (&["--bisect=nothing"], 2, "blk.0.attn_q"),
        (&["--tokens", "1", "--prompt", "a"], 2, "--prompt"),
        (&["--tokens", "1", "--prefill", "3"], 2, "--prefill"),
        (&["--tokens", "1", "-d", "99999"], 3, "context"),
        (&["--tokens", "2048"], 2, "2047"),
        (&["--prompt", " "], 2, "empty"),
        (&["--tokens", "1", "--steps", "9999"], 3, "context"),
        (&[tiny], 3, "--tokens"),
        (&["no-such.gguf"], 3, "no-such.gguf"),
        (&[no_model.to_str().unwrap()], 3, "Cargo.toml"),
    ] {
        let run = parity(args);
        assert_eq!(run.code, Some(code), "{args:?}: {}", run.err);
        assert!(run.err.contains(part), "{args:?} should say `{part}`: {}", run.err);
        assert!(!run.out.contains("equal:"), "{args:?}: {}", run.out);
    }
    assert_eq!(run(&["parity", "--device", "cpu"]).code, Some(2));
}

#[test]
fn a_gpu_that_is_not_there_is_exit_5_with_a_way_out() {
    let run = run(&["parity", "--device", "cuda:99"]);
    assert_eq!((run.code, run.out.as_str()), (Some(5), ""), "{}", run.err);
    assert!(run.err.contains("help: ") && run.err.contains("--device cpu:scalar"), "{}", run.err);
}

#[test]
fn the_gate_is_for_gpus() {
    for args in [&["run", "--gate", "sometimes", "hi"][..], &["run", "--no-gpu", "--plant", "head:0", "hi"]] {
        let run = run(args);
        assert_eq!((run.code, run.out.as_str()), (Some(2), ""), "{args:?}: {}", run.err);
    }
    let run = run(&["run", "--no-gpu", "--gate", "always", "What is 2+2?"]);
    assert_eq!((run.code, run.out.as_str()), (Some(0), "2 + 2 equals 4.\n"), "{}", run.err);
    assert!(!run.err.contains("gate:"), "{}", run.err);
}

/// A run on the first GPU, with a cache of its own.
fn on_gpu(cache: &Path, args: &[&str]) -> Run {
    let mut command = apr(&[&["run", "--device", "cuda"], args, &["What is 2+2?"]].concat());
    command.env("KGEN_CACHE", cache).stdin(Stdio::null()).output().unwrap().into()
}

#[test]
fn a_gpu_passes_the_gate_once_and_a_damaged_one_never() {
    if !has_gpu("a_gpu_passes_the_gate_once_and_a_damaged_one_never") {
        return;
    }
    let cache = tempfile::tempdir().unwrap();
    for (args, said) in [
        (&["--gate", "off"][..], "gate: off"),
        (&[], "gate: passed in"),
        (&[], "gate: passed before"),
        (&["--gate", "always"], "gate: passed in"),
    ] {
        let run = on_gpu(cache.path(), args);
        assert_eq!((run.code, run.out.as_str()), (Some(0), "2 + 2 equals 4.\n"), "{args:?}: {}", run.err);
        assert!(run.err.contains(said), "{args:?}: {}", run.err);
    }
    for fault in ["bit:1:attn_q.bias", "head:0", "offset:token_embd.weight", "partial:blk.1.ffn_up.weight"] {
        let run = on_gpu(cache.path(), &["--plant", fault]);
        assert_eq!((run.code, run.out.as_str()), (Some(4), ""), "{fault}: {}", run.err);
        let heading = "\nPARITY-GATE FAILED: GPU computes a DIFFERENT function than CPU.\n";
        assert!(run.err.contains(heading), "{fault}: {}", run.err);
        for part in ["hidden 1792", "heads 28", "KV heads 4", "head size 64", "FFN", "vocabulary 2048", "layers 3"] {
            assert!(run.err.contains(part), "{fault} should say `{part}`: {}", run.err);
        }
    }
    let entries = fs::read_dir(cache.path()).unwrap().map(|entry| entry.unwrap().path());
    assert_eq!(entries.filter(|path| path.extension().is_some_and(|e| e == "parity")).count(), 1);
}

#[test]
fn a_healthy_gpu_is_equal_to_the_cpu() {
    if !has_gpu("a_healthy_gpu_is_equal_to_the_cpu") {
        return;
    }
    let model = bundled_model();
    let run = run(&["parity", model.to_str().unwrap(), "--bisect"]);
    assert_eq!(run.code, Some(0), "{}{}", run.out, run.err);
    assert!(run.out.contains("equal: every bit") && run.err.contains("tested: cuda:0"), "{}", run.err);
}

#[test]
fn a_healthy_gpu_is_equal_under_random_schedules_and_at_depth() {
    if !has_gpu("a_healthy_gpu_is_equal_under_random_schedules_and_at_depth") {
        return;
    }
    for depth in ["0", "1000"] {
        let run = run(&["parity", "--prefill", "200", "-d", depth, "--schedules", "20"]);
        assert_eq!(run.code, Some(0), "{}{}", run.out, run.err);
        assert!(run.out.contains("and under 20 random schedules"), "{}", run.out);
    }
}

#[test]
fn a_mismatch_is_one_although_nobody_reads_on() {
    let args = ["parity", "--device", "cpu:scalar", "--plant", "head:0", "--steps", "1", "--tokens", "1,2,3"];
    let mut child = apr(&args).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    drop(child.stdout.take());
    assert_eq!(child.wait().unwrap().code(), Some(4));
}
