//! The sizes and constants of a transformer, read from metadata and checked to be plausible.

use super::local::Local;
use super::rope::{Rope, RopeLayout};
use crate::gguf::{Gguf, Metadata, ModelError};

/// Layers that ggml's loader takes at most.
const MOST_LAYERS: u64 = 512;
const MOST_HIDDEN: u64 = 1 << 17;
const MOST_HEADS: u64 = 1 << 12;
const MOST_FFN: u64 = 1 << 20;
const MOST_VOCAB: u64 = 1 << 22;
pub(super) const MOST_CONTEXT: u64 = 1 << 24;

/// What the kernel that routes tokens takes at most: experts, and experts of a token.
const MOST_EXPERTS: u64 = 512;
const MOST_USED: u64 = 32;

/// Head sizes that the attention kernels are made for.
const HEAD_DIMS: [u64; 4] = [64, 96, 128, 256];

/// What distinguishes an architecture from its relatives in this family of decoders.
pub(super) struct Traits {
    pub(super) rope_layout: RopeLayout,
    pub(super) qkv_bias: bool,
    pub(super) head_norms: bool,
    /// Whether its files may have `rope_freqs.weight`.
    pub(super) rope_factors: bool,
    /// Whether its files may have factors for short and long contexts, and rotate a part of each head.
    pub(super) long_rope: bool,
    /// Whether Q, K and V are rows of one tensor, and gate and up of another.
    pub(super) fused: bool,
    /// Whether a window in the metadata is no window of attention.
    pub(super) ignores_window: bool,
    /// Whether the feed-forward network is a mixture of experts.
    pub(super) experts: bool,
    /// Of how many layers one attends to all positions, where the others do not.
    pub(super) local: Option<usize>,
    /// Whether what attention and the feed-forward network give is normed.
    pub(super) post_norms: bool,
    /// Whether an embedding is multiplied by the root of its length.
    pub(super) scaled_embedding: bool,
    /// The function of the gate.
    pub(super) gate: Gate,
}

/// What has none of all this.
pub(super) const PLAIN: Traits = Traits {
    rope_layout: RopeLayout::Halves,
    qkv_bias: false,
    head_norms: false,
    rope_factors: false,
    long_rope: false,
    fused: false,
    ignores_window: false,
    experts: false,
    local: None,
    post_norms: false,
    scaled_embedding: false,
    gate: Gate::Silu,
};

/// The function of the gate in a feed-forward network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gate {
    /// x / (1 + e^-x).
    Silu,
    /// GELU, as it is approximated by tanh.
    Gelu,
}

impl Gate {
    /// The kernel of a network's gate.
    pub fn kernel(self) -> &'static str {
        match self {
            Gate::Silu => "swiglu",
            Gate::Gelu => "geglu",
        }
    }
}

/// Experts in the place of a feed-forward network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Experts {
    /// How many there are.
    pub count: usize,
    /// How many a token is routed to.
    pub used: usize,
}

/// The configuration of a decoder with grouped-query attention, RMSNorm, rotary positions and a gated
/// feed-forward network, or experts that are such networks. Every count is positive and small enough that products of any three fit 64 bits.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// The architecture's name, as in the file.
    pub architecture: String,
    /// Transformer blocks.
    pub n_layers: usize,
    /// The width of the residual stream.
    pub hidden: usize,
    /// Query heads.
    pub n_heads: usize,
    /// Key and value heads; a divisor of `n_heads`.
    pub n_kv_heads: usize,
    /// Elements of a head.
    pub head_dim: usize,
    /// The inner width of the feed-forward network, or of each expert.
    pub ffn: usize,
    /// The experts of a mixture; none in a dense model.
    pub experts: Option<Experts>,
    /// Tokens in the vocabulary.
    pub vocab: usize,
    /// Positions the model was trained for.
    pub context_length: usize,
    /// The rotary position embedding; in models with local layers, of the others.
    pub rope: Rope,
    /// The layers that attend to the last positions only.
    pub local: Option<Local>,
    /// Scores are divided by the root of this: the head size, but in one model.
    pub score_scale: usize,
    /// What embeddings are multiplied by.
    pub embedding_scale: Option<f32>,
    /// The function of the gate.
    pub gate: Gate,
    /// Whether what attention and the feed-forward network give is normed.
    pub post_norms: bool,
    /// Added to the mean square in RMSNorm.
    pub norm_eps: f32,
    /// Whether Q, K and V have a bias.
    pub qkv_bias: bool,
    /// Whether each head of Q and K is normed before it is rotated.
    pub head_norms: bool,
    /// Whether Q, K and V are rows of one tensor, and gate and up of another.
    pub fused: bool,
    /// Whether the output matrix is the token embedding.
    pub tied_output: bool,
}

impl Config {
    /// Rows of the query projection: `n_heads * head_dim`.
    pub fn q_rows(&self) -> usize {
        self.n_heads * self.head_dim
    }

    /// Rows of the key projection, and of the value projection: `n_kv_heads * head_dim`.
    pub fn kv_rows(&self) -> usize {
        self.n_kv_heads * self.head_dim
    }

    /// Bytes of the keys and values of `positions` positions in f16.
    pub fn kv_bytes(&self, positions: usize) -> u64 {
        2 * 2 * (self.n_layers * self.kv_rows()) as u64 * positions as u64
    }

    pub(super) fn read(gguf: &Gguf, architecture: &str, traits: Traits) -> Result<Self, ModelError> {
        let keys = Keys { metadata: gguf.metadata(), architecture };
        refuse_variants(&keys, &traits)?;
        let n_layers = keys.count("block_count", MOST_LAYERS)?;
        let hidden = keys.count("embedding_length", MOST_HIDDEN)?;
        let n_heads = keys.count("attention.head_count", MOST_HEADS)?;
        let n_kv_heads = keys.opt_count("attention.head_count_kv", MOST_HEADS)?.unwrap_or(n_heads);
        if n_heads % n_kv_heads != 0 {
            let why = format!("{n_kv_heads} key and value heads do not divide {n_heads} query heads");
            return Err(keys.wrong("attention.head_count_kv", why));
        }
        let head_dim = head_dim(&keys, hidden, n_heads)?;
        let context_length = keys.count("context_length", MOST_CONTEXT)?;
        Ok(Self {
            architecture: architecture.into(),
            n_layers,
            hidden,
            n_heads,
            n_kv_heads,
            head_dim,
            ffn: keys
                .count(if traits.experts { "expert_feed_forward_length" } else { "feed_forward_length" }, MOST_FFN)?,
            experts: if traits.experts { Some(experts(&keys)?) } else { None },
            vocab: vocab(gguf, &keys)?,
            context_length,
            rope: Rope::read(gguf, &keys, &traits, (head_dim, context_length))?,
            local: traits.local.map(|period| Local::read(&keys, period, head_dim)).transpose()?,
            score_scale: head_dim,
            embedding_scale: traits.scaled_embedding.then(|| (hidden as f32).sqrt()),
            gate: traits.gate,
            post_norms: traits.post_norms,
            norm_eps: norm_eps(&keys)?,
            qkv_bias: traits.qkv_bias,
            head_norms: traits.head_norms,
            fused: traits.fused,
            tied_output: gguf.tensor("output.weight").is_none(),
        })
    }
}

/// Access to the architecture's own keys.
pub(super) struct Keys<'a> {
    pub(super) metadata: Metadata<'a>,
    architecture: &'a str,
}

impl Keys<'_> {
    pub(super) fn key(&self, name: &str) -> String {
        format!("{}.{name}", self.architecture)
    }

    pub(super) fn wrong(&self, name: &str, why: impl std::fmt::Display) -> ModelError {
        ModelError::metadata(&self.key(name), why)
    }

    pub(super) fn opt_count(&self, name: &str, most: u64) -> Result<Option<usize>, ModelError> {
        let Some(value) = self.metadata.opt_u64(&self.key(name))? else { return Ok(None) };
        if !(1..=most).contains(&value) {
            return Err(self.wrong(name, format!("{value} is not from 1 to {most}")));
        }
        Ok(Some(value as usize))
    }

    pub(super) fn count(&self, name: &str, most: u64) -> Result<usize, ModelError> {
        self.opt_count(name, most)?.ok_or_else(|| self.wrong(name, "the key is missing"))
    }
}

/// Variants of the architecture that would need another forward pass.
fn refuse_variants(keys: &Keys<'_>, traits: &Traits) -> Result<(), ModelError> {
    let experts = keys.key("expert_count");
    if !traits.experts && keys.metadata.opt_u64(&experts)?.unwrap_or(0) > 0 {
        let message = format!("a mixture of experts (`{experts}`) is not supported in `{}`", keys.architecture);
        return Err(ModelError::unsupported(message, "use a dense model"));
    }
    for name in ["attn_logit_softcapping", "final_logit_softcapping"] {
        if keys.metadata.opt_f32(&keys.key(name))?.is_some_and(|cap| cap != 0.0) {
            let message = format!("scores or logits with a bound (`{}`) are not supported", keys.key(name));
            return Err(ModelError::unsupported(message, "use a model without"));
        }
    }
    if traits.ignores_window || traits.local.is_some() {
        return Ok(());
    }
    let window = keys.key("attention.sliding_window");
    let context = keys.metadata.opt_u64(&keys.key("context_length"))?.unwrap_or(0);
    if let Some(positions) = keys.metadata.opt_u64(&window)?
        && (1..context).contains(&positions)
    {
        let message = format!("attention to the last {positions} positions only (`{window}`) is not supported");
        return Err(ModelError::unsupported(message, "use a model that attends to its whole context"));
    }
    Ok(())
}

fn experts(keys: &Keys<'_>) -> Result<Experts, ModelError> {
    let (count, used) = (keys.count("expert_count", MOST_EXPERTS)?, keys.count("expert_used_count", MOST_USED)?);
    match used <= count {
        true => Ok(Experts { count, used }),
        false => Err(keys.wrong("expert_used_count", format!("a token cannot use {used} of {count} experts"))),
    }
}

fn head_dim(keys: &Keys<'_>, hidden: usize, n_heads: usize) -> Result<usize, ModelError> {
    let head_dim = match keys.opt_count("attention.key_length", MOST_HIDDEN)? {
        Some(given) => given,
        None if hidden.is_multiple_of(n_heads) => hidden / n_heads,
        None => {
            let why = format!("{n_heads} heads do not divide the embedding length {hidden}");
            return Err(keys.wrong("attention.head_count", why));
        }
    };
    if !HEAD_DIMS.contains(&(head_dim as u64)) {
        return Err(ModelError::unsupported(
            format!("a head size of {head_dim} is not supported"),
            format!("supported head sizes: {HEAD_DIMS:?}"),
        ));
    }
    match keys.opt_count("attention.value_length", MOST_HIDDEN)? {
        Some(other) if other != head_dim => {
            Err(keys.wrong("attention.value_length", format!("{other} differs from the head size {head_dim}")))
        }
        _ => Ok(head_dim),
    }
}

/// The vocabulary has as many tokens as the embedding has rows; whatever else the file says about it must agree.
fn vocab(gguf: &Gguf, keys: &Keys<'_>) -> Result<usize, ModelError> {
    let name = "token_embd.weight";
    let embedding = gguf.tensor(name).ok_or_else(|| ModelError::tensor(name, "the tensor is missing"))?;
    let rows = embedding.dims.get(1).copied().unwrap_or(1);
    if rows > MOST_VOCAB {
        return Err(ModelError::tensor(name, format!("{rows} tokens; at most {MOST_VOCAB} are plausible")));
    }
    if let Some(size) = keys.opt_count("vocab_size", MOST_VOCAB)?
        && size as u64 != rows
    {
        return Err(keys.wrong("vocab_size", format!("{size} tokens, but `{name}` has {rows} rows")));
    }
    let tokens = "tokenizer.ggml.tokens";
    match keys.metadata.get(tokens) {
        Some(crate::gguf::Value::Array(array)) if array.len() as u64 != rows => {
            Err(ModelError::metadata(tokens, format!("{} tokens, but `{name}` has {rows} rows", array.len())))
        }
        _ => Ok(rows as usize),
    }
}

fn norm_eps(keys: &Keys<'_>) -> Result<f32, ModelError> {
    let name = "attention.layer_norm_rms_epsilon";
    let eps = keys.metadata.f32(&keys.key(name))?;
    match eps > 0.0 && eps <= 0.1 {
        true => Ok(eps),
        false => Err(keys.wrong(name, format!("{eps} is no plausible epsilon (above 0, at most 0.1)"))),
    }
}
