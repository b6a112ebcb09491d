//! What a model file means: its configuration and its weights by their role, checked against each other.

mod config;
mod finite;
mod gemma3;
mod llama;
mod local;
mod phi3;
mod qwen2;
mod qwen3;
mod qwen3moe;
mod rope;
mod types;
mod weights;

pub use config::{Config, Experts, Gate};
pub use finite::check_finite;
pub use local::Local;
pub use rope::{Factors, Rope, RopeLayout};
pub use types::{instance, operand};
pub use weights::{FeedForward, LayerWeights, Weights};

use crate::gguf::{Gguf, ModelError, Tensor, shown};

/// The key of the architecture's name, which is also the prefix of the architecture's own keys.
pub const ARCHITECTURE_KEY: &str = "general.architecture";

/// The architectures that run, by their names in a file.
pub const ARCHITECTURES: &[&str] = &["gemma3", "llama", "phi3", "qwen2", "qwen3", "qwen3moe"];

/// A model in an open file.
#[derive(Debug)]
pub struct Model<'a> {
    /// Its sizes and constants.
    pub config: Config,
    /// Its tensors by role.
    pub weights: Weights<'a>,
}

impl<'a> Model<'a> {
    /// Reads the configuration and finds every tensor; each has the type and the shape that the configuration asks for,
    /// and there are no others. The values of matrices are not looked at, which would
    /// read the whole file: see [`Model::check_values`].
    pub fn load(gguf: &'a Gguf) -> Result<Self, ModelError> {
        check_general(gguf)?;
        let config = match gguf.metadata().str(ARCHITECTURE_KEY)? {
            "gemma3" => gemma3::config(gguf)?,
            "llama" => llama::config(gguf)?,
            "phi3" => phi3::config(gguf)?,
            "qwen2" => qwen2::config(gguf)?,
            "qwen3" => qwen3::config(gguf)?,
            "qwen3moe" => qwen3moe::config(gguf)?,
            other => {
                return Err(ModelError::unsupported(
                    format!("the architecture `{}` is not supported", shown(other)),
                    format!("supported architectures: {}", ARCHITECTURES.join(", ")),
                ));
            }
        };
        let weights = Weights::bind(gguf, &config)?;
        Ok(Self { config, weights })
    }

    /// Checks that no weight or block scale is a NaN or an infinity. It reads the whole file, with `threads` threads.
    pub fn check_values(&self, threads: usize) -> Result<(), ModelError> {
        let mut tensors: Vec<Tensor<'a>> = self.weights.tensors().collect();
        tensors.sort_by_key(|tensor| std::cmp::Reverse(tensor.data.len()));
        let next = std::sync::atomic::AtomicUsize::new(0);
        let work = || -> Result<(), ModelError> {
            loop {
                let index = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                match tensors.get(index) {
                    Some(tensor) => check_finite(tensor)?,
                    None => return Ok(()),
                }
            }
        };
        std::thread::scope(|scope| {
            let workers: Vec<_> = (0..threads.max(1)).map(|_| scope.spawn(work)).collect();
            workers
                .into_iter()
                .try_for_each(|worker| worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
        })
    }
}

/// Refuses what is no whole model in this file, whatever its architecture.
fn check_general(gguf: &Gguf) -> Result<(), ModelError> {
    let metadata = gguf.metadata();
    if let Some(kind) = metadata.opt_str("general.type")?
        && kind != "model"
    {
        return Err(ModelError::unsupported(
            format!("the file is of type `{}`, not a model", shown(kind)),
            "give the file of the model itself",
        ));
    }
    if let Some(count) = metadata.opt_u64("split.count")?
        && count > 1
    {
        return Err(ModelError::unsupported(
            format!("the model is split into {count} files (`split.count`)"),
            "merge the parts into one file first (llama-gguf-split --merge)",
        ));
    }
    if let Some(version) = metadata.opt_u64("general.quantization_version")?
        && version != 2
    {
        return Err(ModelError::unsupported(
            format!("version {version} of the quantized formats (`general.quantization_version`)"),
            "version 2 is supported; quantize the model again",
        ));
    }
    Ok(())
}
