//! `apr bench`: every figure is there and fits the others, in every form, and nothing is left behind.
use apr::{exec::cuda, gguf::Gguf, model::Model};
use serde_json::Value;
use std::{fs, process::Stdio};
use tests::{
    data::{bundled_model, skipped},
    program::{apr, run},
};

/// Bytes that are taken to measure the memory's rate: more than the bundled model takes.
#[cfg(target_os = "linux")]
const READ_BUFFER: f64 = (1 << 30) as f64;

/// A short measurement on the CPU.
const SHORT: [&str; 9] = ["--device", "cpu", "-p", "20", "-n", "3", "-d", "5", "-r2"];

fn bench(args: &[&str]) -> String {
    let run = run(&[&["bench"], args, &SHORT].concat());
    assert_eq!(run.code, Some(0), "{args:?}: {}", run.err);
    assert!(run.err.contains("decode 3: ") && run.err.contains("2 of 2"), "progress: {}", run.err);
    run.out
}

#[test]
fn figures_fit_each_other() {
    let out = bench(&["--json", "--threads", "2", "--phases"]);
    let report: Value = serde_json::from_str(&out).unwrap();
    let number =
        |path: &str| report.pointer(path).and_then(Value::as_f64).unwrap_or_else(|| panic!("{path}: {report}"));
    for (test, tokens) in [("prefill", 20), ("decode", 3)] {
        assert_eq!(report[test]["tokens"], tokens);
        let [min, median, max] = ["min", "median", "max"].map(|key| number(&format!("/{test}/{key}")));
        assert!(0.0 < min && min <= median && median <= max, "{report}");
    }
    assert!(report["prefill"]["bytes_a_token"].is_null());
    // All weights as they lie in the file: the embedding is the output matrix here.
    let file = Gguf::open(&bundled_model()).unwrap();
    let weights: usize = file.tensors().map(|tensor| tensor.data.len()).sum();
    assert_eq!(number("/decode/weight_bytes"), weights as f64, "{report}");
    // Keys and values in f16 of the 5 tokens before, of the first one, and of the second one itself.
    let config = Model::load(&file).unwrap().config;
    let position = 2 * 2 * config.n_layers * config.n_kv_heads * config.head_dim;
    assert_eq!(number("/decode/cache_bytes"), (7 * position) as f64, "{report}");
    let bytes = number("/decode/bytes_a_token");
    assert_eq!(bytes, number("/decode/weight_bytes") + number("/decode/cache_bytes"));
    let rate = number("/decode/gb_a_second");
    assert!((rate - bytes * number("/decode/median") / 1e9).abs() < 1e-6 * rate, "{report}");
    let three = |path: &str| ["_min", "", "_max"].map(|which| number(&format!("{path}{which}")));
    let [slowest, memory, fastest] = three("/read_rate/gb_a_second");
    assert!(0.1 < slowest && slowest <= memory && memory <= fastest, "{report}");
    // Each repetition was compared with a rate between these two.
    let [least, part, most] = three("/decode/of_read_rate");
    assert!(least <= part && part <= most, "{report}");
    let gb_a_second = |speed: &str| bytes * number(&format!("/decode/{speed}")) / 1e9;
    assert!(least >= gb_a_second("min") / fastest - 1e-6 && most <= gb_a_second("max") / slowest + 1e-6, "{report}");
    assert!(report["threads"] == 2 && report["depth"] == 5, "{report}");
    assert!(report["ids"]["compared"] == 0 && report["ids"]["skipped"] == "the CPU has found them itself", "{report}");
    #[cfg(target_os = "linux")]
    assert!((10e6..READ_BUFFER).contains(&number("/memory/bytes")), "{report}");
    for test in ["prefill", "decode"] {
        let stages = report["stages"][test].as_array().unwrap();
        let shares: f64 = stages.iter().map(|stage| stage["share"].as_f64().unwrap()).sum();
        assert!((shares - 1.0).abs() < 1e-6, "{report}");
        let named =
            |op: &str| stages.iter().find(|stage| stage["op"] == op).unwrap_or_else(|| panic!("{op}: {report}"));
        assert!(named("ffn_up")["stages"].as_u64().unwrap() > 1, "all layers");
        assert!(named("logits")["seconds"].as_f64().unwrap() > 0.0, "the head is included");
    }
}

#[test]
fn one_repetition_is_compared_with_the_rates_around_it() {
    let report = |args: &[&str]| -> Value {
        let run = run(&[&["bench", "--device", "cpu", "--json", "-r1"], args].concat());
        assert_eq!(run.code, Some(0), "{}", run.err);
        serde_json::from_str(&run.out).unwrap()
    };
    // The median of the two rates is their mean.
    let both = report(&["-p", "2", "-n", "2"]);
    let number = |path: &str| both.pointer(path).and_then(Value::as_f64).unwrap_or_else(|| panic!("{path}: {both}"));
    let part = number("/decode/gb_a_second") / number("/read_rate/gb_a_second");
    for which in ["", "_min", "_max"] {
        assert!((number(&format!("/decode/of_read_rate{which}")) - part).abs() < 1e-6 * part, "{both}");
    }
    let prompt = report(&["-p", "2", "-n", "0"]);
    let rate = &prompt["read_rate"];
    assert!(prompt["decode"].is_null() && prompt["prefill"]["of_read_rate"].is_null(), "{prompt}");
    assert!(rate["gb_a_second"].as_f64().unwrap() > 0.1, "{prompt}");
    assert!(rate["gb_a_second"] == rate["gb_a_second_min"] && rate["gb_a_second"] == rate["gb_a_second_max"], "once");
    #[cfg(target_os = "linux")]
    assert!(prompt["memory"]["bytes"].as_f64().unwrap() < READ_BUFFER, "{prompt}");
}

#[test]
fn each_form_has_a_row_a_measurement() {
    let csv = bench(&["--csv"]);
    let lines: Vec<Vec<&str>> = csv.lines().map(|line| line.split(',').collect()).collect();
    assert_eq!(lines.len(), 3, "{csv}");
    assert!(lines.iter().all(|line| line.len() == lines[0].len()), "{csv}");
    let cell = |test: usize, name: &str| lines[test][lines[0].iter().position(|column| *column == name).unwrap()];
    let number = |test, name: &str| cell(test, name).parse::<f64>().unwrap_or_else(|_| panic!("{name}: {csv}"));
    assert!([1, 2].iter().all(|&test| number(test, "median_tokens_s") > 0.0), "{csv}");
    for name in ["read_rate_gb_s", "percent_of_read_rate"] {
        let [min, median, max] = ["min_", "", "max_"].map(|which| number(2, &format!("{which}{name}")));
        assert!(0.0 < min && min <= median && median <= max, "{name}: {csv}");
    }
    assert_eq!(cell(1, "min_percent_of_read_rate"), "", "a prompt has no part");
    assert_eq!((cell(1, "ids_compared"), cell(2, "ids_compared"), cell(2, "ids_equal")), ("", "0", "0"), "{csv}");

    let md = bench(&["--md", "--phases"]);
    let rows = |test: &str| md.lines().filter(|line| line.contains(&format!("| {test} | "))).count();
    assert!(rows("prefill") > 10 && rows("decode") > 10, "{md}");
    assert!(md.contains("\n\n| test | stage | "), "{md}");

    let text = bench(&["--phases"]);
    assert!(text.contains("decode 3 at 5") && text.contains("of memory") && text.contains("ffn_down"), "{text}");
    let percents = |test: &str| text.lines().find(|line| line.starts_with(test)).unwrap().matches(" %").count();
    assert_eq!((percents("prefill 20 at 5"), percents("decode 3 at 5")), (0, 3), "{text}");
    assert!(text.contains(" at the slowest, "), "{text}");
}

#[test]
fn the_ids_of_a_gpu_are_compared_with_those_of_the_cpu() {
    if let Err(error) = cuda::list() {
        skipped("the_ids_of_a_gpu_are_compared_with_those_of_the_cpu", &error.message);
        return;
    }
    for (verify, compared) in [(&[][..], 16), (&["--verify", "30"], 20), (&["--verify", "0"], 0)] {
        let args = ["bench", "--device", "cuda", "--json", "-p", "0", "-n", "20", "-d", "100", "-r2"];
        let run = run(&[&args[..], verify].concat());
        assert_eq!(run.code, Some(0), "{}", run.err);
        let ids = &serde_json::from_str::<Value>(&run.out).unwrap()["ids"];
        assert!(ids["compared"] == compared && ids["equal"] == compared, "{ids}");
        assert_eq!(ids["skipped"].is_null(), compared > 0, "{ids}");
    }
}

#[test]
fn a_shape_is_measured_and_its_file_removed() {
    let folder = tempfile::tempdir().unwrap();
    let run = |args: &[&str]| -> tests::program::Run {
        let mut command = apr(&[&["bench", "--shape", "tiny"], args, &SHORT].concat());
        command.env("TMPDIR", folder.path()).stdin(Stdio::null()).output().unwrap().into()
    };
    let run = run(&["--json"]);
    assert_eq!(run.code, Some(0), "{}", run.err);
    let report: Value = serde_json::from_str(&run.out).unwrap();
    assert_eq!(report["model"], "synthetic tiny");
    assert!(run.err.contains("KiB of random weights into "), "its size is said: {}", run.err);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "nothing is left behind");
}

#[test]
fn what_cannot_be_measured_is_refused() {
    let code = |args: &[&str]| run(&[&["bench"], args].concat()).code;
    assert_eq!(code(&["-p", "0", "-n", "0"]), Some(2));
    assert_eq!(code(&["--json", "--csv"]), Some(2));
    assert_eq!(code(&["model.gguf", "--shape", "tiny"]), Some(2));
    assert_eq!(code(&["--shape", "qwen9"]), Some(2));
    assert_eq!(code(&["-d", "99999999"]), Some(3));
    assert_eq!(code(&["--device", "cuda:99"]), Some(5));
}

#[cfg(unix)]
#[test]
fn a_folder_that_cannot_take_the_model_is_named_with_a_way_out() {
    let mut command = apr(&["bench", "--shape", "tiny", "--device", "cpu"]);
    let run: tests::program::Run = command.env("TMPDIR", "no/such/folder").output().unwrap().into();
    assert_eq!(run.code, Some(1), "{}", run.err);
    assert!(run.err.contains("no/such/folder") && run.err.contains("help: set TMPDIR"), "{}", run.err);
}

#[cfg(unix)]
#[test]
fn an_interrupt_removes_the_model_that_was_written() {
    let folder = tempfile::tempdir().unwrap();
    let args = ["bench", "--shape", "tiny", "--device", "cpu", "-p", "0", "-n", "4000", "-r", "100000"];
    let mut command = apr(&args);
    let mut child = command.env("TMPDIR", folder.path()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let files = || fs::read_dir(folder.path()).unwrap().count();
    while files() == 0 {
        assert!(child.try_wait().unwrap().is_none(), "it ended before it wrote");
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    let sent = std::process::Command::new("sh").arg("-c").arg(format!("kill -INT {}", child.id())).status().unwrap();
    assert!(sent.success());
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert_eq!(files(), 0, "nothing is left behind");
}
