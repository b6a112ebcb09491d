//! `apr eval`: a model is no distance from itself, activations of 16 bits are next to none from floats, and the figures are
//! those of the logits that `apr logits` writes.
use kernels_gen::Isa;
use serde_json::Value;
use std::{fs, path::Path};
use tests::{
    data::{bundled, bundled_model},
    program::run,
};

/// The prompts of the questions with the tokens that begin and end them.
fn text(folder: &Path) -> String {
    let lines = fs::read_to_string(bundled("abacus-greedy.jsonl")).unwrap();
    let prompt = |line: &str| serde_json::from_str::<Value>(line).unwrap()["prompt"].as_str().unwrap().to_string();
    let path = folder.join("text.txt");
    fs::write(&path, lines.lines().map(prompt).collect::<String>()).unwrap();
    path.to_str().unwrap().into()
}

fn evaluated(text: &str, windows: &str, args: &[&str]) -> Value {
    let model = bundled_model();
    let all = [
        "eval",
        model.to_str().unwrap(),
        text,
        "--device",
        "cpu",
        "--json",
        "--parse-special",
        "--context",
        "64",
        "--windows",
    ];
    let run = run(&[&all[..], &[windows], args].concat());
    assert_eq!(run.code, Some(0), "{}", run.err);
    serde_json::from_str(&run.out).unwrap()
}

#[test]
fn a_model_is_no_distance_from_itself_with_any_instruction_set() {
    let folder = tempfile::tempdir().unwrap();
    let text = text(folder.path());
    let first = evaluated(&text, "4", &["--against-activations", "q8k", "--isa", "scalar"]);
    let against = &first["against"];
    assert!(first["predictions"].as_u64().unwrap() > 100, "{first}");
    assert_eq!((&against["kl_max"], &against["nmse_median"]), (&0.0.into(), &0.0.into()), "{first}");
    assert_eq!(against["same_best_percent"], 100.0, "{first}");
    for isa in Isa::ALL.into_iter().filter(|isa| isa.available()) {
        assert_eq!(evaluated(&text, "4", &["--against-activations", "q8k", "--isa", isa.name()]), first, "{isa}");
    }
}

#[test]
fn activations_of_16_bits_are_a_hundredth_of_the_distance() {
    let folder = tempfile::tempdir().unwrap();
    let text = text(folder.path());
    let distance = |activations| {
        let found = evaluated(&text, "4", &["--activations", activations, "--against-activations", "f32"]);
        ["kl_mean", "nmse_median"].map(|name| found["against"][name].as_f64().unwrap())
    };
    let ([kl, nmse], [wide_kl, wide_nmse]) = (distance("q8k"), distance("q16k"));
    assert!(wide_kl > 0.0 && 100.0 * wide_kl < kl, "{wide_kl:e} of {kl:e}");
    assert!(wide_nmse > 0.0 && 100.0 * wide_nmse < nmse, "{wide_nmse:e} of {nmse:e}");
}

#[test]
fn perplexity_is_that_of_the_logits() {
    let folder = tempfile::tempdir().unwrap();
    let text = text(folder.path());
    let found = evaluated(&text, "1", &[]);
    let model = bundled_model();
    let mut ids: Vec<u64> = Vec::new();
    for line in fs::read_to_string(bundled("abacus-greedy.jsonl")).unwrap().lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        ids.extend(line["prompt_tokens"].as_array().unwrap().iter().map(|id| id.as_u64().unwrap()));
    }
    let window: Vec<String> = ids[..64].iter().map(u64::to_string).collect();
    let out = folder.path().join("logits");
    let args = ["logits", model.to_str().unwrap(), "--device", "cpu", "--tokens", &window.join(","), "--out"];
    let run = run(&[&args[..], &[out.to_str().unwrap()]].concat());
    assert_eq!(run.code, Some(0), "{}", run.err);
    let bytes = fs::read(&out).unwrap();
    let logits: Vec<f64> = bytes.as_chunks().0.iter().map(|b| f64::from(f32::from_le_bytes(*b))).collect();
    let vocabulary = logits.len() / 64;
    let loss = |position: usize| {
        let row = &logits[position * vocabulary..][..vocabulary];
        row.iter().map(|x| x.exp()).sum::<f64>().ln() - row[ids[position + 1] as usize]
    };
    let losses: Vec<f64> = (32..63).map(loss).collect();
    let expected = (losses.iter().sum::<f64>() / losses.len() as f64).exp();
    let perplexity = found["perplexity"].as_f64().unwrap();
    assert!((perplexity / expected - 1.0).abs() < 1e-9, "{perplexity}, {expected}");
    assert_eq!(found["predictions"], losses.len());
}

#[test]
fn what_cannot_be_measured_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (model, text) = (bundled_model(), text(folder.path()));
    let model = model.to_str().unwrap();
    let refused = |args: &[&str], wanted: &str| {
        let run = run(args);
        assert!(run.code == Some(2) && run.err.contains(wanted) && run.err.contains("help:"), "{args:?}: {}", run.err);
    };
    refused(&["eval", model, &text, "--context", "100000"], "tokens, and a window 100000");
    refused(&["eval", model, "no-such-file.txt"], "no-such-file.txt");
    let other = bundled("qwen2-tiny.gguf");
    let against = ["eval", model, &text, "--context", "64", "--device", "cpu", "--against", other.to_str().unwrap()];
    refused(&against, "vocabularies of 2048 and 1024 tokens");
}
