//! The tensor types of the GGUF format: their ids, names and block sizes.

use std::fmt;

macro_rules! tensor_types {
    ($($variant:ident = $id:literal, $name:literal, $elements:literal in $bytes:literal;)*) => {
        /// How a tensor's elements are stored: plain numbers, or blocks of quantized ones.
        #[allow(non_camel_case_types, missing_docs)]
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum TensorType { $($variant,)* }

        impl TensorType {
            /// Every known type, by ascending id.
            pub const ALL: &[TensorType] = &[$(TensorType::$variant,)*];

            /// The type with this id in a file; ids that ggml has removed or that are unknown here have none.
            pub fn from_id(id: u32) -> Option<Self> {
                match id { $($id => Some(Self::$variant),)* _ => None }
            }

            /// The id in a file.
            pub fn id(self) -> u32 {
                match self { $(Self::$variant => $id,)* }
            }

            /// The usual name, such as `Q4_K`.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// Elements in a block; 1 for plain numbers.
            pub fn block_elements(self) -> u64 {
                match self { $(Self::$variant => $elements,)* }
            }

            /// Bytes of a block.
            pub fn block_bytes(self) -> u64 {
                match self { $(Self::$variant => $bytes,)* }
            }
        }
    };
}

// Ids and block layouts as in ggml's `ggml_type` and `ggml-common.h`.
tensor_types! {
    F32 = 0, "F32", 1 in 4;
    F16 = 1, "F16", 1 in 2;
    Q4_0 = 2, "Q4_0", 32 in 18;
    Q4_1 = 3, "Q4_1", 32 in 20;
    Q5_0 = 6, "Q5_0", 32 in 22;
    Q5_1 = 7, "Q5_1", 32 in 24;
    Q8_0 = 8, "Q8_0", 32 in 34;
    Q8_1 = 9, "Q8_1", 32 in 36;
    Q2_K = 10, "Q2_K", 256 in 84;
    Q3_K = 11, "Q3_K", 256 in 110;
    Q4_K = 12, "Q4_K", 256 in 144;
    Q5_K = 13, "Q5_K", 256 in 176;
    Q6_K = 14, "Q6_K", 256 in 210;
    Q8_K = 15, "Q8_K", 256 in 292;
    IQ2_XXS = 16, "IQ2_XXS", 256 in 66;
    IQ2_XS = 17, "IQ2_XS", 256 in 74;
    IQ3_XXS = 18, "IQ3_XXS", 256 in 98;
    IQ1_S = 19, "IQ1_S", 256 in 50;
    IQ4_NL = 20, "IQ4_NL", 32 in 18;
    IQ3_S = 21, "IQ3_S", 256 in 110;
    IQ2_S = 22, "IQ2_S", 256 in 82;
    IQ4_XS = 23, "IQ4_XS", 256 in 136;
    I8 = 24, "I8", 1 in 1;
    I16 = 25, "I16", 1 in 2;
    I32 = 26, "I32", 1 in 4;
    I64 = 27, "I64", 1 in 8;
    F64 = 28, "F64", 1 in 8;
    IQ1_M = 29, "IQ1_M", 256 in 56;
    BF16 = 30, "BF16", 1 in 2;
    TQ1_0 = 34, "TQ1_0", 256 in 54;
    TQ2_0 = 35, "TQ2_0", 256 in 66;
    MXFP4 = 39, "MXFP4", 32 in 17;
}

impl TensorType {
    /// Whether elements are stored in blocks with shared scales.
    pub fn is_quantized(self) -> bool {
        self.block_elements() > 1
    }

    /// Bytes of a tensor of these dimensions (dimension 0 is the row), or why there is none: a zero dimension, a row
    /// that is no whole number of blocks, or a size past 2^63.
    pub fn tensor_bytes(self, dims: &[u64]) -> Result<u64, String> {
        if let Some(axis) = dims.iter().position(|&d| d == 0) {
            return Err(format!("dimension {axis} is zero"));
        }
        let (row, block) = (dims.first().copied().unwrap_or(1), self.block_elements());
        if !row.is_multiple_of(block) {
            return Err(format!("a row of {row} elements is no multiple of the {block} elements of a {self} block"));
        }
        let row_bytes = (row / block).checked_mul(self.block_bytes());
        dims.iter()
            .skip(1)
            .fold(row_bytes, |bytes, &d| bytes?.checked_mul(d))
            .filter(|&bytes| bytes <= i64::MAX as u64)
            .ok_or_else(|| format!("dimensions {dims:?} of type {self} overflow the size of a tensor"))
    }
}

impl fmt::Display for TensorType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}
