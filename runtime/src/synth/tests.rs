//! Synthetic models: reproducible, readable, of the announced mixture and distribution.

use std::sync::atomic::AtomicBool;

use half::f16;

use super::*;
use crate::gguf::{Gguf, Tensor, TensorType};
use crate::model::Model;

const OPTIONS: Options = Options { seed: 7, layers: None, outliers: false, quant: Quant::Q4KM };

fn bytes(name: &str, options: &Options, threads: usize) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.gguf");
    write(&path, shape(name).unwrap(), options, threads, &AtomicBool::new(false), |_, _| ()).unwrap();
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    std::fs::read(path).unwrap()
}

#[test]
fn a_seed_means_the_same_file_for_every_thread_count() {
    let one = bytes("tiny-hd128", &OPTIONS, 1);
    assert_eq!(one, bytes("tiny-hd128", &OPTIONS, 5));
    assert_ne!(one, bytes("tiny-hd128", &Options { seed: 8, ..OPTIONS }, 1));
    // FNV-1a over the whole file pins the generator: it must not drift.
    let hash = one.iter().fold(0xcbf2_9ce4_8422_2325u64, |h, &b| (h ^ u64::from(b)).wrapping_mul(0x100_0000_01b3));
    assert_eq!(hash, 2_091_869_724_451_113_458);
}

#[test]
fn every_small_shape_and_quantization_is_a_model() {
    for small in SHAPES.iter().filter(|shape| shape.name.starts_with("tiny")) {
        for quant in <Quant as clap::ValueEnum>::value_variants().iter().copied() {
            for outliers in [false, true] {
                let gguf = Gguf::from_bytes(bytes(small.name, &Options { quant, outliers, ..OPTIONS }, 2)).unwrap();
                let model = Model::load(&gguf).unwrap();
                model.check_values(2).unwrap();
                assert_eq!(model.config.tied_output, small.tied);
                assert_eq!(model.config.n_layers as u32, small.layers);
            }
        }
    }
}

/// The weights by the public definition of the formats.
fn dequantize(tensor: &Tensor<'_>) -> Vec<f64> {
    let half = |b: &[u8]| f16::from_le_bytes([b[0], b[1]]).to_f64();
    let mut out = Vec::new();
    for b in tensor.data.chunks_exact(tensor.ty.block_bytes() as usize) {
        match tensor.ty {
            TensorType::Q4_K => (0..256).for_each(|i| {
                let (j, s) = (i / 32, &b[4..16]);
                let (scale, min) = match j {
                    0..4 => (s[j] & 63, s[j + 4] & 63),
                    _ => ((s[j + 4] & 15) | (s[j - 4] >> 6) << 4, (s[j + 4] >> 4) | (s[j] >> 6) << 4),
                };
                let q = (b[16 + 32 * (i / 64) + i % 32] >> (4 * (j % 2))) & 15;
                out.push(half(b) * f64::from(scale) * f64::from(q) - half(&b[2..]) * f64::from(min));
            }),
            TensorType::Q6_K => (0..256).for_each(|i| {
                let (h, r) = (i / 128, i % 128);
                let low = (b[64 * h + r % 64] >> (4 * (r / 64))) & 15;
                let high = (b[128 + 32 * h + r % 32] >> (2 * (r / 32))) & 3;
                let scale = f64::from(b[192 + i / 16] as i8);
                out.push(half(&b[208..]) * scale * (f64::from(low | high << 4) - 32.0));
            }),
            TensorType::F16 => out.push(half(b)),
            TensorType::BF16 => out.push(half::bf16::from_le_bytes([b[0], b[1]]).to_f64()),
            _ => out.push(f64::from(f32::from_le_bytes([b[0], b[1], b[2], b[3]]))),
        }
    }
    out
}

#[test]
fn weights_have_mean_0_and_the_deviation_of_their_row() {
    for quant in [Quant::Q4KM, Quant::F16, Quant::Bf16, Quant::F32] {
        let gguf = Gguf::from_bytes(bytes("tiny-hd128", &Options { quant, ..OPTIONS }, 2)).unwrap();
        for tensor in gguf.tensors().filter(|tensor| tensor.dims.len() == 2) {
            let values = dequantize(&tensor);
            let (n, row) = (values.len() as f64, tensor.dims[0] as f64);
            let mean = values.iter().sum::<f64>() / n;
            let std = (values.iter().map(|v| v * v).sum::<f64>() / n).sqrt() * row.sqrt();
            assert!((std - 1.0).abs() < 0.03, "{} {}: {std}", tensor.name, tensor.ty);
            assert!((mean * row.sqrt()).abs() < 0.02, "{} {}: {mean}", tensor.name, tensor.ty);
        }
    }
}

#[test]
fn outliers_are_in_the_same_channels_of_every_norm() {
    let gguf = Gguf::from_bytes(bytes("tiny-gqa7", &Options { outliers: true, ..OPTIONS }, 2)).unwrap();
    let large = |name: &str| {
        let values = dequantize(&gguf.tensor(name).unwrap());
        (0..values.len()).filter(|&i| values[i] > 20.0).collect::<Vec<_>>()
    };
    assert_eq!(large("blk.0.attn_norm.weight").len(), 4);
    assert_eq!(large("blk.0.attn_norm.weight"), large("output_norm.weight"));
    let bias = dequantize(&gguf.tensor("blk.0.attn_k.bias").unwrap());
    assert_eq!(bias.iter().filter(|v| v.abs() == 6.5).count(), bias.len() / 32);
}

#[test]
fn the_7b_shape_has_the_tensors_and_the_mixture_of_the_real_file() {
    let header = header(shape("qwen2.5-7b").unwrap(), &OPTIONS);
    let count = |ty| header.tensors().iter().filter(|tensor| tensor.ty == ty).count();
    assert_eq!(header.tensors().len(), 339);
    assert_eq!([count(TensorType::Q4_K), count(TensorType::Q6_K), count(TensorType::F32)], [169, 29, 141]);
    let bytes: u64 = header.tensors().iter().map(|tensor| tensor.bytes().unwrap()).sum();
    // The tensors of the published Q4_K_M file.
    assert_eq!(bytes, 4_677_120_000);
}

#[test]
fn stopping_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.gguf");
    let result = write(&path, shape("tiny").unwrap(), &OPTIONS, 1, &AtomicBool::new(true), |_, _| ());
    assert!(matches!(result, Err(SynthError::Interrupted)));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}
