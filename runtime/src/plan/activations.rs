//! What products with quantized weights take for activations, and the operands that follow.
use super::{
    Arg, Role, Size,
    build::{Builder, Value, rows, width},
    norm::Source,
};
use crate::{
    gguf::{Tensor, TensorType},
    model::{instance, operand},
};
use clap::ValueEnum;
use std::{fmt, sync::Arc};

/// The activations of products with quantized weights. Float weights take floats in any case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Activations {
    /// Blocks of 8 bits.
    #[default]
    Q8k,
    /// Blocks of 16 bits, as two planes of 8 bits: each is a row of activations to the products.
    Q16k,
    /// Floats, with the weights dequantized in each step. Slow; what the others are measured by.
    F32,
}

impl fmt::Display for Activations {
    /// As on the command line.
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        self.to_possible_value().map_or(Ok(()), |value| f.write_str(value.get_name()))
    }
}

/// What a product takes.
pub(super) struct Operands {
    /// The kernel.
    pub(super) kernel: String,
    /// The matrix.
    pub(super) weight: Arg,
    /// The activations.
    pub(super) input: Arg,
    /// Rows of activations.
    pub(super) rows: Size,
    /// The extent of a row: blocks or elements.
    pub(super) extent: (&'static str, usize),
    /// Whether there are two planes, whose products are to be added.
    pub(super) planes: bool,
}

impl Builder {
    /// The operands of a product: `kernels` are those for quantized weights and for floats.
    pub(super) fn operands(&mut self, name: &str, w: &Tensor, x: Source, kernels: (&str, &str)) -> Operands {
        let (wide, floats) = (self.activations == Activations::Q16k, self.activations == Activations::F32);
        let Some(blocks) = operand(w.ty, "x").filter(|blocks| blocks.elements > 1) else {
            let (weight, x) = (self.weight(w), self.floats(x));
            return Operands { kernel: instance(w.ty, kernels.0, kernels.1), weight, ..float(w, x) };
        };
        if floats {
            let (kernel, x) = (instance(TensorType::F32, kernels.0, kernels.1), self.floats(x));
            return Operands { kernel, weight: self.dequantized(name, w), ..float(w, x) };
        }
        let kernel = instance(w.ty, kernels.0, kernels.1);
        let t = x.rows();
        let (input, weight) = (self.blocks(name, x, blocks, wide), self.weight(w));
        let extent = ("B", width(w) / w.ty.block_elements() as usize);
        let rows = if wide { twice(t) } else { t };
        Operands { kernel, weight, input, rows, extent, planes: wide }
    }

    /// Where a product stores rows of `width`.
    pub(super) fn product(&mut self, name: &str, width: usize, rows: Size, planes: bool) -> Value {
        let y = self.output(name, width, rows);
        if !planes {
            return y;
        }
        let both = format!("{}.planes", self.plan.buffer(y.arg.buffer).name);
        let arg = self.buffer(&both, Role::Activation, 4, &[rows, Size::Fixed(2), Size::Fixed(width)]);
        Value { arg, ..y }
    }

    /// The product of both planes, where there are two.
    pub(super) fn joined(&mut self, name: &str, x: Value, planes: bool) -> Value {
        if !planes {
            return x;
        }
        let y = self.output(name, x.width, x.rows);
        let stage = self.stage(&format!("{name}.planes"), "add_planes").int("T", x.rows).fixed("N", x.width);
        stage.arg("x", x.arg).arg("y", y.arg);
        y
    }

    /// The rows of a weight as floats, in memory that weights of the same size share.
    fn dequantized(&mut self, name: &str, w: &Tensor) -> Arg {
        let (n, k) = (rows(w), width(w));
        let number = |row: usize, to: &mut [f32]| to.fill(f32::from_bits(row as u32));
        let all = self.buffer(&format!("rows.{n}"), Role::Table(Arc::new(number)), 4, &[Size::Fixed(n)]);
        let y = self.buffer(&format!("dequantized.{n}x{k}"), Role::Activation, 4, &[n, k].map(Size::Fixed));
        let table = self.weight(w);
        let stage = self.stage(&format!("{name}.f32"), &instance(w.ty, "embed", "embed_row"));
        stage.fixed("T", n).fixed("V", n).fixed("B", k / w.ty.block_elements() as usize);
        stage.arg("table", table).arg("tokens", all).arg("y", y);
        y
    }
}

/// The operands with float activations, but for the matrix.
fn float(w: &Tensor, x: Value) -> Operands {
    let (weight, extent) = (x.arg, ("K", width(w)));
    Operands { kernel: String::new(), weight, input: x.arg, rows: x.rows, extent, planes: false }
}

/// Two for each of these.
pub(super) fn twice(rows: Size) -> Size {
    match rows {
        Size::Tokens => Size::TwiceTokens,
        Size::Outputs => Size::TwiceOutputs,
        Size::Fixed(n) => Size::Fixed(2 * n),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_format_is_named_as_it_is_asked_for() {
        let names: Vec<String> = Activations::value_variants().iter().map(Activations::to_string).collect();
        assert_eq!(names, ["q8k", "q16k", "f32"]);
    }
}
