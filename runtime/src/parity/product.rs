//! The plan of one product with a quantized weight, by two definitions.
use crate::{
    Error,
    plan::{Arg, BEST, BoundStage, Buffer, BufferId, LOGITS, Plan, Role, Size, Stage},
};
use std::sync::Arc;

/// The buffers in the order of the plan: the weight.
const WEIGHT: BufferId = BufferId(0);
/// The rows of the weight that a step dequantizes.
const ROWS: BufferId = BufferId(1);
const X: BufferId = BufferId(2);
const QUANTIZED: BufferId = BufferId(3);
const DEQUANTIZED: BufferId = BufferId(5);
const FLOAT_PRODUCT: BufferId = BufferId(6);
const MOST: BufferId = BufferId(7);
/// The product with quantized activations: f32, one for each row of the weight.
pub const PRODUCT: BufferId = BufferId(4);

/// The format of the weight where a stage is a product with quantized activations.
pub fn format(stage: &BoundStage) -> Option<&'static str> {
    stage.kernel.name.strip_prefix("matvec_").filter(|format| !format.starts_with("float_"))
}

/// The plan of a stage's product for one token with the activations `x`, and the number of the weight's rows. Its tokens are
/// rows of the weight: those that a step dequantizes, and whose float products are its logits.
pub fn one_product(plan: &Plan, stage: &BoundStage, x: Vec<f32>) -> Result<(Plan, usize), Error> {
    let weight = stage.reads().map(|arg| plan.buffer(arg.buffer)).find(|buffer| matches!(buffer.role, Role::Weight(_)));
    let x_info = stage.kernel.buffers.iter().find(|info| info.name == "x");
    let (Some(weight), Some(x_info), Some(format)) = (weight, x_info, format(stage)) else {
        return Err(Error::Failure(format!("{} is no product with a quantized weight", stage.name)));
    };
    let Size::Fixed(rows) = weight.shape[0] else {
        return Err(Error::Failure(format!("`{}` has no fixed number of rows", weight.name)));
    };
    let [one, n, k, blocks] = [1, rows, x.len(), x.len() / x_info.elements].map(Size::Fixed);
    let quantize = format!("quantize_{}", x_info.elem.to_lowercase());
    let x: Arc<[f32]> = x.into();
    let x = Role::Table(Arc::new(move |_, row| row.copy_from_slice(&x)));
    let buffers = vec![
        weight.clone(),
        buffer("rows", Role::Input, 4, &[Size::Tokens]),
        buffer("x", x, 4, &[one, k]),
        buffer("x.blocks", Role::Activation, x_info.elem_bytes, &[one, blocks]),
        buffer("product", Role::Activation, 4, &[one, n]),
        buffer("dequantized", Role::Activation, 4, &[Size::Tokens, k]),
        buffer(LOGITS, Role::Activation, 4, &[Size::Tokens]),
        buffer(BEST, Role::Activation, 4, &[one]),
    ];
    let (name, t) = (stage.name.as_str(), Size::Tokens);
    let stages = vec![
        call("x.blocks", &quantize, &[("T", one), ("B", blocks)], &[("x", X), ("y", QUANTIZED)]),
        call(
            name,
            stage.kernel.name,
            &[("T", one), ("N", n), ("B", blocks)],
            &[("w", WEIGHT), ("x", QUANTIZED), ("y", PRODUCT)],
        ),
        call(
            "dequantized",
            &format!("embed_{format}"),
            &[("T", t), ("V", n), ("B", blocks)],
            &[("table", WEIGHT), ("tokens", ROWS), ("y", DEQUANTIZED)],
        ),
        call(
            LOGITS,
            "matvec_float_f32",
            &[("T", one), ("N", t), ("K", k)],
            &[("w", DEQUANTIZED), ("x", X), ("y", FLOAT_PRODUCT)],
        ),
        call(BEST, "argmax", &[("T", one), ("N", t)], &[("x", FLOAT_PRODUCT), ("y", MOST)]),
    ];
    Ok((Plan { buffers, stages }, rows))
}

fn buffer(name: &str, role: Role, elem_bytes: usize, shape: &[Size]) -> Buffer {
    Buffer { name: name.into(), role, elem_bytes, shape: shape.into() }
}

fn call(name: &str, kernel: &str, ints: &[(&'static str, Size)], args: &[(&'static str, BufferId)]) -> Stage {
    let args = args.iter().map(|&(name, buffer)| (name, Arg { buffer, outputs_only: false })).collect();
    Stage { name: name.into(), kernel: kernel.into(), ints: ints.into(), floats: Vec::new(), args }
}
