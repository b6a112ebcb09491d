//! The `kgen` command from outside: what it prints where, and its exit codes.
use std::path::Path;
use std::process::{Command, Output, Stdio};

fn kgen(args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kgen"));
    command.args(args).env_remove("KGEN_KERNELS").env_remove("NO_COLOR");
    command.output().expect("kgen runs")
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("UTF-8")
}

/// Standard output of a command that succeeds.
fn ok(args: &[&str]) -> String {
    let output = kgen(args);
    assert!(output.status.success(), "{args:?}: {}", text(&output.stderr));
    text(&output.stdout).to_string()
}

/// Standard error of a command that fails with `code` and prints nothing else.
fn fails(code: i32, args: &[&str]) -> String {
    let output = kgen(args);
    assert_eq!(output.status.code(), Some(code), "{args:?}: {}", text(&output.stderr));
    assert_eq!(text(&output.stdout), "", "{args:?}");
    text(&output.stderr).to_string()
}

const BROKEN: &str = "#[kernel]\nfn f(y: &mut Ten<f32, 1>) {\n    y[0] = z;\n}\n";

fn broken(folder: &Path) -> String {
    let file = folder.join("broken.rs");
    std::fs::write(&file, BROKEN).expect("written");
    file.display().to_string()
}

#[test]
fn list_names_kernels_with_shapes_and_places() {
    let list = ok(&["list"]);
    assert!(list.contains("rmsnorm<T, H, K>  ") && list.contains("kernels/rmsnorm.rs:60"), "{list}");
    assert!(list.contains("  in  x: f32[T, H, K]") && list.contains("  out y: f32[T, H, K]"), "{list}");
    assert!(list.contains("  in  eps: f32") && list.contains("  requires pos + T <= C * 64"), "{list}");
    assert!(list.contains("  in  tokens: i32[T] below V"), "{list}");
    let json: serde_json::Value = serde_json::from_str(&ok(&["list", "--json"])).expect("JSON");
    let names: Vec<&str> = json.as_array().expect("array").iter().filter_map(|k| k["name"].as_str()).collect();
    let with = |key: &str| json.as_array().expect("array").iter().filter(|k| k[key].is_object()).count();
    let (pairs, rows) = (with("pair"), with("rows"));
    assert!(pairs > 0 && list.contains("attention_64, then quantize_q8k, whose x is y"), "{list}");
    assert!(
        rows > 0 && list.contains("quantized_matvec_q4k_add\n  matvec_q4k_add, of which each team computes its rows")
    );
    assert_eq!(names.len() - pairs - rows, list.lines().filter(|l| l.contains("  ") && l.contains(".rs:")).count());
    let matvec = &json[names.iter().position(|n| *n == "matvec_q4k").expect("it is there")];
    assert_eq!(matvec["buffers"][0]["elem_bytes"], 144);
    assert_eq!(matvec["buffers"][0]["shape"], serde_json::json!(["N", "B"]));
}

#[test]
fn check_says_whether_there_are_errors() {
    let output = kgen(&["check"]);
    assert!(output.status.success() && output.stdout.is_empty());
    assert!(text(&output.stderr).ends_with("no errors\n"), "{}", text(&output.stderr));
    let folder = tempfile::tempdir().expect("a folder");
    let file = broken(folder.path());
    let shown = fails(1, &["check", &file]);
    assert!(shown.starts_with("error[K0003]: `z` is not known here\n"), "{shown}");
    assert!(shown.contains(":3:12]") && shown.ends_with("1 error\n") && !shown.contains('\u{1b}'), "{shown}");
    let output = kgen(&["check", "--json", &file]);
    assert_eq!((output.status.code(), text(&output.stderr)), (Some(1), "1 error\n"));
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(
        (json[0]["code"].as_str(), json[0]["line"].as_u64(), json[0]["column"].as_u64()),
        (Some("K0003"), Some(3), Some(12))
    );
    assert_eq!(ok(&["check", "--json"]), "[]\n");
    assert!(fails(1, &["check", "no-such-file.rs"]).contains("no-such-file.rs: "));
}

#[test]
fn the_kernels_folder_is_given_by_option_or_environment() {
    let folder = tempfile::tempdir().expect("a folder");
    for part in ["kernels", "formats"] {
        std::fs::create_dir(folder.path().join(part)).expect("a folder");
    }
    std::fs::write(folder.path().join("kernels/only.rs"), BROKEN.replace('z', "1.0")).expect("written");
    let path = folder.path().display().to_string();
    assert!(ok(&["list", "--kernels", &path]).starts_with("f<>  "));
    let output =
        Command::new(env!("CARGO_BIN_EXE_kgen")).arg("list").env("KGEN_KERNELS", &path).output().expect("kgen runs");
    assert!(text(&output.stdout).starts_with("f<>  "));
    assert!(fails(1, &["list", "--kernels", "/no/such/folder"]).contains("KGEN_KERNELS"));
}

#[test]
fn emit_prints_every_form() {
    assert!(ok(&["emit", "bias", "--as", "ir"]).starts_with("kernel bias\n"));
    assert!(ok(&["emit", "bias", "--as", "loop", "--isa", "avx2"]).starts_with("fn bias("));
    for (isa, dot) in [("scalar", "pub mod scalar"), ("avx2", "pairs_maddubs"), ("avx512", "dot4_vpdpbusd")] {
        let code = ok(&["emit", "matvec_q4k", "--as", "rust", "--isa", isa]);
        assert!(code.contains(dot) && code.contains("fn matvec_q4k"), "{isa}: {code}");
    }
}

#[test]
fn emit_shows_two_kernels_in_one_launch() {
    let pair = "attention_128_quantize_q8k";
    let shown = ok(&["emit", pair, "--as", "loop"]);
    assert_eq!(shown.matches(" = arrive at ").count(), 0, "{shown}");
    assert_eq!(shown.matches(" = arrive as a team at ").count(), 2, "{shown}");
    assert!(shown.starts_with(&format!(
        "fn {pair}(q: &[f32], cos: &[f32], sin: &[f32], kc: &[f16], vc: &[f16], y: &mut [f32], quantize_q8k_y: &mut [Q8K],"
    )));
    let cuda = ok(&["emit", pair, "--as", "cuda"]);
    assert!(cuda.contains("kernels/attention.rs\"") && cuda.contains("kernels/quantize.rs\""), "{cuda}");
    assert!(fails(1, &["emit", pair, "--as", "ir"]).contains("see attention_128 and quantize_q8k"));
    assert!(fails(2, &["emit", pair, "--as", "loop", "--schedule", "{}"]).contains("a kernel by itself"));
}

#[test]
fn emit_says_why_a_schedule_is_not_legal() {
    let wide = r#"{"width": 16, "split": ["t"]}"#;
    let shown = fails(1, &["emit", "bias", "--as", "loop", "--isa", "avx2", "--schedule", wide]);
    assert!(shown.contains("not legal on avx2") && shown.contains("16 lanes"), "{shown}");
    let misspelt = r#"{"width": 8, "split": ["t"], "tiles": {}}"#;
    assert!(fails(1, &["emit", "bias", "--as", "loop", "--schedule", misspelt]).contains("unknown field `tiles`"));
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("schedule.json");
    std::fs::write(&file, r#"{"width": 4, "split": ["t"]}"#).expect("written");
    let shown = ok(&["emit", "bias", "--as", "loop", "--isa", "avx2", "--schedule", &file.display().to_string()]);
    assert!(shown.contains("4 lanes"), "{shown}");
    assert!(fails(1, &["emit", "bais", "--as", "ir"]).contains("no kernel `bais`"));
}

#[test]
fn run_computes_given_numbers() {
    let sizes = ["--int", "T=2", "--int", "N=2"];
    let inputs = ["--input", "a=values:1,2,3,4", "--input", "b=values:0.5,0.25,-3,1e1"];
    let args = [&["run", "add"], &sizes[..], &inputs[..]].concat();
    assert_eq!(ok(&args), "# y: f32[2, 2]\n1.5 2.25\n0.0 14.0\n");
    let looped = [&args[..], &["--via", "loop", "--isa", "avx2"]].concat();
    assert_eq!(ok(&looped), ok(&args));
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("y.f32");
    let output = format!("y={}", file.display());
    assert_eq!(ok(&[&args[..], &["--output", &output]].concat()), "");
    let bytes = std::fs::read(&file).expect("the output");
    assert_eq!(bytes, [1.5f32, 2.25, 0.0, 14.0].map(f32::to_le_bytes).concat());
    let again = format!("a={}", file.display());
    let args = [&["run", "add"], &sizes[..], &["--input", &again, "--input", "b=values:0,0,0,0"]].concat();
    assert_eq!(ok(&args), "# y: f32[2, 2]\n1.5 2.25\n0.0 14.0\n");
}

#[test]
fn run_on_random_data_is_the_same_every_time_and_on_every_way() {
    let kernels: [(&str, &[&str]); 4] = [
        ("matvec_q6k", &["--int", "T=1", "--int", "N=2", "--int", "B=3", "--input", "w=seed:1", "--input", "x=seed:2"]),
        (
            "embed_q4k",
            &["--int", "T=3", "--int", "V=5", "--int", "B=1", "--input", "table=seed:1", "--input", "tokens=seed:2"],
        ),
        ("quantize_q8k", &["--int", "T=1", "--int", "B=2", "--input", "x=seed:3"]),
        ("argmax", &["--int", "T=3", "--int", "N=9", "--input", "x=seed:4"]),
    ];
    for (name, args) in kernels {
        let args = [&["run", name], args].concat();
        let defined = ok(&args);
        assert!(defined.lines().count() > 1 && !defined.contains("NaN"), "{defined}");
        for isa in ["scalar", "avx2", "avx512"] {
            assert_eq!(ok(&[&args[..], &["--via", "loop", "--isa", isa]].concat()), defined, "{name} on {isa}");
        }
    }
}

#[test]
fn run_refuses_what_does_not_fit() {
    let usage = |args: &[&str], wanted: &str| {
        let shown = fails(2, &[&["run"], args].concat());
        assert!(shown.contains(wanted), "{args:?}: {shown}");
    };
    usage(&["add", "--int", "T=2"], "`N` is missing");
    usage(&["add", "--int", "T=x", "--int", "N=1"], "--int T: `x`");
    usage(&["add", "--int", "T=0", "--int", "N=1"], "--int T: 0 is not in 1..=");
    usage(&["add", "--int", "M=1", "--int", "T=1", "--int", "N=1"], "no `M`; it has T, N");
    usage(&["add", "--int", "T=1", "--int", "N=1", "--input", "a=seed:1"], "input `b` is missing");
    usage(&["add", "--int", "T=1", "--int", "N=1", "--input", "y=seed:1"], "no `y`; it has a, b");
    usage(
        &["add", "--int", "T=1", "--int", "N=2", "--input", "a=values:1", "--input", "b=seed:1"],
        "1 values, but 2 are needed",
    );
    usage(&["add", "--int", "T"], "NAME=VALUE");
    usage(&["add", "--isa", "neon"], "there are scalar, avx2, avx512");
    usage(&["add", "--output", "z=file"], "it writes y");
    let failure = |args: &[&str], wanted: &str| {
        let shown = fails(1, &[&["run"], args].concat());
        assert!(shown.contains(wanted), "{args:?}: {shown}");
    };
    let weigh = ["weigh", "--int", "T=1", "--int", "K=257", "--int", "G=1"];
    let data = ["--input", "x=seed:1", "--input", "w=seed:1"];
    failure(&[&weigh[..], &data[..]].concat(), "requires K <= G * 256");
    failure(&[&weigh[..], &data[..], &["--via", "loop"]].concat(), "requires K <= G * 256");
    let embed = ["embed_row_f32", "--int", "T=1", "--int", "V=2", "--int", "K=1", "--input", "table=seed:1"];
    failure(&[&embed[..], &["--input", "tokens=values:2"]].concat(), "index 2 is not in 0..2");
    failure(&[&embed[..], &["--input", "tokens=no-such-file"]].concat(), "no-such-file: ");
    failure(&["add", "--int", "T=4194304", "--int", "N=4194304"], "the interpreters take up to");
}

#[test]
fn explain_lists_and_explains() {
    let list = ok(&["explain"]);
    assert_eq!(list.lines().count(), kgen::diagnostic::Code::ALL.len());
    assert!(list.contains("K0007  a float sum without a declared shape\n"), "{list}");
    assert!(ok(&["explain", "k0007"]).starts_with("# K0007: "));
    assert!(fails(2, &["explain", "K0099"]).contains("K0001 to K0018"));
}

#[test]
fn help_tells_exit_codes_and_bad_usage_is_two() {
    let help = ok(&["--help"]);
    for line in ["  0  ok", "  1  failure", "  2  usage", "KGEN_KERNELS", "NO_COLOR"] {
        assert!(help.contains(line), "{help}");
    }
    fails(2, &["frobnicate"]);
    fails(2, &["emit", "bias"]);
    fails(2, &[]);
}

/// `kgen list | head -1` ends quietly.
#[test]
fn a_reader_that_goes_away_is_no_error() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_kgen"))
        .args(["emit", "attention_128", "--as", "rust"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("kgen runs");
    drop(child.stdout.take());
    let output = child.wait_with_output().expect("kgen ends");
    assert_eq!((output.status.code(), text(&output.stderr)), (Some(0), ""));
}
