//! The operations that models are made of: each adds its stages to a plan and gives the value it computes.
use super::{
    Activations, Arg, BEST, Buffer, BufferId, CHUNK, Part, Plan, Role, RowFn, Size, Stage, activations::Operands,
    norm::Source,
};
use crate::{
    gguf::Tensor,
    model::{Rope, RopeLayout, instance},
};
use kernels_gen::BufferInfo;
use std::{collections::HashMap, f64::consts::LOG2_E};

/// The cache of a layer, and how attention divides its heads.
#[derive(Clone, Copy)]
pub(super) struct Kv {
    k: Arg,
    v: Arg,
    kv_heads: usize,
    head_dim: usize,
}

/// The tables of cosines and sines: `[Capacity, head_dim / 2]`.
#[derive(Clone, Copy)]
pub(super) struct RopeTables {
    cos: Arg,
    sin: Arg,
}

/// What a layer's attention sees.
pub(super) struct Seen {
    pub(super) tables: RopeTables,
    /// Positions, the query's own among them.
    pub(super) window: usize,
    /// Scores are divided by the root of this.
    pub(super) scale: usize,
}

/// Floats `[rows, width]`.
#[derive(Clone, Copy)]
pub(super) struct Value {
    pub(super) arg: Arg,
    pub(super) width: usize,
    pub(super) rows: Size,
}

/// A plan in the making.
#[derive(Default)]
pub(super) struct Builder {
    pub(super) plan: Plan,
    pub(super) activations: Activations,
    /// The blocks of a value, by their format, as long as that is not written again.
    quantized: HashMap<(BufferId, &'static str), Arg>,
}

impl Stage {
    pub(super) fn int(&mut self, name: &'static str, size: Size) -> &mut Self {
        self.ints.push((name, size));
        self
    }

    pub(super) fn fixed(&mut self, name: &'static str, size: usize) -> &mut Self {
        self.int(name, Size::Fixed(size))
    }

    pub(super) fn float(&mut self, name: &'static str, value: f32) -> &mut Self {
        self.floats.push((name, value));
        self
    }

    pub(super) fn arg(&mut self, name: &'static str, arg: Arg) -> &mut Self {
        self.args.push((name, arg));
        self
    }
}

impl Builder {
    /// An empty plan.
    pub(super) fn new(activations: Activations) -> Self {
        Self { activations, ..Self::default() }
    }

    /// The rows of the tokens in a table.
    pub(super) fn embed(&mut self, table: &Tensor) -> Value {
        let (width, vocab) = (width(table), rows(table));
        let tokens = self.buffer("tokens", Role::Input, 4, &[Size::Tokens]);
        let w = self.weight(table);
        let y = self.output("token_embd", width, Size::Tokens);
        let stage = self
            .stage("token_embd", &instance(table.ty, "embed", "embed_row"))
            .int("T", Size::Tokens)
            .fixed("V", vocab);
        row_extent(stage, table).arg("table", w).arg("tokens", tokens).arg("y", y.arg);
        y
    }

    /// A value times a number.
    pub(super) fn times(&mut self, name: &str, x: Value, factor: f32) -> Value {
        let y = self.output(name, x.width, x.rows);
        let stage = self.stage(name, "times").int("T", x.rows).fixed("N", x.width);
        stage.float("factor", factor).arg("x", x.arg).arg("y", y.arg);
        y
    }

    /// RMSNorm of each head by itself; a head is as long as the norm's weight.
    pub(super) fn rmsnorm(&mut self, name: &str, w: &Tensor, x: Value, eps: f32) -> Value {
        let head_dim = width(w);
        let w = self.weight(w);
        let y = self.output(name, x.width, x.rows);
        let stage = self.stage(name, "rmsnorm").int("T", x.rows).fixed("H", x.width / head_dim);
        stage.fixed("K", head_dim).float("eps", eps).arg("x", x.arg).arg("w", w).arg("y", y.arg);
        y
    }

    /// The product with a weight. Quantized ones take activations in the blocks that their format asks for.
    pub(super) fn linear(&mut self, name: &str, w: &Tensor, x: Value) -> Value {
        self.product_of(name, w, Source::Value(x))
    }

    /// The product of a value, or of one under RMSNorm before its scale.
    pub(super) fn product_of(&mut self, name: &str, w: &Tensor, x: Source) -> Value {
        let t = x.rows();
        let Operands { kernel, weight, input, rows: twice, extent, planes } =
            self.operands(name, w, x, ("matvec", "matvec_float"));
        let y = self.product(name, rows(w), t, planes);
        let stage = self.stage(name, &kernel).int("T", twice).fixed("N", y.width).fixed(extent.0, extent.1);
        stage.arg("w", weight).arg("x", input).arg("y", y.arg);
        self.joined(name, y, planes)
    }

    /// The largest of each row, which is [`BEST`].
    pub(super) fn argmax(&mut self, x: Value) {
        let best = self.buffer(BEST, Role::Activation, 4, &[x.rows]);
        self.stage(BEST, "argmax").int("T", x.rows).fixed("N", x.width).arg("x", x.arg).arg("y", best);
    }

    /// Only the rows of the outputs.
    pub(super) fn outputs_only(&self, x: Value) -> Value {
        Value { arg: Arg { outputs_only: true, ..x.arg }, rows: Size::Outputs, ..x }
    }

    /// Heads of `head_dim` in the order in which attention takes them: the elements of a pair are half a head apart.
    pub(super) fn halves(&mut self, name: &str, x: Value, rope: &Rope, head_dim: usize) -> Value {
        let kernel = match rope.layout {
            RopeLayout::Pairs => "unpair",
            RopeLayout::Halves if rope.dims < head_dim => "spread",
            RopeLayout::Halves => return x,
        };
        let y = self.output(name, x.width, x.rows);
        let stage = self.stage(name, kernel).int("T", x.rows).fixed("H", x.width / head_dim);
        match rope.layout {
            RopeLayout::Pairs => stage.fixed("P", head_dim / 2),
            RopeLayout::Halves => stage.fixed("R", rope.dims / 2).fixed("S", (head_dim - rope.dims) / 2),
        };
        stage.arg("x", x.arg).arg("y", y.arg);
        y
    }

    /// The tables of this name that `cos` and `sin` fill: the cosines and the sines of a position.
    pub(super) fn rope_tables(&mut self, name: &str, head_dim: usize, cos: RowFn, sin: RowFn) -> RopeTables {
        let shape = [Size::Capacity, Size::Fixed(head_dim / 2)];
        RopeTables {
            cos: self.buffer(&format!("{name}.cos"), Role::Table(cos), 4, &shape),
            sin: self.buffer(&format!("{name}.sin"), Role::Table(sin), 4, &shape),
        }
    }

    /// Writes keys, rotated by their positions, and values into the cache `name`.
    pub(super) fn kv_write(&mut self, name: &str, k: Value, v: Value, head_dim: usize, tables: RopeTables) -> Kv {
        let kv_heads = k.width / head_dim;
        let (g, d, chunk) = (Size::Fixed(kv_heads), Size::Fixed(head_dim), Size::Fixed(CHUNK));
        let (k_name, v_name) = (format!("{name}.k"), format!("{name}.v"));
        let kc = self.buffer(&k_name, Role::Cache, 2, &[Size::Chunks, g, d, chunk]);
        let vc = self.buffer(&v_name, Role::Cache, 2, &[Size::Chunks, g, chunk, d]);
        let stage = self.stage(&k_name, "k_write").int("T", k.rows).int("G", g).fixed("P", head_dim / 2);
        stage.int("C", Size::Chunks).int("N", Size::Capacity).int("pos", Size::Position);
        stage.arg("k", k.arg).arg("cos", tables.cos).arg("sin", tables.sin).arg("kc", kc);
        let stage = self.stage(&v_name, "v_write").int("T", v.rows).int("G", g).int("D", d);
        stage.int("C", Size::Chunks).int("pos", Size::Position).arg("v", v.arg).arg("vc", vc);
        Kv { k: kc, v: vc, kv_heads, head_dim }
    }

    /// Attention of the queries, rotated by their positions, over what is seen of the cache.
    pub(super) fn attention(&mut self, name: &str, q: Value, kv: Kv, seen: &Seen) -> Value {
        let y = self.output(name, q.width, q.rows);
        let &Seen { tables, window, scale } = seen;
        let scale = (LOG2_E / (scale as f64).sqrt()) as f32;
        let stage = self.stage(name, &format!("attention_{}", kv.head_dim)).int("T", q.rows);
        stage.fixed("G", kv.kv_heads).fixed("R", q.width / kv.head_dim / kv.kv_heads);
        stage.int("C", Size::Chunks).int("P", Size::Capacity).int("pos", Size::Position);
        stage.fixed("window", window).float("scale", scale);
        stage.arg("q", q.arg).arg("cos", tables.cos).arg("sin", tables.sin);
        stage.arg("kc", kv.k).arg("vc", kv.v).arg("y", y.arg);
        y
    }

    /// `a + b`.
    pub(super) fn add(&mut self, name: &str, a: Value, b: Value) -> Value {
        let y = self.output(name, a.width, a.rows);
        let stage = self.stage(name, "add").int("T", a.rows).fixed("N", a.width);
        stage.arg("a", a.arg).arg("b", b.arg).arg("y", y.arg);
        y
    }

    /// The activations as blocks, or as two planes of blocks, once for all that use them.
    pub(super) fn quantize(&mut self, name: &str, x: Value, blocks: &'static BufferInfo, planes: bool) -> Arg {
        let key = (x.arg.buffer, blocks.elem);
        if let Some(&done) = self.quantized.get(&key) {
            return done;
        }
        let (format, count) = (blocks.elem.to_lowercase(), x.width / blocks.elements);
        let y = format!("{}.{format}", self.plan.buffer(x.arg.buffer).name);
        let [two, b] = [2, count].map(Size::Fixed);
        let shape = if planes { vec![x.rows, two, b] } else { vec![x.rows, b] };
        let y = self.buffer(&y, Role::Activation, blocks.elem_bytes, &shape);
        let kernel = format!("quantize_{format}{}", if planes { "_planes" } else { "" });
        let stage = self.stage(&format!("{name}.{format}"), &kernel).int("T", x.rows);
        stage.fixed("B", count).arg("x", x.arg).arg("y", y);
        self.quantized.insert(key, y);
        y
    }

    pub(super) fn stage(&mut self, name: &str, kernel: &str) -> &mut Stage {
        let (ints, floats, args) = Default::default();
        self.plan.stages.push(Stage { name: name.into(), kernel: kernel.into(), ints, floats, args });
        // A stage was just pushed.
        self.plan.stages.last_mut().expect("not empty")
    }

    /// The floats that a stage writes.
    pub(super) fn output(&mut self, stage: &str, width: usize, rows: Size) -> Value {
        let arg = self.activation(stage, 4, &[rows, Size::Fixed(width)]);
        self.quantized.retain(|(buffer, _), _| *buffer != arg.buffer);
        Value { arg, width, rows }
    }

    /// What a stage writes. Layers share their buffers: they are named without `blk.N`.
    pub(super) fn activation(&mut self, stage: &str, elem_bytes: usize, shape: &[Size]) -> Arg {
        let name = stage.strip_prefix("blk.").and_then(|rest| rest.split_once('.')).map_or(stage, |(_, name)| name);
        self.buffer(name, Role::Activation, elem_bytes, shape)
    }

    pub(super) fn buffer(&mut self, name: &str, role: Role, elem_bytes: usize, shape: &[Size]) -> Arg {
        let buffer = self.plan.find(name).unwrap_or_else(|| {
            self.plan.buffers.push(Buffer { name: name.into(), role, elem_bytes, shape: shape.into() });
            BufferId(self.plan.buffers.len() - 1)
        });
        Arg { buffer, outputs_only: false }
    }

    pub(super) fn weight(&mut self, tensor: &Tensor) -> Arg {
        let block = tensor.ty.block_elements();
        let mut shape: Vec<_> = tensor.dims.iter().rev().map(|&d| Size::Fixed(d as usize)).collect();
        if let Some(Size::Fixed(row)) = shape.last_mut() {
            *row /= block as usize;
        }
        let part = tensor.rows.map(|rows| Part { tensor: tensor.name.into(), rows });
        let name = match tensor.rows {
            Some((first, end)) => format!("{}[{first}..{end}]", tensor.name),
            None => tensor.name.into(),
        };
        self.buffer(&name, Role::Weight(part), tensor.ty.block_bytes() as usize, &shape)
    }
}

/// Elements of a weight's row.
pub(super) fn width(weight: &Tensor) -> usize {
    weight.dims[0] as usize
}

/// Rows of a weight.
pub(super) fn rows(weight: &Tensor) -> usize {
    weight.dims[1..].iter().product::<u64>() as usize
}

/// The extent of a weight's row: blocks or elements.
fn row_extent<'s>(stage: &'s mut Stage, weight: &Tensor) -> &'s mut Stage {
    let blocks = width(weight) / weight.ty.block_elements() as usize;
    stage.fixed(if weight.ty.is_quantized() { "B" } else { "K" }, blocks)
}
