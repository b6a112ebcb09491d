//! Reads real model and vocabulary files made by other programs.

use std::path::PathBuf;

use apr::gguf::Gguf;
use apr::model::{Experts, Factors, Model, Rope, RopeLayout};

/// The .gguf files in a folder of the test data, which the variable KGEN_ORACLES names.
fn files(folder: &str) -> Vec<PathBuf> {
    let Some(root) = std::env::var_os("KGEN_ORACLES") else {
        eprintln!("skipped: KGEN_ORACLES does not name the folder of test data");
        return Vec::new();
    };
    let entries = std::fs::read_dir(PathBuf::from(root).join(folder)).expect("the folder of test data");
    let paths = entries.map(|entry| entry.expect("a folder entry").path());
    paths.filter(|path| path.extension().is_some_and(|e| e == "gguf")).collect()
}

#[test]
fn models_of_other_programs_are_read() {
    for path in files("oracle").into_iter().chain(files("models")) {
        let gguf = Gguf::open(&path).unwrap_or_else(|err| panic!("{}: {err}", path.display()));
        let metadata = gguf.metadata();
        let architecture = metadata.str("general.architecture").unwrap();
        let layers = metadata.u64(&format!("{architecture}.block_count")).unwrap();
        for tensor in gguf.tensors() {
            let block = tensor.elements() / tensor.ty.block_elements();
            assert_eq!(tensor.data.len() as u64, block * tensor.ty.block_bytes(), "{}", tensor.name);
        }
        assert!(gguf.tensor(&format!("blk.{}.attn_q.weight", layers - 1)).is_some());
        assert!(gguf.tensor(&format!("blk.{layers}.attn_q.weight")).is_none());
    }
}

#[test]
fn vocabularies_of_other_programs_are_read() {
    for path in files("tokenizer") {
        let gguf = Gguf::open(&path).unwrap_or_else(|err| panic!("{}: {err}", path.display()));
        let metadata = gguf.metadata();
        let tokens = metadata.strings("tokenizer.ggml.tokens").unwrap();
        let types = metadata.i32s("tokenizer.ggml.token_type").unwrap();
        assert_eq!(tokens.len(), types.len());
        assert!(metadata.opt_strings("tokenizer.ggml.no_such_key").unwrap().is_none());
    }
}

#[test]
fn models_of_other_programs_are_bound() {
    for path in files("oracle").into_iter().chain(files("models")) {
        let gguf = Gguf::open(&path).unwrap();
        let name = path.file_stem().unwrap().to_str().unwrap();
        let model = Model::load(&gguf).unwrap_or_else(|err| panic!("{name}: {err}"));
        model.check_values(2).unwrap();
        let config = &model.config;
        let rope = Rope {
            dims: config.head_dim,
            base: 1e6,
            layout: RopeLayout::Halves,
            scale: 1.0,
            amplitude: 1.0,
            factors: Factors::None,
        };
        let (sizes, rope) = match &*config.architecture {
            "llama" => ((512, 512, 8), Rope { base: 1e4, layout: RopeLayout::Pairs, ..rope }),
            "qwen3" | "qwen3moe" => ((512, 1024, 4), rope),
            _ => ((1792, 1792, 7), rope),
        };
        assert_eq!((config.hidden, config.q_rows(), config.n_heads / config.n_kv_heads), sizes, "{name}");
        assert_eq!(config.rope, rope, "{name}");
        let experts = (config.architecture == "qwen3moe").then_some(Experts { count: 8, used: 2 });
        assert_eq!(config.experts, experts, "{name}");
        assert_eq!(config.tied_output, gguf.tensor("output.weight").is_none(), "{name}");
        assert_eq!(model.weights.tensors().count(), gguf.tensors().len(), "{name}");
    }
}
