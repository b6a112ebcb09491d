//! What `apr inspect` says of supported, unsupported and hostile files.

use super::*;
use crate::gguf::{Header, TensorType};

/// Writes the file and returns what is printed about it.
fn inspected(header: &Header, data: &[&[u8]], json: bool) -> String {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), header.to_bytes(data.iter().copied()).unwrap()).unwrap();
    let mut out = Vec::new();
    run(&Args { file: file.path().into(), json, check: false }, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

fn mamba() -> Header {
    let mut header = Header::new();
    header.set("general.architecture", "mamba");
    header.set("mamba.block_count", 2u32).set("mamba.embedding_length", 512u32).set("mamba.context_length", 100u64);
    header.set("mamba.attention.head_count", 8u32).set("mamba.attention.head_count_kv", 2u32);
    header.set("tokenizer.ggml.model", "gpt2").set("tokenizer.ggml.tokens", vec!["a", "\u{1b}[2J"]);
    header.set("tokenizer.ggml.eos_token_id", 1u32).set("tokenizer.ggml.bos_token_id", 9u32);
    header
}

#[test]
fn an_unsupported_architecture_is_described() {
    let text = inspected(&mamba(), &[], false);
    assert!(text.contains("supported        no: the architecture `mamba` is not supported; supported architectures"));
    assert!(text.contains("8 over 2 key-value heads, size 64"));
    // 2 (keys, values) * 2 bytes * 2 layers * 2 heads * 64 * 100 positions.
    let json: serde_json::Value = serde_json::from_str(&inspected(&mamba(), &[], true)).unwrap();
    assert_eq!(json["memory"]["kv_f16_bytes"], 102_400);
    assert_eq!(json["tokenizer"]["special"][0]["text"], "\u{1b}[2J");
    assert_eq!(json["tokenizer"]["special"][1]["text"], serde_json::Value::Null);
}

#[test]
fn a_synthetic_model_is_described_as_supported() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("m.gguf");
    let options = crate::synth::Options { seed: 1, layers: None, outliers: false, quant: crate::synth::Quant::Q4KM };
    let shape = crate::synth::shape("tiny").unwrap();
    let stop = std::sync::atomic::AtomicBool::new(false);
    crate::synth::write(&file, shape, &options, 1, &stop, |_, _| ()).unwrap();
    let described = |json| {
        let mut out = Vec::new();
        run(&Args { file: file.clone(), json, check: true }, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    };
    let text = described(false);
    assert!(text.contains("\ntokenizer        none: apr run needs one"), "{text}");
    let json: serde_json::Value = serde_json::from_str(&described(true)).unwrap();
    assert_eq!((&json["supported"], &json["values_finite"]), (&true.into(), &true.into()));
    assert_eq!(json["tensors"].as_array().unwrap().len(), 27);
    assert_eq!(json["metadata"]["qwen2.vocab_size"], 512);
}

#[test]
fn nothing_of_a_file_reaches_the_terminal_raw() {
    let evil = "\u{1b}]0;x\u{7}\u{9b}31m\r\u{202e}\u{7f}\u{e0001}";
    let mut header = Header::new();
    for key in ["general.architecture", "general.name", "tokenizer.ggml.model", "tokenizer.ggml.pre", "other"] {
        header.set(key, evil);
    }
    header.set("tokenizer.ggml.\u{202e}_token_id", 0u32).set("tokenizer.ggml.tokens", vec![evil]);
    header.tensor("t\u{202e}", &[1], TensorType::F32);
    for json in [false, true] {
        let text = inspected(&header, &[&[0; 4]], json);
        let raw: Vec<char> = text.chars().filter(|&c| c != '\n' && !c.is_ascii_graphic() && c != ' ').collect();
        assert_eq!(raw, [] as [char; 0]);
        if json {
            let parsed: serde_json::Value = serde_json::from_str(&text).unwrap();
            assert_eq!(parsed["name"], evil);
        }
    }
}

#[test]
fn sizes_that_overflow_or_divide_by_zero_are_left_out() {
    let mut header = Header::new();
    header.set("general.architecture", "x").set("x.block_count", u64::MAX).set("x.attention.head_count", 0u32);
    header.set("x.embedding_length", 5u32).set("x.context_length", u64::MAX).set("x.rope.freq_base", f32::NAN);
    let json: serde_json::Value = serde_json::from_str(&inspected(&header, &[], true)).unwrap();
    assert_eq!(json["memory"]["kv_f16_bytes"], serde_json::Value::Null);
    assert_eq!(json["metadata"]["x.rope.freq_base"], "NaN");
}

#[test]
fn a_block_scale_that_is_not_finite_is_found_when_asked_for() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let options = crate::synth::Options { seed: 1, layers: None, outliers: false, quant: crate::synth::Quant::Q4KM };
    let shape = crate::synth::shape("tiny").unwrap();
    let stop = std::sync::atomic::AtomicBool::new(false);
    crate::synth::write(file.path(), shape, &options, 1, &stop, |_, _| ()).unwrap();
    let mut bytes = std::fs::read(file.path()).unwrap();
    let scale = {
        let gguf = Gguf::open(file.path()).unwrap();
        // The fourth block of a Q4_K matrix begins with its scale.
        let block = &gguf.tensor("blk.1.ffn_up.weight").unwrap().data[3 * 144..];
        block.as_ptr() as usize - gguf.header().as_ptr() as usize
    };
    bytes[scale..scale + 2].copy_from_slice(&0x7c00u16.to_le_bytes());
    std::fs::write(file.path(), bytes).unwrap();
    let inspect = |check| run(&Args { file: file.path().into(), json: false, check }, &mut Vec::new());
    inspect(false).unwrap();
    let error = inspect(true).unwrap_err().to_string();
    assert!(error.contains("blk.1.ffn_up.weight") && error.contains("scale of block 3"), "{error}");
}
