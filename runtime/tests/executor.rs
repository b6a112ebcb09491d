//! The CPU executor: the same bits for every instruction set, number of threads and way of feeding, and its errors.
mod engine_support;

use apr::{
    exec::{
        ExecError, Session,
        cpu::{Cpu, Setup},
    },
    gguf::Gguf,
    model::Model,
    plan::{Activations, Step, transformer, transformer_with},
    synth::Quant,
};
use engine_support::{model, model_bytes};
use kernels_gen::Isa;
use std::cell::RefCell;

/// A session that takes `chunk` tokens at a time.
fn session(gguf: &Gguf, isa: Isa, threads: usize, chunk: usize) -> Session<'_> {
    session_with(gguf, (isa, threads, chunk), Activations::default())
}

fn session_with(gguf: &Gguf, (isa, threads, chunk): (Isa, usize, usize), activations: Activations) -> Session<'_> {
    let plan = transformer_with(&Model::load(gguf).unwrap(), activations, 128);
    let limits = Step { tokens: chunk, outputs: chunk, position: 0, chunks: 2 };
    Session::new(Box::new(Cpu::new(&plan, gguf, Setup { threads, isa, limits }, &|_, _| ()).unwrap()))
}

/// The bits of the logits of all tokens.
fn all_logits(session: &mut Session, tokens: &[u32]) -> Result<Vec<u32>, ExecError> {
    let mut all = Vec::new();
    session.prefill_all(tokens, |logits| {
        all.extend(logits.iter().map(|x| x.to_bits()));
        Ok::<_, ExecError>(())
    })?;
    Ok(all)
}

/// Enough tokens for two chunks of the KV cache.
const TWO_CHUNKS: u32 = 70;

fn tokens(count: u32) -> Vec<u32> {
    (0..count).map(|i| i * 37 % 128).collect()
}

fn same_bits_every_way(gguf: &Gguf, count: u32) {
    same_bits_with(gguf, count, Activations::default());
}

fn same_bits_with(gguf: &Gguf, count: u32, activations: Activations) {
    let tokens = tokens(count);
    let reference = all_logits(&mut session_with(gguf, (Isa::Scalar, 1, 1), activations), &tokens).unwrap();
    for isa in Isa::ALL.into_iter().filter(|isa| isa.available()) {
        for (threads, chunk) in [(1, 70), (2, 7), (3, 64), (4, 1)] {
            let other = all_logits(&mut session_with(gguf, (isa, threads, chunk), activations), &tokens).unwrap();
            assert!(other == reference, "{activations:?} {isa}, {threads} threads, {chunk} tokens at a time");
        }
    }
}

#[test]
fn k_quants_give_the_same_bits_every_way() {
    // The last is large, and needs no second chunk to show what it is for.
    let small = [("tiny", TWO_CHUNKS), ("tiny-hd128", TWO_CHUNKS), ("tiny-tied", 12), ("tiny-gqa7", 9)];
    for (name, count) in small.into_iter().chain([
        ("tiny-llama", 12),
        ("tiny-qwen3", 12),
        ("tiny-qwen3moe", 12),
        ("tiny-phi3", 70),
        ("tiny-gemma3", 110),
    ]) {
        same_bits_every_way(&model(name, Quant::Q4KM), count);
    }
}

#[test]
fn every_quantized_format_gives_the_same_bits_every_way() {
    for quant in <Quant as clap::ValueEnum>::value_variants() {
        same_bits_every_way(&model("tiny", *quant), 9);
    }
    same_bits_every_way(&model("tiny-odd", Quant::Q4KM), 9);
    for quant in [Quant::Q3KS, Quant::Q50, Quant::Iq4Xs, Quant::F16] {
        same_bits_every_way(&model("tiny-qwen3moe", quant), 5);
    }
}

#[test]
fn other_activations_give_the_same_bits_every_way() {
    for activations in [Activations::Q16k, Activations::F32] {
        for (name, quant) in [("tiny", Quant::Q4KM), ("tiny-odd", Quant::Q4KM), ("tiny-qwen3moe", Quant::Q4KM)] {
            same_bits_with(&model(name, quant), 9, activations);
        }
    }
}

#[test]
fn floats_give_the_same_bits_every_way() {
    for quant in [Quant::F32, Quant::F16, Quant::Bf16] {
        same_bits_every_way(&model("tiny", quant), TWO_CHUNKS);
    }
}

#[test]
fn loading_is_told_of_every_byte_that_is_packed() {
    let gguf = model("tiny", Quant::Q4KM);
    let plan = transformer(&Model::load(&gguf).unwrap());
    let limits = Step { tokens: 1, outputs: 1, position: 0, chunks: 1 };
    let weights: usize = gguf.tensors().map(|tensor| tensor.data.len()).sum();
    for isa in Isa::ALL.into_iter().filter(|isa| isa.available()) {
        let told = RefCell::new(Vec::new());
        let loading = |bytes, total| told.borrow_mut().push((bytes, total));
        Cpu::new(&plan, &gguf, Setup { threads: 2, isa, limits }, &loading).unwrap();
        let told = told.into_inner();
        let total = told[0].1;
        assert!(told[0].0 == 0 && told.iter().all(|(_, all)| *all == total), "{isa}: {told:?}");
        assert_eq!(told.iter().map(|(bytes, _)| bytes).sum::<usize>(), total, "{isa}");
        assert!(total <= weights && (isa == Isa::Scalar || 2 * total > weights), "{isa}: {total} of {weights}");
    }
}

#[test]
fn only_the_last_token_gets_logits_in_prefill() {
    let gguf = model("tiny", Quant::Q4KM);
    let all = all_logits(&mut session(&gguf, Isa::best(), 2, 70), &tokens(TWO_CHUNKS)).unwrap();
    let mut session = session(&gguf, Isa::best(), 2, 16);
    for round in 0..2 {
        let last: Vec<u32> = session.prefill(&tokens(TWO_CHUNKS)).unwrap().iter().map(|x| x.to_bits()).collect();
        assert_eq!(last, all[69 * 512..], "round {round}");
        assert_eq!(session.position(), 70);
        session.decode(3).unwrap();
        session.restart(0);
    }
}

#[test]
fn tokens_beyond_the_context_or_the_vocabulary_are_errors() {
    let gguf = model("tiny", Quant::Q4KM);
    let mut session = session(&gguf, Isa::best(), 1, 64);
    session.prefill(&tokens(TWO_CHUNKS)).unwrap();
    let error = session.prefill(&tokens(TWO_CHUNKS)).unwrap_err().to_string();
    assert_eq!(error, "70 tokens at position 70 do not fit into a context of 128 positions");
    for token in [512, u32::MAX] {
        let error = session.decode(token).unwrap_err().to_string();
        assert!(error.contains("token_embd") && error.contains("must be in 0..512"), "{error}");
    }
    assert!(matches!(session.prefill(&[]), Err(ExecError::StepSize { tokens: 0, .. })));
}

#[test]
fn nan_logits_are_an_error_that_names_the_position() {
    const ROW: usize = 256 * 4;
    let mut bytes = model_bytes("tiny", Quant::F32);
    let row = {
        let gguf = Gguf::from_bytes(bytes.clone()).unwrap();
        gguf.tensor("token_embd.weight").unwrap().data[9 * ROW..][..ROW].to_vec()
    };
    let at = bytes.windows(ROW).position(|window| window == row).unwrap();
    bytes[at..at + 4].copy_from_slice(&f32::NAN.to_le_bytes());
    let gguf = Gguf::from_bytes(bytes).unwrap();
    for chunk in [1, 2, 5] {
        let mut session = session(&gguf, Isa::best(), 2, chunk);
        session.prefill(&[1, 2]).unwrap();
        let error = all_logits(&mut session, &[3, 9, 4]).unwrap_err();
        assert!(matches!(error, ExecError::NotANumber { position: 3 }), "{error}");
    }
}
