//! Metadata values: their types in a file and a view of one value.

use super::ModelError;
use super::cursor::Cursor;

/// The type of a metadata value or of an array's elements, with its id in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
#[repr(u8)]
pub enum ValueType {
    U8 = 0,
    I8 = 1,
    U16 = 2,
    I16 = 3,
    U32 = 4,
    I32 = 5,
    F32 = 6,
    Bool = 7,
    Str = 8,
    Array = 9,
    U64 = 10,
    I64 = 11,
    F64 = 12,
}

impl ValueType {
    /// The type with this id.
    pub fn from_id(id: u32) -> Option<Self> {
        use ValueType::*;
        const ALL: [ValueType; 13] = [U8, I8, U16, I16, U32, I32, F32, Bool, Str, Array, U64, I64, F64];
        ALL.get(usize::try_from(id).ok()?).copied()
    }

    /// Bytes of a value of fixed size; strings and arrays have none.
    pub fn fixed_bytes(self) -> Option<usize> {
        use ValueType::*;
        match self {
            U8 | I8 | Bool => Some(1),
            U16 | I16 => Some(2),
            U32 | I32 | F32 => Some(4),
            U64 | I64 | F64 => Some(8),
            Str | Array => None,
        }
    }
}

/// A metadata value; integers and floats are widened without loss, text stays in the file.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value<'a> {
    /// An unsigned integer of any width.
    Unsigned(u64),
    /// A signed integer of any width.
    Signed(i64),
    /// A float of either width.
    Float(f64),
    /// A truth value.
    Bool(bool),
    /// Text as the file has it; not checked to be UTF-8.
    Str(&'a [u8]),
    /// An array of one element type.
    Array(Array<'a>),
}

impl Value<'_> {
    /// The value as an unsigned integer, if it is one of any width.
    pub fn as_u64(&self) -> Option<u64> {
        match *self {
            Value::Unsigned(v) => Some(v),
            Value::Signed(v) => u64::try_from(v).ok(),
            _ => None,
        }
    }

    /// The value as a 32-bit integer, if it is an integer in that range.
    pub fn as_i32(&self) -> Option<i32> {
        match *self {
            Value::Unsigned(v) => i32::try_from(v).ok(),
            Value::Signed(v) => i32::try_from(v).ok(),
            _ => None,
        }
    }
}

/// The elements of an array, in place.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Array<'a> {
    pub(super) elem: ValueType,
    pub(super) len: usize,
    pub(super) bytes: &'a [u8],
}

impl<'a> Array<'a> {
    /// The type of the elements.
    pub fn elem(&self) -> ValueType {
        self.elem
    }

    /// How many elements there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The elements in order.
    pub fn iter(&self) -> impl Iterator<Item = Value<'a>> + use<'a> {
        let (elem, bytes) = (self.elem, self.bytes);
        let mut cursor = Cursor::new(bytes);
        (0..self.len).map_while(move |_| match elem.fixed_bytes() {
            Some(size) => cursor.skip(size as u64, String::new).ok().map(|range| fixed(elem, &bytes[range])),
            None => cursor.string(String::new).ok().map(|range| Value::Str(&bytes[range])),
        })
    }
}

/// Decodes a value of fixed size from exactly its bytes.
pub(super) fn fixed(ty: ValueType, bytes: &[u8]) -> Value<'static> {
    let mut wide = [0; 8];
    wide[..bytes.len()].copy_from_slice(bytes);
    let raw = u64::from_le_bytes(wide);
    match ty {
        ValueType::I8 => Value::Signed(raw as i8 as i64),
        ValueType::I16 => Value::Signed(raw as i16 as i64),
        ValueType::I32 => Value::Signed(raw as i32 as i64),
        ValueType::I64 => Value::Signed(raw as i64),
        ValueType::F32 => Value::Float(f32::from_bits(raw as u32) as f64),
        ValueType::F64 => Value::Float(f64::from_bits(raw)),
        ValueType::Bool => Value::Bool(raw != 0),
        _ => Value::Unsigned(raw),
    }
}

/// Where a value lies, after its bytes were checked to be there.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) ty: ValueType,
    pub(super) elem: ValueType,
    pub(super) len: usize,
    pub(super) start: usize,
    pub(super) end: usize,
}

/// Walks over one value and checks all that can be checked without knowing the key.
pub(super) fn walk(cursor: &mut Cursor<'_>, bytes: &[u8], key: &str) -> Result<Place, ModelError> {
    let value = || format!("the value of `{}`", super::shown(key));
    let ty = read_type(cursor, key, "value")?;
    match ty {
        ValueType::Str => {
            let range = cursor.string(value)?;
            Ok(Place { ty, elem: ty, len: 1, start: range.start, end: range.end })
        }
        ValueType::Array => {
            let elem = read_type(cursor, key, "array element")?;
            let len = cursor.u64(value)?;
            let start = cursor.pos();
            walk_elements(cursor, key, elem, len)?;
            check_bools(bytes, elem, start, cursor.pos(), key)?;
            // Each element took at least a byte of the file, so the count fits.
            Ok(Place { ty, elem, len: len as usize, start, end: cursor.pos() })
        }
        _ => {
            let range = cursor.skip(ty.fixed_bytes().unwrap_or(0) as u64, value)?;
            check_bools(bytes, ty, range.start, range.end, key)?;
            Ok(Place { ty, elem: ty, len: 1, start: range.start, end: range.end })
        }
    }
}

fn walk_elements(cursor: &mut Cursor<'_>, key: &str, elem: ValueType, len: u64) -> Result<(), ModelError> {
    let array = || format!("the array of {len} elements in `{}`", super::shown(key));
    match (elem, elem.fixed_bytes()) {
        (ValueType::Array, _) => Err(ModelError::metadata(key, "an array of arrays, which no model needs")),
        (_, Some(size)) => cursor.skip(len.saturating_mul(size as u64), array).map(drop),
        (_, None) => {
            // Refused before the loop: a string takes 8 bytes at least.
            cursor.clone().skip(len.saturating_mul(8), array)?;
            (0..len).try_for_each(|_| cursor.string(array).map(drop))
        }
    }
}

fn read_type(cursor: &mut Cursor<'_>, key: &str, what: &str) -> Result<ValueType, ModelError> {
    let id = cursor.u32(|| format!("the {what} type of `{}`", super::shown(key)))?;
    ValueType::from_id(id).ok_or_else(|| ModelError::metadata(key, format!("unknown {what} type {id}")))
}

fn check_bools(bytes: &[u8], ty: ValueType, start: usize, end: usize, key: &str) -> Result<(), ModelError> {
    match bytes[start..end].iter().find(|&&b| b > 1) {
        Some(b) if ty == ValueType::Bool => Err(ModelError::metadata(key, format!("{b} is no truth value (0 or 1)"))),
        _ => Ok(()),
    }
}
