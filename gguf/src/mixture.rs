//! Which type each matrix of a model has.
use crate::TensorType;

/// How matrices are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
#[value(rename_all = "snake_case")]
pub enum Quant {
    /// Q4_K, and Q6_K where llama.cpp's mixture of that name has it.
    #[value(name = "q4_k_m")]
    Q4KM,
    /// Q5_K, and Q6_K for the output.
    #[value(name = "q5_k_s")]
    Q5KS,
    /// Q3_K, and Q6_K for the output.
    #[value(name = "q3_k_s")]
    Q3KS,
    /// Q2_K, and Q6_K for the output.
    #[value(name = "q2_k_s")]
    Q2KS,
    /// IQ4_XS, and Q6_K for the output.
    #[value(name = "iq4_xs")]
    Iq4Xs,
    /// IQ4_NL, and Q6_K for the output.
    #[value(name = "iq4_nl")]
    Iq4Nl,
    /// Q8_0.
    #[value(name = "q8_0")]
    Q80,
    /// Q5_1, and Q6_K for the output.
    #[value(name = "q5_1")]
    Q51,
    /// Q5_0, and Q6_K for the output.
    #[value(name = "q5_0")]
    Q50,
    /// Q4_1, and Q6_K for the output.
    #[value(name = "q4_1")]
    Q41,
    /// Q4_0, and Q6_K for the output.
    #[value(name = "q4_0")]
    Q40,
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
            Quant::Q40 => 2,
            Quant::Q41 => 3,
            Quant::Q80 => 7,
            Quant::Q50 => 8,
            Quant::Q51 => 9,
            Quant::Q3KS => 11,
            Quant::Q4KM => 15,
            Quant::Q5KS => 16,
            Quant::Q2KS => 21,
            Quant::Iq4Nl => 25,
            Quant::Iq4Xs => 30,
            Quant::Bf16 => 32,
        }
    }

    /// The type of most matrices.
    fn usual(self) -> TensorType {
        match self {
            Quant::Q4KM => TensorType::Q4_K,
            Quant::Q5KS => TensorType::Q5_K,
            Quant::Q3KS => TensorType::Q3_K,
            Quant::Q2KS => TensorType::Q2_K,
            Quant::Iq4Xs => TensorType::IQ4_XS,
            Quant::Iq4Nl => TensorType::IQ4_NL,
            Quant::Q80 => TensorType::Q8_0,
            Quant::Q51 => TensorType::Q5_1,
            Quant::Q50 => TensorType::Q5_0,
            Quant::Q41 => TensorType::Q4_1,
            Quant::Q40 => TensorType::Q4_0,
            Quant::F16 => TensorType::F16,
            Quant::Bf16 => TensorType::BF16,
            Quant::F32 => TensorType::F32,
        }
    }

    /// The type of a matrix with rows of `row` elements, of one that the mixture may keep in more bits or not.
    pub(crate) fn matrix(self, more_bits: bool, row: u64) -> TensorType {
        let ty = if more_bits && self == Quant::Q4KM { TensorType::Q6_K } else { self.usual() };
        for_rows(ty, row)
    }

    /// The type of a matrix that has the rows of Q, K and V.
    pub(crate) fn qkv(self, row: u64) -> TensorType {
        if self == Quant::Q4KM { for_rows(TensorType::Q5_K, row) } else { self.matrix(false, row) }
    }

    /// The type of the output matrix.
    pub(crate) fn output(self, row: u64) -> TensorType {
        let usual = self.usual();
        for_rows(if usual.is_quantized() && usual != TensorType::Q8_0 { TensorType::Q6_K } else { usual }, row)
    }
}

/// The type that llama.cpp's quantizer takes instead where a row is no whole number of blocks of 256: the next with blocks of 32.
fn for_rows(ty: TensorType, row: u64) -> TensorType {
    match ty {
        _ if row.is_multiple_of(ty.block_elements()) => ty,
        TensorType::Q4_K => TensorType::Q5_0,
        TensorType::Q5_K => TensorType::Q5_1,
        TensorType::Q6_K => TensorType::Q8_0,
        _ => TensorType::IQ4_NL,
    }
}

/// Whether layer `i` of `n` keeps `attn_v` and `ffn_down` in more bits: the first and the last eighth, and every third
/// layer between (llama.cpp's rule for the `_M` mixtures).
pub(crate) fn use_more_bits(i: u32, n: u32) -> bool {
    i < n / 8 || i >= 7 * n / 8 || (i - n / 8) % 3 == 2
}
