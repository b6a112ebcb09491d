//! The operations that models are made of: each adds its stages to a plan and gives the value it computes.
use super::{Arg, BEST, Buffer, BufferId, CHUNK, Plan, Role, RowFn, Size, Stage};
use crate::{gguf::Tensor, model::RopeLayout};
use std::f64::consts::LOG2_E;

/// Elements in a super-block, and in a block of quantized activations.
const BLOCK: usize = 256;
/// Bytes of a Q8_K block of activations: 256 bytes, 16 sums of 16 bits, the scale, padding to a cache line.
const Q8K_BYTES: usize = 320;

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

/// Floats `[rows, width]`.
#[derive(Clone, Copy)]
pub(super) struct Value {
    arg: Arg,
    width: usize,
    rows: Size,
}

/// A value under RMSNorm: what products take is the value times `weight`.
pub(super) struct Normed<'m> {
    name: String,
    x: Value,
    weight: &'m Tensor<'m>,
    scale: Scale,
    /// The forms that products have asked for so far.
    blocks: Option<Arg>,
    floats: Option<Arg>,
}

/// A product with a value under RMSNorm. The operation that takes it multiplies it by the scale of its row.
#[derive(Clone, Copy)]
pub(super) struct Unscaled {
    product: Value,
    scale: Scale,
}

/// What the scales of the rows of a value are computed from: the sums of squares of their groups of 256, f32 `[rows, groups]`.
#[derive(Clone, Copy)]
struct Scale {
    squares: Arg,
    width: usize,
    eps: f32,
}

/// A plan in the making.
#[derive(Default)]
pub(super) struct Builder {
    pub(super) plan: Plan,
}

impl Stage {
    fn int(&mut self, name: &'static str, size: Size) -> &mut Self {
        self.ints.push((name, size));
        self
    }

    fn fixed(&mut self, name: &'static str, size: usize) -> &mut Self {
        self.int(name, Size::Fixed(size))
    }

    fn float(&mut self, name: &'static str, value: f32) -> &mut Self {
        self.floats.push((name, value));
        self
    }

    fn arg(&mut self, name: &'static str, arg: Arg) -> &mut Self {
        self.args.push((name, arg));
        self
    }
}

impl Builder {
    /// The rows of the tokens in a table.
    pub(super) fn embed(&mut self, table: &Tensor) -> Value {
        let (width, vocab) = (width(table), rows(table));
        let tokens = self.buffer("tokens", Role::Input, 4, &[Size::Tokens]);
        let w = self.weight(table);
        let y = self.output("token_embd", width, Size::Tokens);
        let stage =
            self.stage("token_embd", &instance(table, "embed", "embed_row")).int("T", Size::Tokens).fixed("V", vocab);
        row_extent(stage, table).arg("table", w).arg("tokens", tokens).arg("y", y.arg);
        y
    }

    /// The product of a value under RMSNorm with a weight.
    pub(super) fn normed_product(&mut self, name: &str, w: &Tensor, x: &mut Normed) -> Unscaled {
        let input = if w.ty.is_quantized() { self.weigh_blocks(x) } else { self.weigh_floats(x) };
        Unscaled { product: self.product(name, w, input, x.x.rows), scale: x.scale }
    }

    /// The product with a weight. K-quants take quantized activations.
    pub(super) fn linear(&mut self, name: &str, w: &Tensor, x: Value) -> Value {
        let input = if w.ty.is_quantized() { self.quantize(name, x) } else { x.arg };
        self.product(name, w, input, x.rows)
    }

    fn product(&mut self, name: &str, w: &Tensor, input: Arg, rows_of_x: Size) -> Value {
        let y = self.output(name, rows(w), rows_of_x);
        let weight = self.weight(w);
        let stage = self.stage(name, &instance(w, "matvec", "matvec_float")).int("T", y.rows).fixed("N", y.width);
        row_extent(stage, w).arg("w", weight).arg("x", input).arg("y", y.arg);
        y
    }

    /// The value of a product under RMSNorm.
    pub(super) fn scaled(&mut self, name: &str, x: Unscaled) -> Value {
        let scale = self.rms_scale(name, x);
        let y = self.output(name, x.product.width, x.product.rows);
        let stage = self.stage(name, "scaled").int("T", y.rows).fixed("N", y.width);
        stage.arg("scale", scale).arg("x", x.product.arg).arg("y", y.arg);
        y
    }

    /// The same with a bias.
    pub(super) fn bias(&mut self, name: &str, b: &Tensor, x: Unscaled) -> Value {
        let scale = self.rms_scale(name, x);
        let b = self.weight(b);
        let y = self.output(name, x.product.width, x.product.rows);
        let stage = self.stage(name, "bias").int("T", y.rows).fixed("N", y.width);
        stage.arg("scale", scale).arg("x", x.product.arg).arg("b", b).arg("y", y.arg);
        y
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

    /// Heads of `head_dim` with pairs that are halves, in the order in which attention takes them.
    pub(super) fn halves(&mut self, name: &str, x: Value, layout: RopeLayout, head_dim: usize) -> Value {
        if layout == RopeLayout::Halves {
            return x;
        }
        let y = self.output(name, x.width, x.rows);
        let stage = self.stage(name, "unpair").int("T", x.rows).fixed("H", x.width / head_dim);
        stage.fixed("P", head_dim / 2).arg("x", x.arg).arg("y", y.arg);
        y
    }

    /// The tables that `row` fills: the cosines, then the sines of a position.
    pub(super) fn rope_tables(&mut self, head_dim: usize, cos: RowFn, sin: RowFn) -> RopeTables {
        let shape = [Size::Capacity, Size::Fixed(head_dim / 2)];
        RopeTables {
            cos: self.buffer("rope.cos", Role::Table(cos), 4, &shape),
            sin: self.buffer("rope.sin", Role::Table(sin), 4, &shape),
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

    /// Attention of the queries, rotated by their positions, over the cache.
    pub(super) fn attention(&mut self, name: &str, q: Value, kv: Kv, tables: RopeTables) -> Value {
        let y = self.output(name, q.width, q.rows);
        let scale = (LOG2_E / (kv.head_dim as f64).sqrt()) as f32;
        let stage = self.stage(name, &format!("attention_{}", kv.head_dim)).int("T", q.rows);
        stage.fixed("G", kv.kv_heads).fixed("R", q.width / kv.head_dim / kv.kv_heads);
        stage.int("C", Size::Chunks).int("P", Size::Capacity).int("pos", Size::Position).float("scale", scale);
        stage.arg("q", q.arg).arg("cos", tables.cos).arg("sin", tables.sin);
        stage.arg("kc", kv.k).arg("vc", kv.v).arg("y", y.arg);
        y
    }

    /// `silu(gate) * up` of two products with the same value under RMSNorm.
    pub(super) fn swiglu(&mut self, name: &str, gate: Unscaled, up: Unscaled) -> Value {
        let scale = self.rms_scale(name, gate);
        let y = self.output(name, gate.product.width, gate.product.rows);
        let stage = self.stage(name, "swiglu").int("T", y.rows).fixed("N", y.width).arg("scale", scale);
        stage.arg("gate", gate.product.arg).arg("up", up.product.arg).arg("y", y.arg);
        y
    }

    /// `a + b`.
    pub(super) fn add(&mut self, name: &str, a: Value, b: Value) -> Value {
        let y = self.output(name, a.width, a.rows);
        let stage = self.stage(name, "add").int("T", a.rows).fixed("N", a.width);
        stage.arg("a", a.arg).arg("b", b.arg).arg("y", y.arg);
        y
    }

    /// The activations as Q8_K.
    fn quantize(&mut self, name: &str, x: Value) -> Arg {
        let blocks = x.width / BLOCK;
        let name = format!("{name}.q8k");
        let y = self.activation(&name, Q8K_BYTES, &[x.rows, Size::Fixed(blocks)]);
        let stage = self.stage(&name, "quantize_q8k").int("T", x.rows).fixed("B", blocks);
        stage.arg("x", x.arg).arg("y", y);
        y
    }

    /// A value under RMSNorm. It must not be written again before its last product.
    pub(super) fn norm<'m>(&mut self, name: &str, weight: &'m Tensor<'m>, x: Value, eps: f32) -> Normed<'m> {
        let groups = Size::Fixed(x.width.div_ceil(BLOCK));
        let squares = self.activation(&format!("{name}.squares"), 4, &[x.rows, groups]);
        let scale = Scale { squares, width: x.width, eps };
        Normed { name: name.into(), x, weight, scale, blocks: None, floats: None }
    }

    /// The value times the weights of its norm as Q8_K.
    fn weigh_blocks(&mut self, n: &mut Normed) -> Arg {
        if let Some(done) = n.blocks {
            return done;
        }
        let blocks = Size::Fixed(n.x.width / BLOCK);
        let (w, y) = (self.weight(n.weight), self.activation(&n.name, Q8K_BYTES, &[n.x.rows, blocks]));
        let stage = self.stage(&n.name, "weigh_q8k").int("T", n.x.rows).int("B", blocks);
        stage.arg("x", n.x.arg).arg("w", w).arg("y", y).arg("squares", n.scale.squares);
        *n.blocks.insert(y)
    }

    /// The value times the weights of its norm as floats.
    fn weigh_floats(&mut self, n: &mut Normed) -> Arg {
        if let Some(done) = n.floats {
            return done;
        }
        let name = format!("{}.f32", n.name);
        let (w, y) = (self.weight(n.weight), self.output(&name, n.x.width, n.x.rows).arg);
        let stage = self.stage(&name, "weigh").int("T", n.x.rows).fixed("K", n.x.width);
        stage.fixed("G", n.x.width.div_ceil(BLOCK));
        stage.arg("x", n.x.arg).arg("w", w).arg("y", y).arg("squares", n.scale.squares);
        *n.floats.insert(y)
    }

    /// The scales of a product's rows, for the operation of this name.
    fn rms_scale(&mut self, name: &str, x: Unscaled) -> Arg {
        let Scale { squares, width, eps } = x.scale;
        let name = format!("{name}.scale");
        let y = self.output(&name, 1, x.product.rows).arg;
        let stage = self.stage(&name, "rms_scale").int("T", x.product.rows).fixed("G", width.div_ceil(BLOCK));
        stage.float("len", width as f32).float("eps", eps).arg("squares", squares).arg("y", y);
        y
    }

    fn stage(&mut self, name: &str, kernel: &str) -> &mut Stage {
        let (ints, floats, args) = Default::default();
        self.plan.stages.push(Stage { name: name.into(), kernel: kernel.into(), ints, floats, args });
        // A stage was just pushed.
        self.plan.stages.last_mut().expect("not empty")
    }

    /// The floats that a stage writes.
    fn output(&mut self, stage: &str, width: usize, rows: Size) -> Value {
        Value { arg: self.activation(stage, 4, &[rows, Size::Fixed(width)]), width, rows }
    }

    /// What a stage writes. Layers share their buffers: they are named without `blk.N`.
    fn activation(&mut self, stage: &str, elem_bytes: usize, shape: &[Size]) -> Arg {
        let name = stage.strip_prefix("blk.").and_then(|rest| rest.split_once('.')).map_or(stage, |(_, name)| name);
        self.buffer(name, Role::Activation, elem_bytes, shape)
    }

    fn buffer(&mut self, name: &str, role: Role, elem_bytes: usize, shape: &[Size]) -> Arg {
        let buffer = self.plan.find(name).unwrap_or_else(|| {
            self.plan.buffers.push(Buffer { name: name.into(), role, elem_bytes, shape: shape.into() });
            BufferId(self.plan.buffers.len() - 1)
        });
        Arg { buffer, outputs_only: false }
    }

    fn weight(&mut self, tensor: &Tensor) -> Arg {
        let block = tensor.ty.block_elements();
        let mut shape: Vec<_> = tensor.dims.iter().rev().map(|&d| Size::Fixed(d as usize)).collect();
        if let Some(Size::Fixed(row)) = shape.last_mut() {
            *row /= block as usize;
        }
        self.buffer(tensor.name, Role::Weight, tensor.ty.block_bytes() as usize, &shape)
    }
}

/// Elements of a weight's row.
fn width(weight: &Tensor) -> usize {
    weight.dims[0] as usize
}

/// Rows of a weight.
fn rows(weight: &Tensor) -> usize {
    weight.dims[1..].iter().product::<u64>() as usize
}

/// The instance of a kernel for the type of a weight: of `blocks` for quantized ones, of `floats` for others.
fn instance(weight: &Tensor, blocks: &str, floats: &str) -> String {
    let name = if weight.ty.is_quantized() { blocks } else { floats };
    format!("{name}_{}", weight.ty.name().replace('_', "").to_lowercase())
}

/// The extent of a weight's row: blocks or elements.
fn row_extent<'s>(stage: &'s mut Stage, weight: &Tensor) -> &'s mut Stage {
    let width = width(weight);
    if weight.ty.is_quantized() { stage.fixed("B", width / BLOCK) } else { stage.fixed("K", width) }
}
