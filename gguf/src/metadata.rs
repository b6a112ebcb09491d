//! The metadata table: parsing, and typed access by key.

use super::ModelError;
use super::cursor::Cursor;
use super::value::{Array, Place, Value, ValueType, fixed, walk};

/// The least bytes an entry takes: key length, one byte of key, type, one byte of value.
const LEAST_ENTRY: u64 = 8 + 1 + 4 + 1;
const LONGEST_KEY: usize = 65535;

#[derive(Debug)]
struct Entry {
    key_start: usize,
    key_end: usize,
    place: Place,
}

/// Where every entry lies in the file.
#[derive(Debug)]
pub(super) struct Table {
    entries: Vec<Entry>,
    /// Indices of `entries`, sorted by key.
    by_key: Vec<u32>,
}

impl Table {
    pub(super) fn parse(cursor: &mut Cursor<'_>, bytes: &[u8], count: u64) -> Result<Self, ModelError> {
        let most = cursor.remaining() as u64 / LEAST_ENTRY;
        if count > most.min(u32::MAX.into()) {
            return Err(ModelError::format(format!(
                "the header declares {count} metadata entries, but the file can hold at most {most}"
            )));
        }
        let mut entries = Vec::with_capacity(count as usize);
        for index in 0..count {
            let range = cursor.string(|| format!("the key of metadata entry {index}"))?;
            let key = check_key(&bytes[range.clone()], index)?;
            let place = walk(cursor, bytes, key)?;
            entries.push(Entry { key_start: range.start, key_end: range.end, place });
        }
        let mut by_key: Vec<u32> = (0..count as u32).collect();
        let key = |&i: &u32| &bytes[entries[i as usize].key_start..entries[i as usize].key_end];
        by_key.sort_unstable_by_key(key);
        if let Some(pair) = by_key.windows(2).find(|pair| key(&pair[0]) == key(&pair[1])) {
            let name = String::from_utf8_lossy(key(&pair[0]));
            return Err(ModelError::metadata(&name, "the key occurs twice"));
        }
        Ok(Self { entries, by_key })
    }
}

fn check_key(bytes: &[u8], index: u64) -> Result<&str, ModelError> {
    let bad = |why: &str| ModelError::format(format!("the key of metadata entry {index} {why}"));
    let key = std::str::from_utf8(bytes).map_err(|_| bad("is not UTF-8"))?;
    match () {
        _ if key.is_empty() => Err(bad("is empty")),
        _ if key.len() > LONGEST_KEY => Err(bad(&format!("is longer than {LONGEST_KEY} bytes"))),
        _ if key.chars().any(char::is_control) => {
            Err(bad(&format!("has a control character: `{}`", super::shown(key))))
        }
        _ => Ok(key),
    }
}

/// The metadata of a file. The `opt_` functions give `None` for a missing key; the others an error that names it. A
/// value of the wrong type is always an error.
#[derive(Clone, Copy, Debug)]
pub struct Metadata<'a> {
    bytes: &'a [u8],
    table: &'a Table,
}

impl<'a> Metadata<'a> {
    pub(super) fn new(bytes: &'a [u8], table: &'a Table) -> Self {
        Self { bytes, table }
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.table.entries.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All entries in file order.
    pub fn iter(&self) -> impl Iterator<Item = (&'a str, Value<'a>)> + use<'a> {
        let this = *self;
        this.table.entries.iter().map(move |entry| (this.key(entry), this.value(entry)))
    }

    fn key(&self, entry: &Entry) -> &'a str {
        // Keys were checked to be UTF-8 when the table was read.
        std::str::from_utf8(&self.bytes[entry.key_start..entry.key_end]).unwrap_or_default()
    }

    fn value(&self, entry: &Entry) -> Value<'a> {
        let Place { ty, elem, len, start, end } = entry.place;
        let bytes = &self.bytes[start..end];
        match ty {
            ValueType::Str => Value::Str(bytes),
            ValueType::Array => Value::Array(Array { elem, len, bytes }),
            _ => fixed(ty, bytes),
        }
    }

    fn find(&self, key: &str) -> Option<&'a Entry> {
        let entry = |i: u32| &self.table.entries[i as usize];
        let found = self.table.by_key.binary_search_by(|&i| self.key(entry(i)).cmp(key)).ok()?;
        Some(entry(self.table.by_key[found]))
    }

    /// The value of `key`, whatever its type.
    pub fn get(&self, key: &str) -> Option<Value<'a>> {
        self.find(key).map(|entry| self.value(entry))
    }

    /// The type the file gives `key`.
    pub fn value_type(&self, key: &str) -> Option<ValueType> {
        self.find(key).map(|entry| entry.place.ty)
    }

    fn typed<T>(
        &self,
        key: &str,
        want: &str,
        read: impl FnOnce(Value<'a>) -> Option<T>,
    ) -> Result<Option<T>, ModelError> {
        let wrong = || ModelError::metadata(key, format!("the value is not {want}"));
        self.get(key).map(|value| read(value).ok_or_else(wrong)).transpose()
    }

    /// Text, if the key is there.
    pub fn opt_str(&self, key: &str) -> Result<Option<&'a str>, ModelError> {
        self.typed(key, "a string of UTF-8 text", |value| match value {
            Value::Str(bytes) => std::str::from_utf8(bytes).ok(),
            _ => None,
        })
    }

    /// A non-negative integer of any width, if the key is there.
    pub fn opt_u64(&self, key: &str) -> Result<Option<u64>, ModelError> {
        self.typed(key, "a non-negative integer", |value| value.as_u64())
    }

    /// A float, if the key is there; 64-bit floats are rounded.
    pub fn opt_f32(&self, key: &str) -> Result<Option<f32>, ModelError> {
        self.typed(key, "a float", |value| match value {
            Value::Float(v) => Some(v as f32),
            _ => None,
        })
    }

    /// A truth value, if the key is there.
    pub fn opt_bool(&self, key: &str) -> Result<Option<bool>, ModelError> {
        self.typed(key, "a truth value", |value| match value {
            Value::Bool(v) => Some(v),
            _ => None,
        })
    }

    fn elements<T>(
        &self,
        key: &str,
        want: &str,
        read: impl Fn(Value<'a>) -> Option<T>,
    ) -> Result<Option<Vec<T>>, ModelError> {
        let Some(array) = self.typed(key, "an array", |value| match value {
            Value::Array(array) => Some(array),
            _ => None,
        })?
        else {
            return Ok(None);
        };
        // Every element was found to be in the file, so the count is an honest one.
        let mut out = Vec::with_capacity(array.len());
        for (index, value) in array.iter().enumerate() {
            let wrong = || ModelError::metadata(key, format!("element {index} is not {want}"));
            out.push(read(value).ok_or_else(wrong)?);
        }
        Ok(Some(out))
    }

    /// An array of text, if the key is there.
    pub fn opt_strings(&self, key: &str) -> Result<Option<Vec<&'a str>>, ModelError> {
        self.elements(key, "a string of UTF-8 text", |value| match value {
            Value::Str(bytes) => std::str::from_utf8(bytes).ok(),
            _ => None,
        })
    }

    /// An array of floats, if the key is there.
    pub fn opt_f32s(&self, key: &str) -> Result<Option<Vec<f32>>, ModelError> {
        self.elements(key, "a float", |value| match value {
            Value::Float(v) => Some(v as f32),
            _ => None,
        })
    }

    /// An array of integers in 32 bits, if the key is there.
    pub fn opt_i32s(&self, key: &str) -> Result<Option<Vec<i32>>, ModelError> {
        self.elements(key, "an integer of 32 bits", |value| value.as_i32())
    }
}

macro_rules! required {
    ($($name:ident, $optional:ident, $ty:ty, $what:literal;)*) => {
        impl<'a> Metadata<'a> {
            $(
                #[doc = concat!($what, "; a missing key is an error.")]
                pub fn $name(&self, key: &str) -> Result<$ty, ModelError> {
                    self.$optional(key)?.ok_or_else(|| ModelError::metadata(key, "the key is missing"))
                }
            )*
        }
    };
}

required! {
    str, opt_str, &'a str, "Text";
    u64, opt_u64, u64, "A non-negative integer of any width";
    f32, opt_f32, f32, "A float";
    bool, opt_bool, bool, "A truth value";
    strings, opt_strings, Vec<&'a str>, "An array of text";
    f32s, opt_f32s, Vec<f32>, "An array of floats";
    i32s, opt_i32s, Vec<i32>, "An array of integers in 32 bits";
}
