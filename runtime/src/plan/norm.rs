//! RMSNorm before products: they take a value times the norm's weights, and what they give is multiplied by the scale of its row.
use super::{
    Arg, Size,
    build::{Builder, Value},
};
use crate::{gguf::Tensor, model::Gate};
use kernels_gen::BufferInfo;

/// Elements of a group whose squares are added up, and of a block of Q8_K.
const GROUP: usize = 256;

/// A value under RMSNorm: what products take is the value times `weight`.
pub(super) struct Normed<'m> {
    name: String,
    x: Value,
    weight: &'m Tensor<'m>,
    scale: Scale,
    /// The forms that products have asked for so far.
    blocks: Option<Arg>,
    floats: Option<Value>,
}

/// A product with a value under RMSNorm. The operation that takes it multiplies it by the scale of its row.
#[derive(Clone, Copy)]
pub(super) struct Unscaled {
    product: Value,
    scale: Scale,
}

/// What the scales of the rows of a value are computed from: the sums of squares of their groups, f32 `[rows, groups]`.
#[derive(Clone, Copy)]
struct Scale {
    squares: Arg,
    width: usize,
    eps: f32,
}

/// What a product is with.
pub(super) enum Source<'s, 'm> {
    Value(Value),
    Normed(&'s mut Normed<'m>),
}

impl Source<'_, '_> {
    fn value(&self) -> Value {
        match self {
            Source::Value(x) => *x,
            Source::Normed(n) => n.x,
        }
    }

    /// Its rows.
    pub(super) fn rows(&self) -> Size {
        self.value().rows
    }

    /// Elements of a row.
    pub(super) fn width(&self) -> usize {
        self.value().width
    }
}

impl<'m> Normed<'m> {
    /// A product with it, which is still to be scaled.
    pub(super) fn unscaled(&self, product: Value) -> Unscaled {
        Unscaled { product, scale: self.scale }
    }
}

impl Builder {
    /// A value under RMSNorm. It must not be written again before its last product.
    pub(super) fn norm<'m>(&mut self, name: &str, weight: &'m Tensor<'m>, x: Value, eps: f32) -> Normed<'m> {
        let groups = Size::Fixed(x.width.div_ceil(GROUP));
        let squares = self.activation(&format!("{name}.squares"), 4, &[x.rows, groups]);
        let scale = Scale { squares, width: x.width, eps };
        Normed { name: name.into(), x, weight, scale, blocks: None, floats: None }
    }

    /// The product of a value under RMSNorm with a weight.
    pub(super) fn normed_product(&mut self, name: &str, w: &Tensor, x: &mut Normed) -> Unscaled {
        let product = self.product_of(name, w, Source::Normed(x));
        x.unscaled(product)
    }

    /// The floats of a product's activations.
    pub(super) fn floats(&mut self, x: Source) -> Value {
        let n = match x {
            Source::Value(x) => return x,
            Source::Normed(n) => n,
        };
        if let Some(done) = n.floats {
            return done;
        }
        let name = format!("{}.f32", n.name);
        let (w, y) = (self.weight(n.weight), self.output(&name, n.x.width, n.x.rows));
        let stage = self.stage(&name, "weigh").int("T", n.x.rows).fixed("K", n.x.width);
        stage.fixed("G", n.x.width.div_ceil(GROUP));
        stage.arg("x", n.x.arg).arg("w", w).arg("y", y.arg).arg("squares", n.scale.squares);
        *n.floats.insert(y)
    }

    /// The blocks of a product's activations, or two planes of blocks.
    pub(super) fn blocks(&mut self, name: &str, x: Source, blocks: &'static BufferInfo, planes: bool) -> Arg {
        match x {
            Source::Normed(n) if blocks.elem == "Q8K" && !planes => self.weighed(n, blocks),
            x => {
                let x = self.floats(x);
                self.quantize(name, x, blocks, planes)
            }
        }
    }

    /// The value times the weights of its norm as Q8_K.
    fn weighed(&mut self, n: &mut Normed, blocks: &BufferInfo) -> Arg {
        if let Some(done) = n.blocks {
            return done;
        }
        let count = Size::Fixed(n.x.width / blocks.elements);
        let (w, y) = (self.weight(n.weight), self.activation(&n.name, blocks.elem_bytes, &[n.x.rows, count]));
        let stage = self.stage(&n.name, "weigh_q8k").int("T", n.x.rows).int("B", count);
        stage.arg("x", n.x.arg).arg("w", w).arg("y", y).arg("squares", n.scale.squares);
        *n.blocks.insert(y)
    }

    /// The value of a product under RMSNorm.
    pub(super) fn scaled(&mut self, name: &str, x: Unscaled) -> Value {
        let scale = self.rms_scale(name, x);
        let y = self.output(name, x.product.width, x.product.rows);
        let stage = self.stage(name, "scaled").int("T", y.rows).fixed("N", y.width);
        stage.arg("x", x.product.arg).arg("scale", scale).arg("y", y.arg);
        y
    }

    /// The same with a bias.
    pub(super) fn bias(&mut self, name: &str, b: &Tensor, x: Unscaled) -> Value {
        let scale = self.rms_scale(name, x);
        let b = self.weight(b);
        let y = self.output(name, x.product.width, x.product.rows);
        let stage = self.stage(name, "bias").int("T", y.rows).fixed("N", y.width);
        stage.arg("x", x.product.arg).arg("scale", scale).arg("b", b).arg("y", y.arg);
        y
    }

    /// `gate * up` of two products with the same value under RMSNorm, after a function of the gate.
    pub(super) fn gated(&mut self, name: &str, function: Gate, gate: Unscaled, up: Unscaled) -> Value {
        let scale = self.rms_scale(name, gate);
        let y = self.output(name, gate.product.width, gate.product.rows);
        let stage = self.stage(name, function.kernel()).int("T", y.rows).fixed("N", y.width);
        stage.arg("gate", gate.product.arg).arg("up", up.product.arg).arg("scale", scale).arg("y", y.arg);
        y
    }

    /// The scales of a product's rows, for the operation of this name.
    fn rms_scale(&mut self, name: &str, x: Unscaled) -> Arg {
        let Scale { squares, width, eps } = x.scale;
        let name = format!("{name}.scale");
        let y = self.activation(&name, 4, &[x.product.rows]);
        let stage = self.stage(&name, "rms_scale").int("T", x.product.rows).fixed("G", width.div_ceil(GROUP));
        stage.float("len", width as f32).float("eps", eps).arg("squares", squares).arg("y", y);
        y
    }
}
