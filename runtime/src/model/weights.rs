//! A decoder's tensors by role, each found by name and checked for type and shape.

use super::{
    Config, Experts, Factors, check_finite,
    rope::{LONG_FACTORS, ROPE_FACTORS, SHORT_FACTORS},
    types,
};
use crate::gguf::{Gguf, ModelError, Tensor, TensorType, shown};

/// Rows of an expert are whole tiles of at most so many that lie side by side in memory.
const SIDE_BY_SIDE: usize = 16;

/// All tensors of a model. Dimensions are in ggml's order: a matrix of n rows of k elements has dims `[k, n]`.
#[derive(Clone, Debug)]
pub struct Weights<'a> {
    /// `[hidden, vocab]`.
    pub token_embd: Tensor<'a>,
    /// The blocks in order.
    pub layers: Vec<LayerWeights<'a>>,
    /// `[hidden]`, f32.
    pub output_norm: Tensor<'a>,
    /// `[rope.dims / 2]` each, f32: what the frequencies of the rotation are divided by, in files that say so; of two, the first is for
    /// short and the second for long contexts.
    pub rope_factors: Vec<Tensor<'a>>,
    /// `[hidden, vocab]`; the token embedding if the model is tied.
    pub output: Tensor<'a>,
}

/// The tensors of one block.
#[derive(Clone, Debug)]
pub struct LayerWeights<'a> {
    /// `[hidden]`, f32.
    pub attn_norm: Tensor<'a>,
    /// `[hidden, q_rows]`.
    pub attn_q: Tensor<'a>,
    /// `[hidden, kv_rows]`.
    pub attn_k: Tensor<'a>,
    /// `[hidden, kv_rows]`.
    pub attn_v: Tensor<'a>,
    /// The biases of Q `[q_rows]`, K and V `[kv_rows]`, f32, in architectures that have them.
    pub qkv_bias: Option<[Tensor<'a>; 3]>,
    /// The norms of a head of Q and of K, `[head_dim]` each, f32, in architectures that have them.
    pub head_norms: Option<[Tensor<'a>; 2]>,
    /// `[q_rows, hidden]`.
    pub attn_output: Tensor<'a>,
    /// The norms of what attention and the feed-forward network give, `[hidden]` each, f32, in architectures that have them.
    pub post_norms: Option<[Tensor<'a>; 2]>,
    /// `[hidden]`, f32.
    pub ffn_norm: Tensor<'a>,
    /// What comes after attention.
    pub ffn: FeedForward<'a>,
}

/// The matrices of a gated feed-forward network, or of experts that are such networks.
#[derive(Clone, Debug)]
pub struct FeedForward<'a> {
    /// `[hidden, experts]`, which tells the experts of a token; none in a dense model.
    pub router: Option<Tensor<'a>>,
    /// `[hidden, ffn]`, in a mixture one for each expert: `[hidden, ffn, experts]`.
    pub gate: Tensor<'a>,
    /// The same.
    pub up: Tensor<'a>,
    /// `[ffn, hidden]`, in a mixture `[ffn, hidden, experts]`.
    pub down: Tensor<'a>,
}

impl<'a> Weights<'a> {
    pub(super) fn bind(gguf: &'a Gguf, config: &Config) -> Result<Self, ModelError> {
        // Refused before the layers are walked: a file of few tensors may claim many layers.
        let least = config.n_layers * if config.fused { 6 } else { 9 };
        if gguf.tensors().len() < least {
            return Err(ModelError::tensor(
                &format!("blk.{}.attn_norm.weight", config.n_layers - 1),
                format!(
                    "{} layers need at least {least} tensors, but the file has {}",
                    config.n_layers,
                    gguf.tensors().len()
                ),
            ));
        }
        let token_embd = matrix(gguf, "token_embd.weight", &[config.hidden, config.vocab])?;
        let output = match config.tied_output {
            true => token_embd,
            false => matrix(gguf, "output.weight", &[config.hidden, config.vocab])?,
        };
        let rope_factors: &[&str] = match config.rope.factors {
            Factors::None => &[],
            Factors::Fixed => &[ROPE_FACTORS],
            Factors::ByContext(_) => &[SHORT_FACTORS, LONG_FACTORS],
        };
        let factors = |name: &&str| rope_factors_of(gguf, name, config.rope.dims);
        let weights = Self {
            token_embd,
            rope_factors: rope_factors.iter().map(factors).collect::<Result<_, _>>()?,
            layers: (0..config.n_layers).map(|i| LayerWeights::bind(gguf, config, i)).collect::<Result<_, _>>()?,
            output_norm: vector(gguf, "output_norm.weight", config.hidden)?,
            output,
        };
        weights.refuse_others(gguf, config)?;
        Ok(weights)
    }

    /// Each tensor once, or each of its parts; a tied output is the embedding and not given again.
    pub fn tensors(&self) -> impl Iterator<Item = Tensor<'a>> {
        let tied = self.output.name == self.token_embd.name;
        let layers = self.layers.iter().flat_map(LayerWeights::tensors);
        let output = (!tied).then_some(self.output);
        [self.token_embd, self.output_norm]
            .into_iter()
            .chain(self.rope_factors.iter().copied())
            .chain(output)
            .chain(layers)
    }

    /// A tensor that no role asks for would be left out of the computation in silence.
    fn refuse_others(&self, gguf: &Gguf, config: &Config) -> Result<(), ModelError> {
        let mut known: Vec<&str> = self.tensors().map(|tensor| tensor.name).collect();
        known.sort_unstable();
        known.dedup();
        if known.len() == gguf.tensors().len() {
            return Ok(());
        }
        match gguf.tensors().find(|tensor| known.binary_search(&tensor.name).is_err()) {
            Some(extra) => Err(ModelError::tensor(
                extra.name,
                format!(
                    "a model of architecture `{}` with {} layers has no such tensor",
                    config.architecture, config.n_layers
                ),
            )),
            None => Ok(()),
        }
    }
}

impl<'a> LayerWeights<'a> {
    fn bind(gguf: &'a Gguf, config: &Config, layer: usize) -> Result<Self, ModelError> {
        let hidden = config.hidden;
        let (q_rows, kv_rows) = (config.q_rows(), config.kv_rows());
        let matrix = |role: &str, k, n| matrix(gguf, &format!("blk.{layer}.{role}.weight"), &[k, n]);
        let [attn_q, attn_k, attn_v] = match config.fused {
            true => parts(matrix("attn_qkv", hidden, q_rows + 2 * kv_rows)?, [q_rows, kv_rows, kv_rows])?,
            false => {
                let each = |role, rows| matrix(role, hidden, rows);
                [each("attn_q", q_rows)?, each("attn_k", kv_rows)?, each("attn_v", kv_rows)?]
            }
        };
        let norm = |role: &str, n| vector(gguf, &format!("blk.{layer}.{role}.weight"), n);
        let bias = |role: &str, n| vector(gguf, &format!("blk.{layer}.{role}.bias"), n);
        let qkv_bias = match config.qkv_bias {
            true => Some([bias("attn_q", q_rows)?, bias("attn_k", kv_rows)?, bias("attn_v", kv_rows)?]),
            false => None,
        };
        let head_norms = match config.head_norms {
            true => Some([norm("attn_q_norm", config.head_dim)?, norm("attn_k_norm", config.head_dim)?]),
            false => None,
        };
        let post_norms = match config.post_norms {
            true => Some([norm("post_attention_norm", hidden)?, norm("post_ffw_norm", hidden)?]),
            false => None,
        };
        Ok(Self {
            attn_norm: norm("attn_norm", hidden)?,
            attn_q,
            attn_k,
            attn_v,
            qkv_bias,
            head_norms,
            attn_output: matrix("attn_output", q_rows, hidden)?,
            post_norms,
            ffn_norm: norm("ffn_norm", hidden)?,
            ffn: FeedForward::bind(gguf, config, layer)?,
        })
    }

    fn tensors(&self) -> impl Iterator<Item = Tensor<'a>> {
        let attention = [self.attn_norm, self.attn_q, self.attn_k, self.attn_v, self.attn_output];
        let ffn = [self.ffn_norm, self.ffn.gate, self.ffn.up, self.ffn.down].into_iter().chain(self.ffn.router);
        let pairs = [self.head_norms, self.post_norms].into_iter().flatten().flatten();
        let more = self.qkv_bias.into_iter().flatten().chain(pairs);
        attention.into_iter().chain(more).chain(ffn)
    }
}

impl<'a> FeedForward<'a> {
    fn bind(gguf: &'a Gguf, config: &Config, layer: usize) -> Result<Self, ModelError> {
        let &Config { hidden, ffn, experts, .. } = config;
        let named = |role: &str, dims: &[usize]| matrix(gguf, &format!("blk.{layer}.{role}.weight"), dims);
        let Some(Experts { count, .. }) = experts else {
            let [gate, up] = match config.fused {
                true => parts(named("ffn_up", &[hidden, 2 * ffn])?, [ffn, ffn])?,
                false => [named("ffn_gate", &[hidden, ffn])?, named("ffn_up", &[hidden, ffn])?],
            };
            return Ok(Self { router: None, gate, up, down: named("ffn_down", &[ffn, hidden])? });
        };
        let each = |role: &str, k: usize, n: usize| {
            let tensor = named(role, &[k, n, count])?;
            match n.is_multiple_of(SIDE_BY_SIDE) {
                true => Ok(tensor),
                false => Err(ModelError::unsupported(
                    format!(
                        "an expert of `{}` has {n} rows, which is no multiple of {SIDE_BY_SIDE}",
                        shown(tensor.name)
                    ),
                    "such mixtures of experts are not supported",
                )),
            }
        };
        Ok(Self {
            router: Some(named("ffn_gate_inp", &[hidden, count])?),
            gate: each("ffn_gate_exps", hidden, ffn)?,
            up: each("ffn_up_exps", hidden, ffn)?,
            down: each("ffn_down_exps", ffn, hidden)?,
        })
    }
}

fn find<'a>(gguf: &'a Gguf, name: &str, dims: &[usize]) -> Result<Tensor<'a>, ModelError> {
    let tensor = gguf.tensor(name).ok_or_else(|| ModelError::tensor(name, "the tensor is missing"))?;
    let same = tensor.dims.iter().map(|&d| d as usize).eq(dims.iter().copied());
    match same {
        true => Ok(tensor),
        false => {
            Err(ModelError::tensor(name, format!("dimensions {:?}, but the metadata ask for {dims:?}", tensor.dims)))
        }
    }
}

/// A matrix of these dimensions, or one for each expert.
fn matrix<'a>(gguf: &'a Gguf, name: &str, dims: &[usize]) -> Result<Tensor<'a>, ModelError> {
    let tensor = find(gguf, name, dims)?;
    if types::product(tensor.ty).is_none() {
        return Err(ModelError::unsupported(
            format!("tensor `{}` has type {}, which is not supported", shown(name), tensor.ty),
            format!("supported types: {}", types::names()),
        ));
    }
    Ok(tensor)
}

/// A matrix whose rows are those of several, one after the other.
fn parts<const N: usize>(whole: Tensor<'_>, rows: [usize; N]) -> Result<[Tensor<'_>; N], ModelError> {
    let mut found = [whole; N];
    let mut first = 0;
    for (part, rows) in found.iter_mut().zip(rows) {
        let end = first + rows as u64;
        let missing = || ModelError::tensor(whole.name, format!("there are no rows {first} to {end}"));
        *part = whole.part((first, end)).ok_or_else(missing)?;
        first = end;
    }
    Ok(found)
}

/// Factors of the rotation's frequencies: each is divided by.
fn rope_factors_of<'a>(gguf: &'a Gguf, name: &str, dims: usize) -> Result<Tensor<'a>, ModelError> {
    let tensor = vector(gguf, name, dims / 2)?;
    match tensor.data.as_chunks().0.iter().all(|bytes| f32::from_le_bytes(*bytes) > 0.0) {
        true => Ok(tensor),
        false => Err(ModelError::tensor(name, "a factor is not positive")),
    }
}

/// A vector of `n` finite f32 values.
fn vector<'a>(gguf: &'a Gguf, name: &str, n: usize) -> Result<Tensor<'a>, ModelError> {
    let tensor = find(gguf, name, &[n])?;
    if tensor.ty != TensorType::F32 {
        return Err(ModelError::unsupported(
            format!("tensor `{}` has type {}, which is not supported for a vector", shown(name), tensor.ty),
            "norms and biases are F32 in the files of current converters; convert the model again",
        ));
    }
    check_finite(&tensor)?;
    Ok(tensor)
}
