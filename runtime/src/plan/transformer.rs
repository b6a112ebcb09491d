//! The forward pass of a decoder with grouped-query attention, rotary positions and a gated feed-forward network.
use super::{
    Activations, LOGITS, Plan, RowFn,
    build::{Builder, RopeTables, Seen, Value},
    norm::Source,
};
use crate::{
    gguf::Tensor,
    math,
    model::{Config, Factors, LayerWeights, Model, Rope},
};
use std::sync::Arc;

/// More positions than there are: a window that hides none.
const MOST_POSITIONS: usize = 1 << 22;

/// The plan of a model for short contexts, with activations of 8 bits where weights are quantized.
pub fn transformer(model: &Model) -> Plan {
    transformer_with(model, Activations::default(), 1)
}

/// The plan of a model in a session with room for `positions`.
pub fn transformer_with(model: &Model, activations: Activations, positions: usize) -> Plan {
    let (config, weights) = (&model.config, &model.weights);
    let mut b = Builder::new(activations);
    let tables = rope_tables(&mut b, "rope", &config.rope, (config.head_dim, positions), &weights.rope_factors);
    let all = Seen { tables, window: MOST_POSITIONS, scale: config.score_scale };
    let local = config.local.map(|local| {
        let tables = rope_tables(&mut b, "rope_local", &local.rope, (config.head_dim, positions), &[]);
        (local, Seen { tables, window: local.window, ..all })
    });
    let mut x = b.embed(&weights.token_embd);
    if let Some(factor) = config.embedding_scale {
        x = b.times("token_embd.scaled", x, factor);
    }
    for (layer, weights) in weights.layers.iter().enumerate() {
        let seen = local.as_ref().filter(|(local, _)| local.has(layer)).map_or(&all, |(_, seen)| seen);
        let mut attention = attention(&mut b, config, layer, weights, seen, x);
        if let Some([norm, _]) = &weights.post_norms {
            attention = b.rmsnorm(&format!("blk.{layer}.post_attention_norm"), norm, attention, config.norm_eps);
        }
        x = b.add(&format!("blk.{layer}.attn_residual"), x, attention);
        let mut ffn = feed_forward(&mut b, config, layer, weights, x);
        if let Some([_, norm]) = &weights.post_norms {
            ffn = b.rmsnorm(&format!("blk.{layer}.post_ffw_norm"), norm, ffn, config.norm_eps);
        }
        x = b.add(&format!("blk.{layer}.ffn_residual"), x, ffn);
    }
    let x = b.outputs_only(x);
    let mut x = b.norm("output_norm", &weights.output_norm, x, config.norm_eps);
    let product = b.normed_product("output", &weights.output, &mut x);
    let logits = b.scaled(LOGITS, product);
    b.argmax(logits);
    b.plan
}

fn attention(b: &mut Builder, c: &Config, layer: usize, w: &LayerWeights, seen: &Seen, x: Value) -> Value {
    let name = |part: &str| format!("blk.{layer}.{part}");
    let mut x = b.norm(&name("attn_norm"), &w.attn_norm, x, c.norm_eps);
    let weights = [("attn_q", &w.attn_q), ("attn_k", &w.attn_k), ("attn_v", &w.attn_v)];
    let products = weights.map(|(part, weight)| (part, b.normed_product(&name(part), weight, &mut x)));
    let mut biases = w.qkv_bias.iter().flatten();
    let [mut q, mut k, v] = products.map(|(part, product)| match biases.next() {
        Some(bias) => b.bias(&name(&format!("{part}.bias")), bias, product),
        None => b.scaled(&name(&format!("{part}.scaled")), product),
    });
    if let Some([q_norm, k_norm]) = &w.head_norms {
        q = b.rmsnorm(&name("attn_q_norm"), q_norm, q, c.norm_eps);
        k = b.rmsnorm(&name("attn_k_norm"), k_norm, k, c.norm_eps);
    }
    let q = b.halves(&name("attn_q.halves"), q, &c.rope, c.head_dim);
    let k = b.halves(&name("attn_k.halves"), k, &c.rope, c.head_dim);
    let kv = b.kv_write(&name("kv"), k, v, c.head_dim, seen.tables);
    let x = b.attention(&name("attn"), q, kv, seen);
    b.linear(&name("attn_output"), &w.attn_output, x)
}

fn feed_forward(b: &mut Builder, c: &Config, layer: usize, w: &LayerWeights, x: Value) -> Value {
    let name = |part: &str| format!("blk.{layer}.{part}");
    let mut x = b.norm(&name("ffn_norm"), &w.ffn_norm, x, c.norm_eps);
    if let (Some(router), Some(experts)) = (&w.ffn.router, c.experts) {
        let product = b.normed_product(&name("ffn_gate_inp"), router, &mut x);
        let logits = b.scaled(&name("ffn_gate_inp.scaled"), product);
        let routed = b.route(&name("ffn_route"), logits, experts.used);
        let both = [("ffn_gate_exps", &w.ffn.gate), ("ffn_up_exps", &w.ffn.up)];
        let both = both.map(|(part, weight)| b.expert(&name(part), weight, Source::Normed(&mut x), routed));
        let [gate, up] = both.map(|product| x.unscaled(product));
        let inner = b.gated(&name(&format!("ffn_{}", c.gate.kernel())), c.gate, gate, up);
        let y = b.expert(&name("ffn_down_exps"), &w.ffn.down, Source::Value(inner), routed);
        return b.mix(&name("ffn_mix"), y, routed);
    }
    let gate = b.normed_product(&name("ffn_gate"), &w.ffn.gate, &mut x);
    let up = b.normed_product(&name("ffn_up"), &w.ffn.up, &mut x);
    let x = b.gated(&name(&format!("ffn_{}", c.gate.kernel())), c.gate, gate, up);
    b.linear(&name("ffn_down"), &w.ffn.down, x)
}

/// Cosines and sines of `position * base^(-2 i / dims) / scale`, over factor i where there are factors, times the amplitude, in float64
/// without libm, rounded once. What is not rotated has the angle 0.
fn rope_tables(
    b: &mut Builder,
    name: &str,
    rope: &Rope,
    (head_dim, positions): (usize, usize),
    factors: &[Tensor],
) -> RopeTables {
    let Rope { dims, base, scale, amplitude, .. } = *rope;
    let (base, scale, amplitude) = (f64::from(base), f64::from(scale), f64::from(amplitude));
    let long = matches!(rope.factors, Factors::ByContext(short) if positions > short);
    let factors = factors.get(usize::from(long)).map_or(&[][..], |tensor| tensor.data.as_chunks().0);
    let factor = |i: usize| factors.get(i).map_or(1.0, |bytes| f64::from(f32::from_le_bytes(*bytes)));
    let frequency = |i: usize| math::pow(base, -2.0 * i as f64 / dims as f64) / scale / factor(i);
    let frequencies: Arc<[f64]> = (0..dims / 2).map(frequency).collect();
    let table = |pick: fn((f64, f64)) -> f64| -> RowFn {
        let frequencies = frequencies.clone();
        Arc::new(move |position, row| {
            row.fill(pick((0.0, 1.0)) as f32);
            for (to, frequency) in row.iter_mut().zip(&*frequencies) {
                *to = (amplitude * pick(math::sin_cos(position as f64 * frequency))) as f32;
            }
        })
    };
    b.rope_tables(name, head_dim, table(|(_, cos)| cos), table(|(sin, _)| sin))
}
