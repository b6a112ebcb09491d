//! How one number lies in memory.

/// A number in memory, little-endian.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum Scalar {
    F32,
    F16,
    Bf16,
    I32,
    I16,
    U16,
    I8,
    U8,
}

impl Scalar {
    /// From its name in the language.
    pub fn from_name(name: &str) -> Option<Scalar> {
        Some(match name {
            "f32" => Scalar::F32,
            "f16" => Scalar::F16,
            "bf16" => Scalar::Bf16,
            "i32" => Scalar::I32,
            "i16" => Scalar::I16,
            "u16" => Scalar::U16,
            "i8" => Scalar::I8,
            "u8" => Scalar::U8,
            _ => return None,
        })
    }

    /// Its name in the language.
    pub fn name(self) -> &'static str {
        match self {
            Scalar::F32 => "f32",
            Scalar::F16 => "f16",
            Scalar::Bf16 => "bf16",
            Scalar::I32 => "i32",
            Scalar::I16 => "i16",
            Scalar::U16 => "u16",
            Scalar::I8 => "i8",
            Scalar::U8 => "u8",
        }
    }

    /// Bytes in memory.
    pub fn bytes(self) -> usize {
        match self {
            Scalar::F32 | Scalar::I32 => 4,
            Scalar::F16 | Scalar::Bf16 | Scalar::I16 | Scalar::U16 => 2,
            Scalar::I8 | Scalar::U8 => 1,
        }
    }

    /// All values of an integer type; `None` for floats.
    pub fn range(self) -> Option<(i64, i64)> {
        match self {
            Scalar::F32 | Scalar::F16 | Scalar::Bf16 => None,
            Scalar::I32 => Some((i32::MIN as i64, i32::MAX as i64)),
            Scalar::I16 => Some((i16::MIN as i64, i16::MAX as i64)),
            Scalar::U16 => Some((0, u16::MAX as i64)),
            Scalar::I8 => Some((-128, 127)),
            Scalar::U8 => Some((0, 255)),
        }
    }
}
