//! `kgen inspect` from outside: what it finds in real cubins, and what it refuses.
use kgen::library::Library;
use kgen::target::Target;
use serde_json::{Value, json};
use std::path::Path;
use std::process::{Command, Output};

fn kgen(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kgen"));
    command.arg("inspect").args(args).env_remove("KGEN_KERNELS").env_remove("NO_COLOR");
    command
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("UTF-8")
}

/// Standard output of a command that succeeds.
fn ok(args: &[&str]) -> String {
    let output = kgen(args).output().expect("kgen runs");
    assert!(output.status.success(), "{args:?}: {}", text(&output.stderr));
    text(&output.stdout)
}

/// Standard error of a command that fails with `code` and prints nothing else.
fn fails(code: i32, args: &[&str]) -> String {
    let Output { status, stdout, stderr } = kgen(args).output().expect("kgen runs");
    assert_eq!((status.code(), text(&stdout)), (Some(code), String::new()), "{args:?}: {}", text(&stderr));
    text(&stderr)
}

/// Whether NVRTC is here; else a line says why a test does nothing.
fn nvrtc(test: &str) -> bool {
    let compiler = kgen::nvrtc::Compiler::with_cache(None);
    compiler.nvrtc().inspect_err(|error| eprintln!("{test} is skipped: {error}")).is_ok()
}

#[test]
fn every_code_of_a_kernel_is_inspected() {
    if !nvrtc("the test of what is inspected") {
        return;
    }
    let args = ["matvec_q4k", "--arch", "90", "--sizes", "T=1,N=32,B=2", "--gpu", "h200", "--json"];
    let report: Value = serde_json::from_str(&ok(&args)).expect("JSON");
    assert_eq!(
        (&report["arch"], &report["sm"]["warps"], &report["gpu"]["sms"]),
        (&json!("sm_90"), &json!(64), &json!(132))
    );
    let codes = report["codes"].as_array().expect("an array");
    let entries: Vec<&str> = codes.iter().filter_map(|code| code["entry"].as_str()).collect();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../kernels-gen");
    let library = Library::open(&folder).unwrap_or_else(|e| panic!("{e}"));
    let lowered = library.kernel("matvec_q4k").and_then(|kernel| library.lowered(kernel, Target::Cuda));
    let lowered = lowered.unwrap_or_else(|e| panic!("{e}"));
    let names: Vec<&str> = lowered.iter().map(|(_, func)| func.name.as_str()).collect();
    assert_eq!(entries, names, "one of each schedule");
    let serves: Vec<bool> = codes.iter().filter_map(|code| code["serves"].as_bool()).collect();
    assert!(serves[0] && serves[1..].iter().all(|serves| !serves), "the first that fits: {serves:?}");
    for code in codes {
        let number = |key: &str| code[key].as_u64().unwrap_or_else(|| panic!("{key} of {code}"));
        assert!((16..=255).contains(&number("registers")), "{code}");
        assert_eq!(code["max_threads"], code["threads"], "the code bounds the threads: {code}");
        // Three pointers and three sizes.
        assert_eq!(number("parameter_bytes"), 3 * 8 + 3 * 4, "{code}");
        assert!(code["constant_bytes"]["0"].as_u64() >= Some(36), "{code}");
        let classes = code["instructions"]["classes"].as_object().expect("an object");
        let memory = code["instructions"]["memory"].as_array().expect("an array");
        let count = |class: &str| classes.get(class).and_then(Value::as_u64).unwrap_or(0);
        let products = count("matrix") >= 8;
        let spilled = (number("stack_bytes"), &code["spill_bytes"]);
        assert!(products || spilled == (0, &json!({"stores": 0, "loads": 0})), "{code}");
        assert!((products || count("dot") >= 64) && count("other") == 0, "{code}");
        let wide = |access: &&Value| access["way"] == "load" && access["space"] == "global" && access["bytes"] == 16;
        assert!(products || memory.iter().any(|access| wide(&access)), "weights are loaded by 16 bytes: {code}");
        let counted = classes.values().chain(memory.iter().map(|access| &access["count"])).filter_map(Value::as_u64);
        assert_eq!(counted.sum::<u64>(), code["instructions"]["all"].as_u64().expect("a number"), "{code}");
        let occupancy = &code["occupancy"];
        let warps = number("threads").div_ceil(32) * occupancy["ctas"].as_u64().expect("a number");
        assert_eq!(
            (occupancy["warps"].as_u64(), occupancy["percent"].as_f64()),
            (Some(warps), Some(warps as f64 / 0.64))
        );
    }
    let counts = &report["counts"][0];
    assert_eq!((&counts["sizes"], &counts["byte_products"]), (&json!({"B": 2, "N": 32, "T": 1}), &json!(16_384)));
    assert_eq!((&counts["read_bytes"], &counts["written_bytes"]), (&json!(9856), &json!(128)));
    assert_eq!((&counts["bound"]["by"], &counts["floats"]["fma"]), (&json!("memory"), &json!(128)));
    assert!(report["counts"][1].is_null());
}

#[test]
fn people_get_a_table() {
    if !nvrtc("the test of the table") {
        return;
    }
    let shown =
        ok(&["attention_64_quantize_q8k", "add", "--sizes", "T=1,N=64,G=1,R=1,C=1,pos=3,window=4", "--arch", "sm_86"]);
    for words in [
        "sm_86: an SM holds 16 CTAs, 48 warps, 100 KiB of shared memory\n",
        "\nadd  (serves these sizes)\n",
        "\nattention_64_quantize_q8k  for T <= 1\n",
        " a thread; a stack of ",
        " shuffles\n",
        "\nadd at N=64, T=1\n  bytes         512 read, 256 written, each at least once\n    in  a: 256\n",
        "\n  floats        64 add\n",
    ] {
        assert!(shown.contains(words), "{words}: {shown}");
    }
    assert!(!shown.contains("bound") && !shown.contains("attention_64_quantize_q8k at"), "{shown}");
    let shown = ok(&["add"]);
    assert!(shown.starts_with("sm_90: ") && !shown.contains("bytes         "), "no sizes, no counts: {shown}");
    let shown = ok(&["add", "--arch", "sm_75"]);
    assert!(shown.starts_with("the limits of sm_75 are not known, only those of sm_80, "), "{shown}");
    assert!(!shown.contains("occupancy"), "{shown}");
    let shown = fails(1, &["add", "--arch", "sm_10"]);
    assert!(shown.contains("has no sm_10; it has sm_"), "{shown}");
}

#[test]
fn what_is_wrong_is_said() {
    assert!(fails(1, &["matvec_q4kk"]).contains("no kernel `matvec_q4kk` (did you mean `matvec_q4k`?); there are "));
    let usage = |args: &[&str], wanted: &str| {
        let shown = fails(2, args);
        assert!(shown.contains(wanted), "{args:?}: {shown}");
    };
    usage(&[], "<KERNEL>");
    usage(&["add", "--arch", "hopper"], "write sm_80, sm_90");
    usage(&["add", "--gpu", "h200"], "--sizes");
    usage(&["add", "--sizes", "T=1,N=1", "--gpu", "h300"], "there are a100, h100, h200, l40s, rtx4090");
    usage(&["add", "--sizes", "T=1,N=1", "--gpu", "h200", "--arch", "sm_80"], "the GPU of --gpu is sm_90");
    usage(&["add", "--sizes", "T=1"], "`N` is missing: `--sizes N=..`");
    usage(&["add", "--sizes", "T=1,N=1,B=2"], "no kernel here has `B`; there are N, T");
    usage(&["add", "--sizes", "T=0,N=1"], "--sizes T: 0 is not in 1..=");
    usage(&["add", "--sizes", "T=1,N"], "NAME=VALUE");
    let weigh = ["weigh", "--sizes", "T=1,K=257,G=1"];
    assert!(fails(1, &weigh).contains("weigh requires K <= G * 256"));
}

#[test]
fn a_missing_compiler_is_a_failure_with_a_way_out() {
    let empty = tempfile::tempdir().expect("a folder");
    let mut without = kgen(&["add"]);
    for name in ["VIRTUAL_ENV", "CONDA_PREFIX", "CUDA_HOME", "CUDA_PATH", "LD_LIBRARY_PATH"] {
        without.env_remove(name);
    }
    let output = without.env("PATH", empty.path()).env("KGEN_CACHE", empty.path()).output().expect("kgen runs");
    if output.status.success() {
        eprintln!("the test without NVRTC is skipped: it is installed for all programs");
        return;
    }
    let shown = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1));
    assert!(shown.contains("was not found") && shown.contains("pip install"), "{shown}");
}
