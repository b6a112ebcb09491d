//! Metadata values as bytes.
use crate::value::ValueType;

/// A metadata value as it stands in a file; made with `From` from numbers, truth values, text, and slices of them.
#[derive(Clone, Debug, PartialEq)]
pub struct MetaValue(pub(super) Vec<u8>);

/// A Rust type that has a metadata type.
trait Element {
    const TYPE: ValueType;
    fn put(&self, out: &mut Vec<u8>);
}

macro_rules! numbers {
    ($($rust:ty => $ty:ident;)*) => {
        $(impl Element for $rust {
            const TYPE: ValueType = ValueType::$ty;
            fn put(&self, out: &mut Vec<u8>) { out.extend(self.to_le_bytes()) }
        })*
    };
}

macro_rules! values {
    ($($rust:ty),*) => {
        $(impl From<$rust> for MetaValue {
            fn from(value: $rust) -> Self { scalar(&value) }
        }
        impl From<&[$rust]> for MetaValue {
            fn from(values: &[$rust]) -> Self { array(values) }
        }
        impl From<Vec<$rust>> for MetaValue {
            fn from(values: Vec<$rust>) -> Self { array(&values) }
        })*
    };
}

numbers! { u8 => U8; i8 => I8; u16 => U16; i16 => I16; u32 => U32; i32 => I32; f32 => F32; u64 => U64; i64 => I64; f64 => F64; }
values! { u8, i8, u16, i16, u32, i32, f32, u64, i64, f64, bool, &str, String }

impl Element for bool {
    const TYPE: ValueType = ValueType::Bool;
    fn put(&self, out: &mut Vec<u8>) {
        out.push(*self as u8);
    }
}

impl Element for &str {
    const TYPE: ValueType = ValueType::Str;
    fn put(&self, out: &mut Vec<u8>) {
        put_str(out, self);
    }
}

impl Element for String {
    const TYPE: ValueType = ValueType::Str;
    fn put(&self, out: &mut Vec<u8>) {
        put_str(out, self);
    }
}

pub(super) fn put_str(out: &mut Vec<u8>, text: &str) {
    out.extend((text.len() as u64).to_le_bytes());
    out.extend(text.as_bytes());
}

fn scalar<T: Element>(value: &T) -> MetaValue {
    let mut out = (T::TYPE as u32).to_le_bytes().to_vec();
    value.put(&mut out);
    MetaValue(out)
}

fn array<T: Element>(values: &[T]) -> MetaValue {
    let mut out = (ValueType::Array as u32).to_le_bytes().to_vec();
    out.extend((T::TYPE as u32).to_le_bytes());
    out.extend((values.len() as u64).to_le_bytes());
    values.iter().for_each(|value| value.put(&mut out));
    MetaValue(out)
}
