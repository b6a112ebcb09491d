//! The files that `apr logits` writes are equal for every instruction set, number of threads and chunking.
use kernels_gen::Isa;
use std::{fs, path::Path};
use tests::{
    data::Oracle,
    program::{Run, apr},
};

/// Tokens of the oracle that are fed: more than one chunk of the KV cache, and no multiple of it.
const TOKENS: usize = 150;

fn logits(oracle: &Oracle, out: &Path, isa: Isa, threads: usize, chunk: usize) -> Vec<u8> {
    let tokens: Vec<String> = oracle.tokens.iter().take(TOKENS).map(u32::to_string).collect();
    let model = oracle.model.to_str().unwrap();
    let mut command = apr(&["logits", model, "--tokens", &tokens.join(","), "--isa", isa.name(), "--device", "cpu"]);
    command.args(["--threads", &threads.to_string(), "--chunk", &chunk.to_string(), "--out"]).arg(out);
    let run: Run = command.output().unwrap().into();
    assert_eq!(run.code, Some(0), "{}", run.err);
    fs::read(out).unwrap()
}

fn compare(name: &'static str) {
    let Some(oracle) = Oracle::open("equal_bits", name) else { return };
    let isas: Vec<Isa> = Isa::ALL.into_iter().filter(|isa| isa.available()).collect();
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("logits.f32");
    let first = logits(&oracle, &out, Isa::Scalar, 1, 64);
    assert!(first.iter().any(|&byte| byte != 0));
    let pairs = isas.iter().flat_map(|&isa| [1, 2, 4].map(|threads| (isa, threads)));
    for (isa, threads) in pairs {
        // Every chunking with every instruction set; the numbers of threads at decode and at prefill.
        let chunks: &[usize] = if threads == 2 { &[1, 7, 64, 512] } else { &[1, 64] };
        for &chunk in chunks {
            let other = logits(&oracle, &out, isa, threads, chunk);
            assert!(first == other, "{name}: other bits with --isa {isa} --threads {threads} --chunk {chunk}");
        }
    }
}

tests::test_each_oracle!(compare);
