//! Synthetic models: the shapes of real ones, with random weights that keep activations in range.

mod fill;
pub(crate) mod random;

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

pub use gguf::{Quant, SHAPES, Shape, shape};

use crate::gguf::{Header, MetaValue, WriteError, Writer};
use random::Stream;

/// Bytes made at a time, by all threads together.
const CHUNK: usize = 16 << 20;

/// What to write.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// The same seed and shape give the same file on every host.
    pub seed: u64,
    /// Layers, if not the shape's own number.
    pub layers: Option<u32>,
    /// Whether a few channels of the norms, and of the Q, K and V biases, are 26 times as large as the rest,
    /// as in trained models.
    pub outliers: bool,
    /// How matrices are stored.
    pub quant: Quant,
}

/// Why a synthetic model was not written.
#[derive(Debug, thiserror::Error)]
pub enum SynthError {
    /// Writing failed.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// The caller asked to stop; nothing was left behind.
    #[error("interrupted; no file was written")]
    Interrupted,
    /// There is no shape of this name.
    #[error("there is no shape `{0}`")]
    UnknownShape(String),
    /// Interrupts cannot be caught.
    #[error("cannot catch interrupts: {0}")]
    Handler(#[from] ctrlc::Error),
}

/// The header of a synthetic model: its metadata and tensors in file order, no tokenizer.
pub fn header(shape: &Shape, options: &Options) -> Header {
    let layers = options.layers.unwrap_or(shape.layers);
    let mut header = Header::new();
    header.set("general.architecture", shape.architecture);
    header.set("general.name", format!("synthetic {}", shape.name));
    header.set("general.file_type", options.quant.file_type());
    header.set("general.quantization_version", 2u32);
    let mut set = |key: &str, value: MetaValue| {
        header.set(&format!("{}.{key}", shape.architecture), value);
    };
    set("block_count", layers.into());
    set("context_length", shape.context.into());
    set("embedding_length", shape.hidden.into());
    set("feed_forward_length", shape.ffn.into());
    set("attention.head_count", shape.heads.into());
    set("attention.head_count_kv", shape.kv_heads.into());
    set("attention.key_length", shape.head_dim.into());
    set("attention.value_length", shape.head_dim.into());
    set("attention.layer_norm_rms_epsilon", 1e-6f32.into());
    set("rope.freq_base", shape.rope_base.into());
    set("rope.dimension_count", shape.rotated().into());
    if let Some(positions) = shape.long_rope {
        set("rope.scaling.original_context_length", positions.into());
        set("rope.scaling.attn_factor", fill::attention_factor(shape, positions).into());
    }
    if let Some(window) = shape.window {
        set("attention.sliding_window", window.into());
    }
    set("vocab_size", shape.vocab.into());
    if let Some((count, used)) = shape.experts {
        set("expert_count", count.into());
        set("expert_used_count", used.into());
        set("expert_feed_forward_length", shape.ffn.into());
    }
    header.set("tokenizer.ggml.model", "none");
    for (name, dims, ty) in shape.tensors(layers, options.quant) {
        header.tensor(&name, &dims, ty);
    }
    header
}

/// Writes a synthetic model with `threads` threads and returns the size of the file. `progress` is told the bytes done and the bytes in all; raising
/// `stop` ends it soon, with nothing left behind.
pub fn write(
    path: &Path,
    shape: &Shape,
    options: &Options,
    threads: usize,
    stop: &AtomicBool,
    progress: impl Fn(u64, u64),
) -> Result<u64, SynthError> {
    let header = header(shape, options);
    let mut writer = Writer::create(path, &header)?;
    let (mut done, total) = (0, writer.file_bytes());
    let mut buffer = vec![0; CHUNK];
    for spec in header.tensors() {
        let plan = fill::Plan::new(spec, shape, options);
        let stream = Stream::new(options.seed, &spec.name);
        let (size, unit) = (spec.bytes().map_err(WriteError::from)?, plan.unit());
        let chunk = CHUNK - CHUNK % unit;
        let mut at = 0;
        while at < size {
            if stop.load(Ordering::Relaxed) {
                return Err(SynthError::Interrupted);
            }
            let part = &mut buffer[..chunk.min((size - at) as usize)];
            fill_parallel(&plan, &stream, at / unit as u64, part, threads);
            writer.append(part)?;
            at += part.len() as u64;
            done += part.len() as u64;
            progress(done, total);
        }
    }
    writer.finish()?;
    Ok(total)
}

/// Fills whole blocks, the first of which has the index `first` in its tensor.
fn fill_parallel(plan: &fill::Plan, stream: &Stream, first: u64, out: &mut [u8], threads: usize) {
    let unit = plan.unit();
    let blocks = (out.len() / unit).div_ceil(threads.max(1)).max(1);
    std::thread::scope(|scope| {
        for (index, part) in out.chunks_mut(blocks * unit).enumerate() {
            scope.spawn(move || {
                for (offset, block) in part.chunks_exact_mut(unit).enumerate() {
                    plan.fill(stream, first + (index * blocks + offset) as u64, block);
                }
            });
        }
    });
}

#[cfg(test)]
mod tests;
