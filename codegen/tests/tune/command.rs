//! The command from outside: on this processor, where there is a Rust compiler, and on a GPU, where there is one.
use kgen::gpu::Gpu;
use serde_json::Value;
use std::fs;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

fn command(journal: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kgen"));
    command.arg("tune").args(args).arg("--journal").arg(journal).env_remove("KGEN_KERNELS");
    command
}

fn tune(journal: &Path, args: &[&str]) -> Output {
    command(journal, args).output().expect("kgen runs")
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("UTF-8")
}

/// The JSON of a run that ends with this code.
fn report(journal: &Path, args: &[&str], code: i32) -> Value {
    let output = tune(journal, &[args, &["--json"]].concat());
    assert_eq!(output.status.code(), Some(code), "{args:?}: {}", text(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("JSON")
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_else(|| panic!("{value} is no number"))
}

/// Whether candidates for a CPU can be compiled here.
fn has_rustc() -> bool {
    let rustc = std::env::var("RUSTC").unwrap_or_else(|_| "rustc".into());
    let found =
        Command::new(rustc).arg("--version").stdout(Stdio::null()).status().is_ok_and(|status| status.success());
    if !found {
        eprintln!("skipped: there is no rustc");
    }
    found
}

fn lines(path: &Path) -> usize {
    fs::read_to_string(path).unwrap_or_default().matches('\n').count()
}

/// Waits until the journal has so many lines.
fn wait_for(path: &Path, wanted: usize, child: &mut Child) {
    let until = Instant::now() + Duration::from_secs(120);
    while lines(path) < wanted {
        assert!(child.try_wait().expect("it can be asked").is_none(), "the run has ended with {} lines", lines(path));
        assert!(Instant::now() < until, "no verdicts");
        std::thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn a_killed_run_goes_on_where_it_was() {
    if !has_rustc() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let journal = folder.path().join("journal");
    let args = ["swiglu", "--shape", "tiny", "--device", "cpu:scalar", "--budget", "10m"];
    let mut child = command(&journal, &args).stderr(Stdio::null()).stdout(Stdio::null()).spawn().expect("kgen runs");
    wait_for(&journal, 4, &mut child);
    child.kill().expect("it runs");
    child.wait().expect("it has ended");
    let kept = lines(&journal);
    let report = report(&journal, &args, 0);
    let row = &report["schedules"][0];
    assert!(number(&row["remembered"]) >= kept as u64 - 1, "{kept} lines: {row}");
    assert!(number(&row["timed"]) > kept as u64 && row["complete"] == true, "{row}");
    assert!(lines(&journal) > kept, "the rest was judged");
}

#[test]
fn a_planted_fault_is_found_and_has_an_exit_code() {
    if !has_rustc() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let journal = folder.path().join("journal");
    let args = ["weigh_q8k", "--shape", "tiny", "--device", "cpu:scalar", "--plant", "unroll"];
    let report = report(&journal, &args, 4);
    let differing = report["schedules"][0]["differing"].as_array().expect("a list");
    assert!(!differing.is_empty() && differing.iter().all(|d| d["schedule"]["unroll"] != Value::Null), "{report}");
    // None of them has a time.
    for line in fs::read_to_string(&journal).unwrap().lines() {
        let entry: Value = serde_json::from_str(line).expect("JSON");
        let timed = entry["verdict"]["timed"].is_object();
        assert!(timed == (entry["schedule"]["unroll"] == 0), "{line}");
    }
}

/// A copy of the kernels with another schedule of `weigh_q8k` for this instruction set.
fn with_schedule(folder: &Path, file: &str, schedule: &str) {
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name("kernels-gen");
    for part in ["formats", "kernels", "schedules"] {
        fs::create_dir(folder.join(part)).unwrap();
        for entry in fs::read_dir(from.join(part)).unwrap() {
            let path = entry.unwrap().path();
            fs::copy(&path, folder.join(part).join(path.file_name().unwrap())).unwrap();
        }
    }
    let path = folder.join("schedules").join(file);
    let mut all: Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
    all["weigh_q8k"] = serde_json::from_str(schedule).unwrap();
    fs::write(&path, kgen::schedule::file::format(all.as_object().unwrap())).unwrap();
}

#[test]
fn a_slow_schedule_is_named_and_replaced() {
    if !has_rustc() || !kgen::cpu::Isa::Avx2.available() {
        return eprintln!("skipped: this needs rustc and AVX2");
    }
    let folder = tempfile::tempdir().unwrap();
    let (kernels, journal) = (folder.path().join("kernels-gen"), folder.path().join("journal"));
    fs::create_dir(&kernels).unwrap();
    // One lane at a time.
    with_schedule(&kernels, "avx2.json", r#"{"width": 1, "split": ["t", "b"]}"#);
    let file = kernels.join("schedules/avx2.json");
    let before = fs::read_to_string(&file).unwrap();
    let kernels = kernels.to_str().unwrap();
    let args = ["weigh_q8k", "--shape", "tiny", "--device", "cpu:avx2", "--kernels", kernels];
    let output = tune(&journal, &[&args[..], &["--check"]].concat());
    assert_eq!(output.status.code(), Some(3), "{}", text(&output.stderr));
    assert!(text(&output.stderr).ends_with("by more than 10 %: weigh_q8k\n"), "{}", text(&output.stderr));
    assert_eq!(fs::read_to_string(&file).unwrap(), before, "--check writes nothing");
    let report = report(&journal, &[&args[..], &["--write"]].concat(), 0);
    let best = &report["schedules"][0]["schedule"];
    // Which width is best depends on what else the machine does; one lane never is.
    assert!(best["width"].as_u64().is_some_and(|width| width > 1), "{report}");
    let after = fs::read_to_string(&file).unwrap();
    let line = |text: &str| text.lines().position(|line| line.starts_with("  \"weigh_q8k\""));
    let differ = before.lines().zip(after.lines()).position(|(a, b)| a != b);
    assert_eq!((line(&before), before.lines().count()), (differ, after.lines().count()));
    let written: Value = serde_json::from_str(&after).unwrap();
    assert_eq!(written["weigh_q8k"], *best);
}

#[test]
fn wrong_wishes_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let journal = folder.path().join("journal");
    for (code, args, reason) in [
        (2, &["weigh_q8k"][..], "--shape"),
        (2, &["weigh_q8k", "--shape", "huge"], "there is no shape `huge`; there are qwen2.5-7b"),
        (2, &["weigh_q8k", "--shape", "7b", "--device", "tpu"], "cuda:N"),
        (2, &["weigh_q8k", "--shape", "7b", "--plant", "layout"], "no field `layout`"),
        (1, &["weigh_q8", "--shape", "7b"], "did you mean `weigh_q8k`?"),
        (1, &["unpair", "--shape", "7b"], "qwen2.5-7b needs no unpair"),
        (1, &["weigh_q8k", "--model", "nothing.gguf"], "cannot open the model file"),
    ] {
        let output = tune(&journal, args);
        assert_eq!(output.status.code(), Some(code), "{args:?}: {}", text(&output.stderr));
        assert!(text(&output.stderr).contains(reason), "{args:?}: {}", text(&output.stderr));
        assert!(output.stdout.is_empty() && !journal.exists());
    }
}

#[test]
fn a_gpu_tunes_and_resumes() {
    if let Err(missing) = Gpu::open(0) {
        return eprintln!("skipped: {missing}");
    }
    let folder = tempfile::tempdir().unwrap();
    let journal = folder.path().join("journal");
    let args = ["weigh_q8k", "matvec_q4k", "--shape", "tiny", "--budget", "5s"];
    let first = report(&journal, &args, 0);
    for row in first["schedules"].as_array().expect("a list") {
        assert!(number(&row["timed"]) > 0 && row["differing"].as_array().is_some_and(Vec::is_empty), "{row}");
        assert!(row["shipped"]["us"].as_f64().is_some_and(|us| us > 0.0), "{row}");
    }
    let second = report(&journal, &args, 0);
    assert!(number(&second["schedules"][0]["remembered"]) >= number(&first["schedules"][0]["timed"]), "{second}");
    let planted = report(&journal, &["weigh_q8k", "--shape", "tiny", "--plant", "team"], 4);
    assert!(planted["schedules"][0]["differing"].as_array().is_some_and(|all| !all.is_empty()), "{planted}");
}
