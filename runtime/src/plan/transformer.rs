//! The forward pass of a decoder with grouped-query attention, rotary positions and a gated feed-forward network.
use super::{
    LOGITS, Plan, RowFn,
    build::{Builder, RopeTables, Value},
};
use crate::{
    math,
    model::{Config, LayerWeights, Model},
};
use std::sync::Arc;

/// The plan of a model.
pub fn transformer(model: &Model) -> Plan {
    let (config, weights) = (&model.config, &model.weights);
    let mut b = Builder::default();
    let tables = rope_tables(&mut b, config);
    let mut x = b.embed(&weights.token_embd);
    for (layer, weights) in weights.layers.iter().enumerate() {
        let attention = attention(&mut b, config, layer, weights, tables, x);
        x = b.add(&format!("blk.{layer}.attn_residual"), x, attention);
        let ffn = feed_forward(&mut b, config, layer, weights, x);
        x = b.add(&format!("blk.{layer}.ffn_residual"), x, ffn);
    }
    let x = b.outputs_only(x);
    let mut x = b.norm("output_norm", &weights.output_norm, x, config.norm_eps);
    let product = b.normed_product("output", &weights.output, &mut x);
    let logits = b.scaled(LOGITS, product);
    b.argmax(logits);
    b.plan
}

fn attention(b: &mut Builder, c: &Config, layer: usize, w: &LayerWeights, tables: RopeTables, x: Value) -> Value {
    let name = |part: &str| format!("blk.{layer}.{part}");
    let mut x = b.norm(&name("attn_norm"), &w.attn_norm, x, c.norm_eps);
    let weights = [("attn_q", &w.attn_q), ("attn_k", &w.attn_k), ("attn_v", &w.attn_v)];
    let products = weights.map(|(part, weight)| (part, b.normed_product(&name(part), weight, &mut x)));
    let mut biases = w.qkv_bias.iter().flatten();
    let [q, k, v] = products.map(|(part, product)| match biases.next() {
        Some(bias) => b.bias(&name(&format!("{part}.bias")), bias, product),
        None => b.scaled(&name(&format!("{part}.scaled")), product),
    });
    let q = b.halves(&name("attn_q.halves"), q, c.rope.layout, c.head_dim);
    let k = b.halves(&name("attn_k.halves"), k, c.rope.layout, c.head_dim);
    let kv = b.kv_write(&name("kv"), k, v, c.head_dim, tables);
    let x = b.attention(&name("attn"), q, kv, tables);
    b.linear(&name("attn_output"), &w.attn_output, x)
}

fn feed_forward(b: &mut Builder, c: &Config, layer: usize, w: &LayerWeights, x: Value) -> Value {
    let name = |part: &str| format!("blk.{layer}.{part}");
    let mut x = b.norm(&name("ffn_norm"), &w.ffn_norm, x, c.norm_eps);
    let gate = b.normed_product(&name("ffn_gate"), &w.ffn_gate, &mut x);
    let up = b.normed_product(&name("ffn_up"), &w.ffn_up, &mut x);
    let x = b.swiglu(&name("ffn_swiglu"), gate, up);
    b.linear(&name("ffn_down"), &w.ffn_down, x)
}

/// Cosines and sines of `position * base^(-2 i / head_dim)`, in float64 without libm, rounded once.
fn rope_tables(b: &mut Builder, config: &Config) -> RopeTables {
    let (base, head_dim) = (f64::from(config.rope.base), config.head_dim);
    let frequency = |i: usize| math::pow(base, -2.0 * i as f64 / head_dim as f64);
    let frequencies: Arc<[f64]> = (0..head_dim / 2).map(frequency).collect();
    let table = |pick: fn((f64, f64)) -> f64| -> RowFn {
        let frequencies = frequencies.clone();
        Arc::new(move |position, row| {
            for (to, frequency) in row.iter_mut().zip(&*frequencies) {
                *to = pick(math::sin_cos(position as f64 * frequency)) as f32;
            }
        })
    };
    b.rope_tables(head_dim, table(|(_, cos)| cos), table(|(sin, _)| sin))
}
