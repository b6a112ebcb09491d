//! Which types of tensors can be weights: those that there are kernels for. The table of the kernels is all that is known of a format.
use crate::gguf::TensorType;
use kernels_gen::{BufferInfo, Kernel};

/// The kernel of products with a matrix of this type.
pub fn product(ty: TensorType) -> Option<&'static Kernel> {
    kernels_gen::kernel(&instance(ty, "matvec", "matvec_float"))
}

/// The instance of a kernel for a type: of `blocks` for quantized ones, of `floats` for others.
pub fn instance(ty: TensorType, blocks: &str, floats: &str) -> String {
    let name = if ty.is_quantized() { blocks } else { floats };
    format!("{name}_{}", ty.name().replace('_', "").to_lowercase())
}

/// A buffer of the products with a matrix of this type: `w` is the matrix, `x` the activations.
pub fn operand(ty: TensorType, name: &str) -> Option<&'static BufferInfo> {
    product(ty)?.buffers.iter().find(|buffer| buffer.name == name)
}

/// The types that a matrix may have, by their names.
pub(super) fn names() -> String {
    let all = TensorType::ALL.iter().filter(|ty| product(**ty).is_some());
    all.map(|ty| ty.name()).collect::<Vec<_>>().join(", ")
}
