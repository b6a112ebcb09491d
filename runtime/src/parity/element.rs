//! An element of a buffer, as people read it: a number with its bits, or a block's bytes.
use half::f16;
use kgen::text::hex;
use serde::Serialize;
use std::fmt;

/// Bytes of a block that are shown, from the first that differs.
const SHOWN: usize = 16;

/// An element of one side.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Element {
    /// Its type, as in the kernel: `f32`, `f16`, `i32`, or a block.
    pub r#type: String,
    /// The number; none for a block, and for what is no number.
    pub value: Option<f64>,
    /// Its bits as a hexadecimal number; of a block, bytes in their order.
    pub bits: String,
    /// Of a block, the byte at which `bits` begins.
    pub byte: Option<usize>,
}

impl Element {
    /// The element with these bytes; `differs` is the first of them that differs from the other side's.
    pub fn new(ty: &str, bytes: &[u8], differs: usize) -> Element {
        let value = match (ty, bytes) {
            ("f32", &[a, b, c, d]) => Some(f64::from(f32::from_le_bytes([a, b, c, d]))),
            ("i32", &[a, b, c, d]) => Some(f64::from(i32::from_le_bytes([a, b, c, d]))),
            ("f16", &[a, b]) => Some(f64::from(f16::from_le_bytes([a, b]).to_f32())),
            _ => None,
        };
        let (bits, byte) = match value {
            Some(_) => (format!("0x{}", hex(&bytes.iter().rev().copied().collect::<Vec<_>>())), None),
            None => (hex(&bytes[differs..bytes.len().min(differs + SHOWN)]), Some(differs)),
        };
        Element { r#type: ty.into(), value, bits, byte }
    }
}

impl fmt::Display for Element {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match (self.value, self.byte) {
            (Some(value), _) => write!(f, "{value:e} ({} {})", self.r#type, self.bits),
            (None, byte) => write!(f, "{} block, from byte {}: {}", self.r#type, byte.unwrap_or(0), self.bits),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_their_value_and_bits() {
        let one = Element::new("f32", &1.5f32.to_le_bytes(), 3);
        assert_eq!((one.value, one.bits.as_str(), one.byte), (Some(1.5), "0x3fc00000", None));
        assert_eq!(one.to_string(), "1.5e0 (f32 0x3fc00000)");
        assert_eq!(Element::new("f16", &[0, 0x3c], 0).to_string(), "1e0 (f16 0x3c00)");
        assert_eq!(Element::new("i32", &(-2i32).to_le_bytes(), 0).value, Some(-2.0));
    }

    #[test]
    fn blocks_show_where_they_differ() {
        let bytes: Vec<u8> = (0..20).collect();
        let block = Element::new("Q8K", &bytes, 17);
        assert_eq!(block.to_string(), "Q8K block, from byte 17: 111213");
        assert_eq!(Element::new("Q8K", &bytes, 0).bits.len(), 2 * SHOWN);
    }
}
