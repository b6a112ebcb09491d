//! The shapes of known models: their sizes, and the tensors that follow from them.
use crate::TensorType;
use crate::mixture::{Quant, use_more_bits};

/// The sizes of a decoder.
#[derive(Clone, Copy, Debug, PartialEq)]
#[allow(missing_docs)]
pub struct Shape {
    pub name: &'static str,
    /// As in `general.architecture`.
    pub architecture: &'static str,
    pub hidden: u32,
    pub layers: u32,
    pub heads: u32,
    pub kv_heads: u32,
    pub head_dim: u32,
    pub ffn: u32,
    pub vocab: u32,
    pub context: u32,
    /// Whether the output matrix is the token embedding.
    pub tied: bool,
    /// Whether Q, K and V have a bias.
    pub qkv_bias: bool,
    /// Whether each head of Q and K is normed.
    pub head_norms: bool,
    /// The base of the rotation's frequencies.
    pub rope_base: f32,
    /// How much lower the lowest frequencies are than the base says, for a longer context (Llama 3.1's rule).
    pub rope_factor: Option<f32>,
    /// Elements of a head that are rotated, where it is not all of them.
    pub rotated: Option<u32>,
    /// The positions of the first training, where there are factors of the frequencies for short and for long contexts (LongRoPE).
    pub long_rope: Option<u32>,
    /// The window of attention that the metadata give.
    pub window: Option<u32>,
    /// Whether what attention and the feed-forward network give is normed.
    pub post_norms: bool,
    /// Whether Q, K and V are rows of one tensor, and gate and up of another.
    pub fused: bool,
    /// Experts in the place of each feed-forward network, whose inner width is `ffn`, and how many a token uses.
    pub experts: Option<(u32, u32)>,
}

/// The shapes by name: real models, and small ones for tests.
pub const SHAPES: &[Shape] = &[
    Shape {
        name: "qwen2.5-7b",
        hidden: 3584,
        layers: 28,
        heads: 28,
        kv_heads: 4,
        head_dim: 128,
        ffn: 18944,
        vocab: 152064,
        context: 32768,
        ..QWEN2
    },
    Shape {
        name: "qwen2.5-1.5b",
        hidden: 1536,
        layers: 28,
        heads: 12,
        kv_heads: 2,
        head_dim: 128,
        ffn: 8960,
        vocab: 151936,
        context: 32768,
        tied: true,
        ..QWEN2
    },
    Shape {
        name: "qwen2.5-0.5b",
        hidden: 896,
        layers: 24,
        heads: 14,
        kv_heads: 2,
        ffn: 4864,
        vocab: 151936,
        context: 32768,
        tied: true,
        ..QWEN2
    },
    Shape {
        name: "llama-3.1-8b",
        hidden: 4096,
        layers: 32,
        heads: 32,
        kv_heads: 8,
        head_dim: 128,
        ffn: 14336,
        vocab: 128256,
        context: 131072,
        ..LLAMA
    },
    Shape {
        name: "qwen3-8b",
        hidden: 4096,
        layers: 36,
        heads: 32,
        kv_heads: 8,
        head_dim: 128,
        ffn: 12288,
        vocab: 151936,
        context: 40960,
        ..QWEN3
    },
    Shape {
        name: "qwen3-30b-a3b",
        hidden: 2048,
        layers: 48,
        heads: 32,
        kv_heads: 4,
        head_dim: 128,
        ffn: 768,
        vocab: 151936,
        context: 40960,
        experts: Some((128, 8)),
        ..QWEN3MOE
    },
    Shape {
        name: "phi-3-mini",
        hidden: 3072,
        layers: 32,
        heads: 32,
        kv_heads: 32,
        ffn: 8192,
        vocab: 32064,
        context: 131072,
        rotated: None,
        long_rope: Some(4096),
        window: Some(262144),
        ..PHI3
    },
    Shape {
        name: "gemma-3-4b",
        hidden: 2560,
        layers: 34,
        heads: 8,
        kv_heads: 4,
        ffn: 10240,
        vocab: 262144,
        context: 131072,
        window: Some(1024),
        ..GEMMA3
    },
    Shape { name: "tiny", ..QWEN2 },
    Shape { name: "tiny-hd128", hidden: 512, kv_heads: 1, head_dim: 128, ffn: 768, ..QWEN2 },
    // The 7 query heads to a key head, and the 28 heads, of the 7B model at half its head size.
    Shape { name: "tiny-gqa7", hidden: 1792, layers: 1, heads: 28, kv_heads: 4, head_dim: 64, ..QWEN2 },
    Shape { name: "tiny-tied", layers: 3, kv_heads: 4, tied: true, ..QWEN2 },
    // Rows that are no multiple of 256, as those of the 0.5B model.
    Shape { name: "tiny-odd", hidden: 448, heads: 7, kv_heads: 1, ffn: 608, tied: true, ..QWEN2 },
    Shape { name: "tiny-llama", ..LLAMA },
    Shape { name: "tiny-qwen3", head_dim: 128, tied: true, ..QWEN3 },
    Shape { name: "tiny-qwen3moe", ffn: 256, experts: Some((10, 3)), ..QWEN3MOE },
    Shape { name: "tiny-phi3", ..PHI3 },
    Shape { name: "tiny-gemma3", ..GEMMA3 },
];

/// A small model of Qwen2's kind.
const QWEN2: Shape = Shape {
    name: "",
    architecture: "qwen2",
    hidden: 256,
    layers: 2,
    heads: 4,
    kv_heads: 2,
    head_dim: 64,
    ffn: 512,
    vocab: 512,
    context: 4096,
    tied: false,
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

/// The same of Llama 3.1's.
const LLAMA: Shape = Shape { architecture: "llama", qkv_bias: false, rope_base: 5e5, rope_factor: Some(8.0), ..QWEN2 };

/// The same of Qwen3's.
const QWEN3: Shape = Shape { architecture: "qwen3", qkv_bias: false, head_norms: true, ..QWEN2 };

/// The same of its mixtures of experts.
const QWEN3MOE: Shape = Shape { architecture: "qwen3moe", ..QWEN3 };

/// The same of Phi-3's, with a part of each head rotated as in Phi-4-mini.
const PHI3: Shape = Shape {
    architecture: "phi3",
    hidden: 768,
    heads: 8,
    head_dim: 96,
    layers: 1,
    ffn: 512,
    vocab: 128,
    qkv_bias: false,
    rope_base: 1e4,
    rotated: Some(72),
    long_rope: Some(128),
    window: Some(100),
    fused: true,
    ..QWEN2
};

/// The same of Gemma 3's: five local layers and one that is not.
const GEMMA3: Shape = Shape {
    architecture: "gemma3",
    heads: 2,
    kv_heads: 1,
    head_dim: 256,
    layers: 6,
    ffn: 256,
    vocab: 128,
    tied: true,
    qkv_bias: false,
    head_norms: true,
    window: Some(40),
    post_norms: true,
    ..QWEN2
};

/// The shape of this name, or the only one whose name ends so after a hyphen, as `7b`.
pub fn shape(name: &str) -> Option<&'static Shape> {
    let ends = |shape: &&Shape| shape.name.strip_suffix(name).is_some_and(|start| start.ends_with('-'));
    let only = || {
        let mut found = SHAPES.iter().filter(ends);
        found.next().filter(|_| found.next().is_none())
    };
    SHAPES.iter().find(|shape| shape.name == name).or_else(only)
}

impl Shape {
    /// Elements of a head that are rotated.
    pub fn rotated(&self) -> u32 {
        self.rotated.unwrap_or(self.head_dim)
    }

    /// Name, dimensions and type of every tensor of a model with this many layers, in file order.
    pub fn tensors(&self, layers: u32, quant: Quant) -> Vec<(String, Vec<u64>, TensorType)> {
        let [hidden, ffn, vocab] = [self.hidden, self.ffn, self.vocab].map(u64::from);
        let q = u64::from(self.heads * self.head_dim);
        let kv = u64::from(self.kv_heads * self.head_dim);
        let matrix = |row| quant.matrix(false, row);
        let embedding = if self.tied { quant.output(hidden) } else { matrix(hidden) };
        let mut out = vec![("token_embd.weight".into(), vec![hidden, vocab], embedding)];
        for layer in 0..layers {
            let varied = |row| quant.matrix(use_more_bits(layer, layers), row);
            let mut push = |role: &str, dims: &[u64], ty| out.push((format!("blk.{layer}.{role}"), dims.to_vec(), ty));
            push("attn_norm.weight", &[hidden], TensorType::F32);
            let each = [("attn_q", q, matrix(hidden)), ("attn_k", kv, matrix(hidden)), ("attn_v", kv, varied(hidden))];
            let all = [("attn_qkv", q + 2 * kv, quant.qkv(hidden))];
            for &(role, rows, ty) in if self.fused { &all[..] } else { &each } {
                push(&format!("{role}.weight"), &[hidden, rows], ty);
                if self.qkv_bias {
                    push(&format!("{role}.bias"), &[rows], TensorType::F32);
                }
            }
            if self.head_norms {
                push("attn_q_norm.weight", &[u64::from(self.head_dim)], TensorType::F32);
                push("attn_k_norm.weight", &[u64::from(self.head_dim)], TensorType::F32);
            }
            push("attn_output.weight", &[q, hidden], matrix(q));
            if self.post_norms {
                push("post_attention_norm.weight", &[hidden], TensorType::F32);
                push("post_ffw_norm.weight", &[hidden], TensorType::F32);
            }
            push("ffn_norm.weight", &[hidden], TensorType::F32);
            let (suffix, experts) = match self.experts {
                Some((count, _)) => ("_exps", vec![u64::from(count)]),
                None => ("", Vec::new()),
            };
            if let [count] = experts[..] {
                push("ffn_gate_inp.weight", &[hidden, count], TensorType::F32);
            }
            let each = [("gate", [hidden, ffn], matrix(hidden)), ("up", [hidden, ffn], matrix(hidden))];
            let both = [("up", [hidden, 2 * ffn], matrix(hidden))];
            let inner = if self.fused { &both[..] } else { &each };
            for &(role, dims, ty) in inner.iter().chain(&[("down", [ffn, hidden], varied(ffn))]) {
                push(&format!("ffn_{role}{suffix}.weight"), &[&dims[..], &experts].concat(), ty);
            }
        }
        out.push(("output_norm.weight".into(), vec![hidden], TensorType::F32));
        let long = self.long_rope.map(|_| ["rope_factors_long.weight", "rope_factors_short.weight"]);
        for name in self.rope_factor.map(|_| "rope_freqs.weight").into_iter().chain(long.into_iter().flatten()) {
            let factors = u64::from(self.rotated()) / 2;
            out.push((name.into(), vec![factors], TensorType::F32));
        }
        if !self.tied {
            out.push(("output.weight".into(), vec![hidden, vocab], quant.output(hidden)));
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shape_has_a_name_and_a_short_one() {
        let found = |name| shape(name).map(|shape| shape.name);
        assert!(SHAPES.iter().all(|shape| found(shape.name) == Some(shape.name)));
        assert_eq!(
            [found("7b"), found("1.5b"), found("tied")],
            [Some("qwen2.5-7b"), Some("qwen2.5-1.5b"), Some("tiny-tied")]
        );
        assert_eq!([found("5b"), found(""), found("b"), found("8b")], [None; 4]);
    }
}
