//! Synthetic models of every small shape are written, loaded and run; with `KGEN_LARGE=1`, the 7B shape within bounds.
use serde_json::Value;
use std::{env, fs, path::Path, process::Stdio, thread::sleep, time::Duration};
use tests::program::{apr, run};

fn written(folder: &Path, args: &[&str]) -> String {
    let path = folder.join("model.gguf").to_str().unwrap().to_string();
    let run = run(&[&["synth", args[0], &path], &args[1..]].concat());
    assert_eq!(run.code, Some(0), "{}", run.err);
    path
}

fn logits(folder: &Path, model: &str) -> Vec<f32> {
    let out = folder.join("logits");
    let run = run(&["logits", model, "--tokens", "1,2,3,100,5", "--out", out.to_str().unwrap()]);
    assert_eq!(run.code, Some(0), "{}", run.err);
    fs::read(out).unwrap().as_chunks().0.iter().map(|word| f32::from_le_bytes(*word)).collect()
}

#[test]
fn small_shapes_run_in_every_quantization() {
    let folder = tempfile::tempdir().unwrap();
    for shape in [
        "tiny",
        "tiny-hd128",
        "tiny-gqa7",
        "tiny-tied",
        "tiny-odd",
        "tiny-llama",
        "tiny-qwen3",
        "tiny-qwen3moe",
        "tiny-phi3",
        "tiny-gemma3",
    ] {
        let others = ["q5_k_s", "q3_k_s", "q2_k_s", "iq4_xs", "iq4_nl", "q8_0", "q5_1", "q5_0", "q4_1", "q4_0"];
        let vocab = apr::gguf::shape(shape).unwrap().vocab as usize;
        let others = if shape == "tiny" { &others[..] } else { &[] };
        for quant in ["q4_k_m", "f16", "bf16", "f32"].iter().chain(others) {
            let model = written(folder.path(), &[shape, "--seed", "3", "--quant", quant]);
            let logits = logits(folder.path(), &model);
            assert_eq!(logits.len(), 5 * vocab, "{shape} {quant}");
            assert!(logits.iter().all(|x| x.is_finite()), "{shape} {quant}");
            let mean = logits.iter().map(|x| x.abs()).sum::<f32>() / logits.len() as f32;
            assert!((0.01..100.0).contains(&mean), "{shape} {quant}: the logits are of size {mean}");
        }
    }
}

#[test]
fn outliers_change_the_model_and_stay_in_range() {
    let folder = tempfile::tempdir().unwrap();
    let plain = written(folder.path(), &["tiny"]);
    let plain = logits(folder.path(), &plain);
    let outliers = written(folder.path(), &["tiny", "--outliers"]);
    let outliers = logits(folder.path(), &outliers);
    assert!(plain != outliers && outliers.iter().all(|x| x.is_finite()));
}

#[test]
fn an_unknown_shape_is_refused_with_those_there_are() {
    let run = run(&["synth", "qwen9", "never-written.gguf"]);
    assert_eq!(run.code, Some(2));
    assert!(run.err.contains("qwen2.5-7b"), "{}", run.err);
}

/// Decode of the 7B shape: at least 2 tokens a second, in at most 6 GB. It writes 4.7 GB.
#[cfg(target_os = "linux")]
#[test]
fn the_7b_shape_decodes_within_bounds() {
    const TOKENS: usize = 24;
    if env::var_os("KGEN_LARGE").is_none_or(|value| value != "1") {
        tests::data::skipped("synth: the 7B shape", "KGEN_LARGE is not 1");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let model = match env::var("KGEN_LARGE_MODEL") {
        Ok(model) => model,
        Err(_) => written(folder.path(), &["qwen2.5-7b"]),
    };
    let time = |tokens: usize| {
        let ids: Vec<String> = (0..tokens).map(|i| (1000 + 7 * i).to_string()).collect();
        let out = folder.path().join("logits");
        let mut command = apr(&["logits", &model, "--tokens", &ids.join(","), "--chunk", "1", "--out"]);
        let start = std::time::Instant::now();
        let mut child = command.arg(out).stderr(Stdio::null()).spawn().unwrap();
        let mut peak = 0;
        let status = loop {
            peak = peak.max(resident_peak(child.id()).unwrap_or(0));
            if let Some(status) = child.try_wait().unwrap() {
                break status;
            }
            sleep(Duration::from_millis(20));
        };
        assert!(status.success());
        (start.elapsed().as_secs_f64(), peak)
    };
    // The first run reads the file from the disk, and is not measured.
    time(1);
    let (short, _) = time(1);
    let (long, peak) = time(1 + TOKENS);
    let rate = TOKENS as f64 / (long - short);
    println!("{rate:.2} tokens a second, {} MB resident at most", peak / 1000);
    assert!(rate >= 2.0, "{rate:.2} tokens a second");
    assert!(peak <= 6_000_000, "{peak} kB resident");
}

/// The most memory that a process had resident so far, in kB.
#[cfg(target_os = "linux")]
fn resident_peak(process: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

#[test]
fn a_synthetic_model_can_be_inspected() {
    let folder = tempfile::tempdir().unwrap();
    let model = written(folder.path(), &["tiny-gqa7"]);
    let object: Value = serde_json::from_str(&run(&["inspect", "--json", &model]).out).unwrap();
    assert!(object.to_string().contains("qwen2"));
}
