//! Which type each matrix of a model has.
use crate::TensorType;

/// How matrices are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
#[value(rename_all = "snake_case")]
pub enum Quant {
    /// Q4_K, and Q6_K where llama.cpp's mixture of that name has it.
    #[value(name = "q4_k_m")]
    Q4KM,
    /// Half precision.
    F16,
    /// Brain floats.
    Bf16,
    /// Single precision.
    F32,
}

impl Quant {
    /// The value of `general.file_type` (llama.cpp's `llama_ftype`).
    pub fn file_type(self) -> u32 {
        match self {
            Quant::F32 => 0,
            Quant::F16 => 1,
            Quant::Q4KM => 15,
            Quant::Bf16 => 32,
        }
    }

    /// The type of a matrix, of one that is kept in more bits or not.
    pub(crate) fn matrix(self, more_bits: bool) -> TensorType {
        match (self, more_bits) {
            (Quant::Q4KM, true) => TensorType::Q6_K,
            (Quant::Q4KM, false) => TensorType::Q4_K,
            (Quant::F16, _) => TensorType::F16,
            (Quant::Bf16, _) => TensorType::BF16,
            (Quant::F32, _) => TensorType::F32,
        }
    }
}

/// Whether layer `i` of `n` keeps `attn_v` and `ffn_down` in more bits: the first and the last eighth, and every third
/// layer between (llama.cpp's rule for the `_M` mixtures).
pub(crate) fn use_more_bits(i: u32, n: u32) -> bool {
    i < n / 8 || i >= 7 * n / 8 || (i - n / 8) % 3 == 2
}
