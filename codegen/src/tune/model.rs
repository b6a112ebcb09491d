//! Which kernels a step of a model needs, at which sizes, and how often: what schedules are tuned for.
//!
//! The plan of `apr` is what runs; a test compares it with this.
use gguf::{Gguf, ModelError, Quant, Shape, TensorType};
use std::path::Path;

/// Positions in a chunk of the KV cache.
const CHUNK: u64 = 64;

/// The most of anything that is counted in a file.
const MOST: u64 = 1 << 17;

/// The window of a layer that attends to all positions.
const WHOLE: u64 = 1 << 22;

/// The matrices of a mixture of experts.
const EXPERTS: [&str; 4] =
    ["ffn_gate_inp.weight", "ffn_gate_exps.weight", "ffn_up_exps.weight", "ffn_down_exps.weight"];

/// The sizes of a decoder.
#[derive(Clone, Debug)]
pub struct Model {
    /// Of the shape, or of the file.
    pub name: String,
    architecture: String,
    layers: u32,
    hidden: u64,
    heads: u64,
    kv_heads: u64,
    head_dim: u64,
    /// Elements of a head that are rotated.
    rotated: u64,
    /// The window of local layers, and of how many layers the last is not local, where there are local ones.
    local: Option<(u64, u32)>,
    /// Experts that a token uses; 0 without any.
    used: u64,
    tensors: Vec<Tensor>,
}

/// A tensor of a model.
#[derive(Clone, Debug)]
struct Tensor {
    name: String,
    dims: Vec<u64>,
    ty: TensorType,
}

/// What a step computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// Tokens at once; the logits of the last are wanted.
    pub tokens: u64,
    /// Tokens before them.
    pub position: u64,
}

/// A kernel at some sizes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Need {
    /// Its name.
    pub kernel: String,
    /// Dims and integer scalars by name.
    pub sizes: Vec<(&'static str, u64)>,
    /// How often a step needs it at these.
    pub times: u64,
}

impl Model {
    /// A model of a known shape, with matrices in this mixture.
    pub fn of_shape(shape: &Shape, quant: Quant) -> Model {
        let tensors = shape.tensors(shape.layers, quant).into_iter();
        let [hidden, heads, kv_heads, head_dim] =
            [shape.hidden, shape.heads, shape.kv_heads, shape.head_dim].map(u64::from);
        Model {
            name: shape.name.into(),
            architecture: shape.architecture.into(),
            layers: shape.layers,
            hidden,
            heads,
            kv_heads,
            head_dim,
            rotated: u64::from(shape.rotated()),
            local: shape.window.and_then(|window| Some((u64::from(window), period(shape.architecture)?))),
            used: shape.experts.map_or(0, |(_, used)| u64::from(used)),
            tensors: tensors.map(|(name, dims, ty)| Tensor { name, dims, ty }).collect(),
        }
        .apart()
    }

    /// The model in a file. Its weights are not read.
    pub fn open(path: &Path) -> Result<Model, ModelError> {
        let gguf = Gguf::open(path)?;
        let metadata = gguf.metadata();
        let architecture = metadata.opt_str("general.architecture")?.unwrap_or_default().to_string();
        let number = |key: &str| -> Result<Option<u64>, ModelError> {
            let key = format!("{architecture}.{key}");
            match metadata.opt_u64(&key)? {
                Some(n) if !(1..=MOST).contains(&n) => {
                    Err(ModelError::metadata(&key, format!("{n} is not from 1 to {MOST}")))
                }
                n => Ok(n),
            }
        };
        let needed = |key: &str| {
            let missing = || ModelError::metadata(&format!("{architecture}.{key}"), "the key is missing");
            number(key)?.ok_or_else(missing)
        };
        let (hidden, heads) = (needed("embedding_length")?, needed("attention.head_count")?);
        let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
        let tensors = gguf.tensors().map(|t| Tensor { name: t.name.into(), dims: t.dims.to_vec(), ty: t.ty });
        let head_dim = number("attention.key_length")?.unwrap_or((hidden / heads).max(1));
        let model = Model {
            name,
            layers: needed("block_count")? as u32,
            hidden,
            heads,
            kv_heads: number("attention.head_count_kv")?.unwrap_or(heads),
            head_dim,
            rotated: number("rope.dimension_count")?.unwrap_or(head_dim),
            local: number("attention.sliding_window")?.and_then(|window| Some((window, period(&architecture)?))),
            used: number("expert_used_count")?.unwrap_or(0),
            tensors: tensors.collect(),
            architecture,
        };
        Ok(model.apart())
    }

    /// With a matrix for each that is some rows of a tensor: query, key and value, or gate and up.
    fn apart(mut self) -> Model {
        let (q, kv) = (self.heads * self.head_dim, self.kv_heads * self.head_dim);
        let gate_is_apart = self.tensors.iter().any(|tensor| tensor.name.ends_with(".ffn_gate.weight"));
        let parts = |tensor: &Tensor| {
            let half = rows(tensor) / 2;
            let (layer, role) =
                tensor.name.match_indices('.').nth(1).map_or(("", ""), |(at, _)| tensor.name.split_at(at + 1));
            let parts: &[(&str, u64)] = match role {
                "attn_qkv.weight" => &[("attn_q", q), ("attn_k", kv), ("attn_v", kv)],
                "ffn_up.weight" if !gate_is_apart => &[("ffn_gate", half), ("ffn_up", half)],
                _ => return vec![tensor.clone()],
            };
            let part = |(role, rows): &(&str, u64)| {
                let (name, dims) = (format!("{layer}{role}.weight"), vec![width(tensor), *rows]);
                Tensor { name, dims, ty: tensor.ty }
            };
            parts.iter().map(part).collect()
        };
        self.tensors = self.tensors.iter().flat_map(parts).collect();
        self
    }

    /// What a token needs that is generated at a position, and one of a prompt of so many tokens at once; and how often.
    pub fn token(&self, position: u64, prompt: u64) -> Vec<(Need, f64)> {
        let generated = Step { tokens: 1, position };
        let prompt = Step { tokens: prompt, position: 0 };
        let weighted =
            |step: Step| self.needs(step).into_iter().map(move |need| (need.times as f64 / step.tokens as f64, need));
        weighted(generated).chain(weighted(prompt)).map(|(weight, need)| (need, weight)).collect()
    }

    /// What a step needs: kernels that compute one operation each, and those that compute several where there is one token.
    pub fn needs(&self, step: Step) -> Vec<Need> {
        let mut needs = Needs::default();
        let last = Step { tokens: 1, ..step };
        if let Some(table) = self.tensor("token_embd.weight") {
            let (kernel, row) = (instance(table, "embed", "embed_row"), row(table));
            needs.add(kernel, &[("T", step.tokens), ("V", rows(table)), row], 1);
        }
        if period(&self.architecture).is_some() {
            needs.add("times", &[("T", step.tokens), ("N", self.hidden)], 1);
        }
        for layer in 0..self.layers {
            let local = self.local.filter(|(_, period)| layer % period < period - 1);
            let window = local.map_or(WHOLE, |(window, _)| window);
            self.layer(&format!("blk.{layer}."), window, step, &mut needs);
        }
        if let Some(output) = self.tensor("output.weight").or_else(|| self.tensor("token_embd.weight")) {
            needs.normed(&[output], last);
            needs.after_norm(output, "scaled", last);
            needs.add("argmax", &[("T", 1), ("N", rows(output))], 1);
        }
        needs.0
    }

    fn layer(&self, layer: &str, window: u64, step: Step, needs: &mut Needs) {
        let of = |role: &str| self.tensor(&format!("{layer}{role}"));
        let weights = |roles: &[&str]| roles.iter().filter_map(|role| of(role)).collect::<Vec<_>>();
        let (t, chunks) = (("T", step.tokens), (step.position + step.tokens).div_ceil(CHUNK));
        needs.add("add", &[t, ("N", self.hidden)], 2);
        let inputs = weights(&["attn_q.weight", "attn_k.weight", "attn_v.weight"]);
        needs.normed(&inputs, step);
        let then = if of("attn_q.bias").is_some() { "bias" } else { "scaled" };
        inputs.iter().for_each(|weight| needs.after_norm(weight, then, step));
        let (heads, c, at) = (("G", self.kv_heads), ("C", chunks), ("pos", step.position));
        let (d, positions) = (self.head_dim, chunks * CHUNK);
        needs.add("k_write", &[t, heads, ("P", d / 2), c, ("N", positions), at], 1);
        needs.add("v_write", &[t, heads, ("D", d), c, at], 1);
        for heads in [self.heads, self.kv_heads] {
            let (h, d) = (("H", heads), self.head_dim);
            if of("attn_q_norm.weight").is_some() {
                needs.add("rmsnorm", &[t, h, ("K", d)], 1);
            }
            // Llama's files have the elements that are turned together as pairs.
            if self.architecture == "llama" {
                needs.add("unpair", &[t, h, ("P", d / 2)], 1);
            } else if self.rotated < d {
                needs.add("spread", &[t, h, ("R", self.rotated / 2), ("S", (d - self.rotated) / 2)], 1);
            }
        }
        let of_group = ("R", self.heads / self.kv_heads);
        let sizes = [t, heads, of_group, c, ("P", positions), at, ("window", window)];
        needs.add(format!("attention_{}", self.head_dim), &sizes, 1);
        for role in ["post_attention_norm.weight", "post_ffw_norm.weight"] {
            weights(&[role]).iter().for_each(|_| needs.add("rmsnorm", &[t, ("H", 1), ("K", self.hidden)], 1));
        }
        for role in ["attn_output.weight", "ffn_down.weight"] {
            needs.quantized(&weights(&[role]), step);
            weights(&[role]).iter().for_each(|weight| needs.product(weight, "add", step));
        }
        if let [router, gate, up, down] = weights(&EXPERTS)[..] {
            needs.normed(&[router, gate, up], step);
            needs.after_norm(router, "scaled", step);
            let (count, used) = (("E", rows(router)), ("S", self.used));
            needs.add("route", &[t, count, used], 1);
            for (weight, inputs) in [(gate, 1), (up, 1), (down, self.used)] {
                let sizes = [t, count, used, ("X", inputs), ("N", rows(weight) / rows(router)), row(weight)];
                needs.add(instance(weight, "expert", "expert_float"), &sizes, 1);
            }
            needs.add("rms_scale", &[t, groups(gate)], 1);
            needs.add("swiglu", &[t, ("N", self.used * rows(gate) / rows(router))], 1);
            needs.blocks(&[down], self.used, step);
            needs.add("mix", &[t, used, ("N", self.hidden)], 1);
        }
        let inner = weights(&["ffn_gate.weight", "ffn_up.weight"]);
        needs.normed(&inner, step);
        inner.iter().for_each(|weight| needs.product(weight, "", step));
        if let [gate, up] = inner[..] {
            needs.add("rms_scale", &[t, groups(gate)], 1);
            let gelu = self.architecture == "gemma3";
            needs.add(if gelu { "geglu" } else { "swiglu" }, &[t, ("N", rows(gate))], 1);
            if !gelu && gate.ty == up.ty && gate.ty.is_quantized() && step.tokens == 1 {
                needs.add(instance(gate, "gate_up", ""), &[t, ("N", rows(gate)), row(gate), groups(gate)], 1);
            }
        }
    }

    fn tensor(&self, name: &str) -> Option<&Tensor> {
        self.tensors.iter().find(|tensor| tensor.name == name)
    }
}

/// Of how many layers the last is not local, in architectures that have local ones.
fn period(architecture: &str) -> Option<u32> {
    (architecture == "gemma3").then_some(6)
}

/// Elements of a row.
fn width(weight: &Tensor) -> u64 {
    weight.dims.first().copied().unwrap_or(1)
}

fn rows(weight: &Tensor) -> u64 {
    weight.dims.iter().skip(1).product()
}

/// The extent of a row: blocks, or numbers.
fn row(weight: &Tensor) -> (&'static str, u64) {
    if weight.ty.is_quantized() { ("B", width(weight) / weight.ty.block_elements()) } else { ("K", width(weight)) }
}

/// The groups of 256 elements of a row, whose sums of squares RMSNorm adds up.
fn groups(weight: &Tensor) -> (&'static str, u64) {
    ("G", width(weight).div_ceil(256))
}

/// The instance of a kernel for the type of a weight: of `blocks` for quantized ones, of `numbers` for others.
fn instance(weight: &Tensor, blocks: &str, numbers: &str) -> String {
    let name = if weight.ty.is_quantized() { blocks } else { numbers };
    format!("{name}_{}", weight.ty.name().replace('_', "").to_lowercase())
}

/// The kernels, each with its sizes once.
#[derive(Default)]
struct Needs(Vec<Need>);

impl Needs {
    fn add(&mut self, kernel: impl Into<String>, sizes: &[(&'static str, u64)], times: u64) {
        let kernel = kernel.into();
        match self.0.iter_mut().find(|need| need.kernel == kernel && need.sizes == sizes) {
            Some(need) => need.times += times,
            None => self.0.push(Need { kernel, sizes: sizes.to_vec(), times }),
        }
    }

    /// The activations that all of these weights are multiplied with, in blocks where one of them is.
    fn quantized(&mut self, weights: &[&Tensor], step: Step) {
        self.blocks(weights, 1, step);
    }

    /// The same for so many rows of a weight in one row of activations.
    fn blocks(&mut self, weights: &[&Tensor], times: u64, step: Step) {
        for (kernel, elements) in [("quantize_q8k", 256), ("quantize_q8", 32)] {
            if let Some(weight) = weights.iter().find(|weight| weight.ty.block_elements() == elements) {
                self.add(kernel, &[("T", step.tokens), ("B", times * width(weight) / elements)], 1);
            }
        }
    }

    /// The same of a value under RMSNorm, in each form that one of the weights takes.
    fn normed(&mut self, weights: &[&Tensor], step: Step) {
        let t = ("T", step.tokens);
        let with = |elements: u64| weights.iter().find(|weight| weight.ty.block_elements() == elements);
        if let Some(weight) = with(256) {
            self.add("weigh_q8k", &[t, row(weight)], 1);
        }
        if let Some(weight) = with(1).or(with(32)) {
            self.add("weigh", &[t, ("K", width(weight)), groups(weight)], 1);
        }
        if let Some(weight) = with(32) {
            self.add("quantize_q8", &[t, row(weight)], 1);
        }
    }

    /// A product with a value under RMSNorm, and the operation that takes it.
    fn after_norm(&mut self, weight: &Tensor, then: &str, step: Step) {
        let t = ("T", step.tokens);
        self.add("rms_scale", &[t, groups(weight)], 1);
        self.add(then, &[t, ("N", rows(weight))], 1);
        self.inside(weight, then, &[groups(weight)], step);
        self.product(weight, "", step);
    }

    /// A product, and the kernel that computes it with the operation that follows it, where there is one.
    fn product(&mut self, weight: &Tensor, then: &str, step: Step) {
        if !then.is_empty() {
            self.inside(weight, then, &[], step);
        }
        let sizes = [("T", step.tokens), ("N", rows(weight)), row(weight)];
        self.add(instance(weight, "matvec", "matvec_float"), &sizes, 1);
    }

    /// The kernel that computes a product in the operation that follows it, where there is one.
    fn inside(&mut self, weight: &Tensor, then: &str, more: &[(&'static str, u64)], step: Step) {
        if weight.ty.is_quantized() && step.tokens == 1 {
            let sizes = [&[("T", 1), ("N", rows(weight))], more, &[row(weight)]].concat();
            self.add(format!("{}_{then}", instance(weight, "matvec", "")), &sizes, 1);
        }
    }
}
