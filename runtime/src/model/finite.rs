//! Finds NaNs and infinities among weights and block scales, which would turn every later number into NaN.

use crate::gguf::{ModelError, Tensor, TensorType};

/// The exponent bits of a 16-bit float, all of which are set in a NaN or an infinity.
const F16_EXPONENT: u16 = 0x7c00;
const BF16_EXPONENT: u16 = 0x7f80;
const F32_EXPONENT: u32 = 0x7f80_0000;

/// Checks every value of a plain tensor and every scale of a Q4_K or Q6_K one; the error names the tensor and the
/// place. Other quantized types are no weights of a supported model and pass.
pub fn check_finite(tensor: &Tensor<'_>) -> Result<(), ModelError> {
    let bad = match tensor.ty {
        TensorType::F32 => tensor
            .data
            .chunks_exact(4)
            .position(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]]) & F32_EXPONENT == F32_EXPONENT),
        TensorType::F16 => halves(tensor, 0, 2, F16_EXPONENT),
        TensorType::BF16 => halves(tensor, 0, 2, BF16_EXPONENT),
        // d and dmin lead a Q4_K block.
        TensorType::Q4_K => halves(tensor, 0, 144, F16_EXPONENT).or_else(|| halves(tensor, 2, 144, F16_EXPONENT)),
        // d ends a Q6_K block.
        TensorType::Q6_K => halves(tensor, 208, 210, F16_EXPONENT),
        _ => None,
    };
    let unit = if tensor.ty.is_quantized() { "the scale of block" } else { "element" };
    bad.map_or(Ok(()), |index| Err(ModelError::tensor(tensor.name, format!("{unit} {index} is not a finite number"))))
}

/// The first block with all exponent bits set in the 16-bit float at `at`.
fn halves(tensor: &Tensor<'_>, at: usize, block: usize, exponent: u16) -> Option<usize> {
    tensor.data.chunks_exact(block).position(|b| u16::from_le_bytes([b[at], b[at + 1]]) & exponent == exponent)
}
