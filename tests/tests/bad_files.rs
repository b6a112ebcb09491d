//! A small model with a tokenizer, cut and with flipped bits, through the whole load and a forward pass: each is an
//! error or a correct run, and none a panic.
use apr::{
    exec::{
        Session,
        cpu::{Cpu, Setup},
    },
    gguf::{Gguf, Header},
    model::Model,
    plan::{Step, transformer},
    synth::{Options, Quant, Shape, write},
    text::{Special, Tokenizer, Vocabulary},
};
use kernels_gen::Isa;
use std::{panic::catch_unwind, sync::atomic::AtomicBool};

const SHAPE: Shape = Shape {
    name: "least",
    architecture: "qwen2",
    hidden: 256,
    layers: 1,
    heads: 4,
    kv_heads: 2,
    head_dim: 64,
    ffn: 256,
    vocab: 258,
    context: 128,
    tied: true,
    qkv_bias: true,
    head_norms: false,
    rope_base: 1e6,
    rope_factor: None,
    rotated: None,
    long_rope: None,
    window: None,
    post_norms: false,
    fused: false,
    experts: None,
};

/// How byte-level BPE writes each byte.
fn letters() -> Vec<String> {
    let mut moved = 0x100..;
    let letter = |byte: u32| match byte {
        0x21..=0x7e | 0xa1..=0xac | 0xae..=0xff => byte,
        _ => moved.next().unwrap(),
    };
    (0..256).map(letter).map(|c| char::from_u32(c).unwrap().to_string()).collect()
}

/// The model's bytes, and how many of them are the header.
fn model() -> (Vec<u8>, usize) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.gguf");
    let options = Options { seed: 1, layers: None, outliers: false, quant: Quant::Q4KM };
    write(&path, &SHAPE, &options, 1, &AtomicBool::new(false), |_, _| ()).unwrap();
    let weights = Gguf::open(&path).unwrap();

    let mut tokens = letters();
    tokens.extend(["he".into(), "<|end|>".into()]);
    let mut kinds = vec![1i32; tokens.len()];
    kinds[257] = 3;
    let mut header = Header::new();
    header
        .set("general.architecture", "qwen2")
        .set("qwen2.block_count", 1u32)
        .set("qwen2.context_length", SHAPE.context)
        .set("qwen2.embedding_length", SHAPE.hidden)
        .set("qwen2.feed_forward_length", SHAPE.ffn)
        .set("qwen2.attention.head_count", SHAPE.heads)
        .set("qwen2.attention.head_count_kv", SHAPE.kv_heads)
        .set("qwen2.attention.layer_norm_rms_epsilon", 1e-6f32)
        .set("qwen2.rope.freq_base", 1e6f32)
        .set("tokenizer.ggml.model", "gpt2")
        .set("tokenizer.ggml.pre", "qwen2")
        .set("tokenizer.ggml.tokens", tokens)
        .set("tokenizer.ggml.token_type", kinds)
        .set("tokenizer.ggml.merges", &["h e"][..])
        .set("tokenizer.ggml.eos_token_id", 257u32)
        .set("tokenizer.ggml.add_bos_token", false);
    let mut data = 0;
    for tensor in weights.tensors() {
        header.tensor(tensor.name, &tensor.dims, tensor.ty);
        data += tensor.data.len().next_multiple_of(32);
    }
    let bytes = header.to_bytes(weights.tensors().map(|tensor| tensor.data)).unwrap();
    let head = bytes.len() - data;
    (bytes, head)
}

/// Loads a file and feeds two tokens; the logits, or what is wrong.
fn whole(bytes: Vec<u8>) -> Result<Vec<f32>, String> {
    let file = Gguf::from_bytes(bytes).map_err(|error| error.to_string())?;
    let model = Model::load(&file).map_err(|error| error.to_string())?;
    let vocabulary = Vocabulary::read(file.metadata()).map_err(|error| error.to_string())?;
    let tokenizer = Tokenizer::new(vocabulary).map_err(|error| error.to_string())?;
    let mut tokens = tokenizer.encode("hey", Special::Parse).map_err(|error| error.to_string())?;
    tokens.truncate(2);
    let setup = Setup { threads: 1, isa: Isa::best(), limits: Step { tokens: 2, outputs: 1, position: 0, chunks: 1 } };
    let cpu = Cpu::new(&transformer(&model), &file, setup, &|_, _| ()).map_err(|error| error.to_string())?;
    let mut session = Session::new(Box::new(cpu));
    let logits = session.prefill(&tokens).map_err(|error| error.to_string())?;
    assert!(logits.len() == model.config.vocab && !logits.iter().any(|x| x.is_nan()), "a run that is not correct");
    Ok(logits.to_vec())
}

#[test]
fn every_cut_is_an_error() {
    let (bytes, _) = model();
    whole(bytes.clone()).unwrap();
    for len in (0..bytes.len()).step_by(64).chain([bytes.len() - 1]) {
        let error = whole(bytes[..len].to_vec()).expect_err("a cut file was taken");
        assert!(!error.is_empty());
    }
}

#[test]
fn every_header_byte_with_one_bit_flipped_is_an_error_or_a_run() {
    let (bytes, head) = model();
    let (mut ran, mut failed) = (0, 0);
    for at in 0..head {
        let mut flipped = bytes.clone();
        // Each bit in its turn, so that low and high ones are hit in every kind of field.
        flipped[at] ^= 1 << (at % 8);
        match catch_unwind(|| whole(flipped)) {
            Ok(Ok(_)) => ran += 1,
            Ok(Err(error)) => {
                assert!(!error.trim().is_empty());
                failed += 1;
            }
            Err(_) => panic!("byte {at} of the header with bit {} flipped: a panic", at % 8),
        }
    }
    println!("{head} bytes: {ran} ran, {failed} were refused");
    assert!(ran > 0 && failed > 500, "{ran} ran, {failed} were refused");
}
