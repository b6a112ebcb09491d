//! Well-formed files that are no model that runs: each is an error that names the key or the tensor.

mod gguf_support;

use apr::gguf::{Fault, Gguf, MetaValue, TensorType};
use apr::model::Model;
use apr::synth::{Options, Quant, Shape, header, shape};
use gguf_support::{Tiny, load, refused, sample_bytes};

/// The sample with another value of a key.
#[track_caller]
fn refused_value(key: &str, value: impl Into<MetaValue>) {
    refused(Tiny::default().with(key, Some(value.into())), Fault::Metadata, key);
}

#[test]
fn row_18_layers() {
    for count in [0, 513, u32::MAX] {
        refused_value("qwen2.block_count", count);
    }
    refused_value("qwen2.block_count", "2");
    refused_value("qwen2.block_count", vec![2u32]);
    refused(Tiny::default().with("qwen2.block_count", None), Fault::Metadata, "qwen2.block_count");
    refused(Tiny::default().with("qwen2.block_count", Some(512u32.into())), Fault::Tensor, "512 layers");
    refused(Tiny::default().with("qwen2.block_count", Some(1u32.into())), Fault::Tensor, "blk.1.");
}

#[test]
fn rows_19_to_21_sizes_of_the_model() {
    refused_value("qwen2.attention.head_count", 0u32);
    refused_value("qwen2.attention.head_count", vec![4u32, 4]);
    for heads in [0, 3, u32::MAX] {
        refused_value("qwen2.attention.head_count_kv", heads);
    }
    refused_value("qwen2.attention.head_count_kv", vec![2u32]);
    refused_value("qwen2.attention.value_length", 128u32);
    for dims in [63, 32, 128] {
        refused_value("qwen2.rope.dimension_count", dims);
    }
    refused(
        Tiny::default().with("qwen2.attention.key_length", Some(80u32.into())),
        Fault::Unsupported,
        "head size of 80",
    );
    refused_value("qwen2.embedding_length", 0u32);
    refused(Tiny::default().with("qwen2.embedding_length", Some(512u32.into())), Fault::Tensor, "token_embd.weight");
    refused(Tiny::default().with("qwen2.feed_forward_length", Some(512u32.into())), Fault::Tensor, "ffn_gate");
    refused(Tiny::default().with("qwen2.expert_count", Some(8u32.into())), Fault::Unsupported, "qwen2.expert_count");
    for eps in [f32::NAN, f32::INFINITY, -1e-6, 0.0] {
        refused_value("qwen2.attention.layer_norm_rms_epsilon", eps);
    }
    for base in [f32::NAN, f32::INFINITY, 0.0, -1e6] {
        refused_value("qwen2.rope.freq_base", base);
    }
    for context in [0, 1 << 63, u64::MAX] {
        refused_value("qwen2.context_length", context);
    }
}

#[test]
fn row_26_vocabulary_and_tensors() {
    refused_value("qwen2.vocab_size", 33u32);
    refused_value("tokenizer.ggml.tokens", vec!["a"; 31]);
    for name in ["token_embd.weight", "output_norm.weight", "blk.1.attn_v.bias", "blk.0.ffn_down.weight"] {
        refused(Tiny::default().without(name), Fault::Tensor, name);
    }
    load(&Tiny::default().without("output.weight")).expect("a model without an output matrix is tied");
    refused(Tiny { matrix: TensorType::IQ2_XS, ..Tiny::default() }.file(), Fault::Unsupported, "IQ2_XS");
    refused(Tiny { vector: TensorType::F16, ..Tiny::default() }.file(), Fault::Unsupported, "F16");
    for matrix in [TensorType::Q4_K, TensorType::IQ4_NL, TensorType::F16, TensorType::BF16, TensorType::F32] {
        load(&Tiny { matrix, ..Tiny::default() }.file()).unwrap();
    }
}

#[test]
fn what_is_no_supported_model_is_refused() {
    let other = |key: &str, value: MetaValue| Tiny::default().with(key, Some(value));
    refused(other("general.architecture", "mamba\u{1b}".into()), Fault::Unsupported, "mamba\\u{1b}");
    refused(other("general.architecture", 1u32.into()), Fault::Metadata, "general.architecture");
    refused(Tiny::default().with("general.architecture", None), Fault::Metadata, "general.architecture");
    refused(other("general.type", "adapter".into()), Fault::Unsupported, "adapter");
    refused(other("split.count", 3u16.into()), Fault::Unsupported, "split.count");
    refused(other("general.quantization_version", 1u32.into()), Fault::Unsupported, "general.quantization_version");
    refused(other("qwen2.rope.scaling.type", "yarn".into()), Fault::Unsupported, "qwen2.rope.scaling.type");
    refused(other("qwen2.rope.scaling.factor", f32::NAN.into()), Fault::Metadata, "qwen2.rope.scaling.factor");
    refused(other("qwen2.attention.sliding_window", 64u32.into()), Fault::Unsupported, "sliding_window");
    load(&other("qwen2.rope.scaling.factor", 4.0f32.into())).expect("linear scaling is supported");
    load(&other("qwen2.attention.sliding_window", 128u32.into())).expect("the window is the whole context");
}

#[test]
fn row_29_weights_that_are_not_finite() {
    let scale_at = |ty| match ty {
        TensorType::Q6_K => vec![208],
        TensorType::Q4_K | TensorType::Q5_1 => vec![0, 2],
        _ => vec![0],
    };
    for ty in [
        TensorType::Q4_K,
        TensorType::Q6_K,
        TensorType::Q5_1,
        TensorType::Q8_0,
        TensorType::F16,
        TensorType::BF16,
        TensorType::F32,
    ] {
        let bad: &[&[u8]] = match ty {
            TensorType::F32 => &[&[0, 0, 0x80, 0x7f], &[1, 0, 0x80, 0xff]],
            TensorType::BF16 => &[&[0x80, 0x7f], &[0xc0, 0xff]],
            _ => &[&[0, 0x7c], &[0, 0x7e], &[0, 0xfc]],
        };
        let block = ty.block_bytes() as usize;
        for (at, value) in scale_at(ty).iter().flat_map(|at| bad.iter().map(move |value| (at, value))) {
            // The last tensor is the last thing in the file: its last block is the file's.
            let mut file = Tiny { matrix: ty, ..Tiny::default() }.file();
            let start = file.len() - block + at;
            file[start..start + value.len()].copy_from_slice(value);
            refused(file, Fault::Tensor, "output.weight");
        }
    }
    let mut file = sample_bytes();
    let norm = Tiny::default().data_start("output_norm.weight");
    file[norm..norm + 4].copy_from_slice(&f32::NAN.to_le_bytes());
    refused(file, Fault::Tensor, "output_norm.weight");
}

#[test]
fn rows_need_be_no_multiple_of_256() {
    for matrix in [TensorType::F16, TensorType::Q8_0] {
        load(&Tiny { hidden: 320, heads: 5, matrix, ..Tiny::default() }.file()).unwrap();
    }
}

/// A file of this shape, with zeros for data.
fn zeros(shape: Shape) -> Vec<u8> {
    let options = Options { seed: 1, layers: None, outliers: false, quant: Quant::F32 };
    Tiny::default().bytes(&header(&shape, &options))
}

#[test]
fn fused_tensors_and_parts_of_heads_are_phi3s() {
    let phi3 = Shape { long_rope: None, ..*shape("tiny-phi3").unwrap() };
    load(&zeros(phi3)).unwrap();
    load(&zeros(Shape { rotated: None, window: Some(10), ..phi3 })).expect("the window is not applied");
    refused(zeros(Shape { fused: false, ..phi3 }), Fault::Tensor, "attn_qkv");
    refused(zeros(Shape { rotated: Some(71), ..phi3 }), Fault::Metadata, "phi3.rope.dimension_count");
    refused(zeros(Shape { long_rope: Some(64), ..phi3 }), Fault::Tensor, "rope_factors_short");
    let other = Shape { architecture: "qwen3", head_norms: true, window: None, ..phi3 };
    refused(zeros(other), Fault::Metadata, "qwen3.rope.dimension_count");
    refused(zeros(Shape { rotated: None, ..other }), Fault::Tensor, "blk.0");
}

#[test]
fn local_layers_are_gemma3s() {
    let gemma = *shape("tiny-gemma3").unwrap();
    let gguf = Gguf::from_bytes(zeros(gemma)).unwrap();
    let local = Model::load(&gguf).unwrap().config.local.unwrap();
    let layers: Vec<bool> = (0..7).map(|layer| local.has(layer)).collect();
    assert_eq!((local.window, &layers[..]), (40, &[true, true, true, true, true, false, true][..]));
    refused(zeros(Shape { window: None, ..gemma }), Fault::Metadata, "gemma3.attention.sliding_window");
    refused(zeros(Shape { post_norms: false, ..gemma }), Fault::Tensor, "post_attention_norm");
    let bounded = Tiny::default().with("qwen2.final_logit_softcapping", Some(30.0f32.into()));
    refused(bounded, Fault::Unsupported, "qwen2.final_logit_softcapping");
}
