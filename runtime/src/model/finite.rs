//! Finds NaNs and infinities among weights and block scales, which would turn every later number into NaN.

use super::types::operand;
use crate::gguf::{ModelError, Tensor, TensorType};

/// The exponent bits of a 16-bit float, all of which are set in a NaN or an infinity.
const F16_EXPONENT: u16 = 0x7c00;
const BF16_EXPONENT: u16 = 0x7f80;
const F32_EXPONENT: u32 = 0x7f80_0000;

/// Checks every value of a plain tensor and every scale of a quantized one; the error names the tensor and the
/// place. Types that no kernel reads are no weights of a supported model and pass.
pub fn check_finite(tensor: &Tensor<'_>) -> Result<(), ModelError> {
    let bad = match tensor.ty {
        TensorType::F32 => tensor
            .data
            .chunks_exact(4)
            .position(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]]) & F32_EXPONENT == F32_EXPONENT),
        TensorType::F16 => halves(tensor, 0, F16_EXPONENT),
        TensorType::BF16 => halves(tensor, 0, BF16_EXPONENT),
        ty => {
            let scales = operand(ty, "w").map_or(&[][..], |block| block.halves);
            scales.iter().find_map(|at| halves(tensor, *at, F16_EXPONENT))
        }
    };
    let unit = if tensor.ty.is_quantized() { "the scale of block" } else { "element" };
    bad.map_or(Ok(()), |index| Err(ModelError::tensor(tensor.name, format!("{unit} {index} is not a finite number"))))
}

/// The first block, or number, with all exponent bits set in its 16-bit float at `at`.
fn halves(tensor: &Tensor<'_>, at: usize, exponent: u16) -> Option<usize> {
    let block = tensor.ty.block_bytes() as usize;
    tensor.data.chunks_exact(block).position(|b| u16::from_le_bytes([b[at], b[at + 1]]) & exponent == exponent)
}
