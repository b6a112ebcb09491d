//! GGUF model files: a reader that checks everything it hands out, a writer, and the shapes of known models.

pub mod aside;
mod cursor;
mod error;
mod file;
mod metadata;
mod mixture;
mod shape;
mod tensor;
mod types;
mod value;
mod write;

pub use error::{Fault, ModelError, shown};
pub use file::Gguf;
pub use metadata::Metadata;
pub use mixture::Quant;
pub use shape::{SHAPES, Shape, shape};
pub use tensor::{Dims, Tensor};
pub use types::TensorType;
pub use value::{Array, Value, ValueType};
pub use write::{Header, MetaValue, TensorSpec, WriteError, Writer};

const MAGIC: &[u8; 4] = b"GGUF";
const ALIGNMENT_KEY: &str = "general.alignment";
const DEFAULT_ALIGNMENT: u64 = 32;
const MOST_ALIGNMENT: u64 = 1 << 20;

/// Whether data may be aligned to this: ggml asks for a power of two, the format's description for a multiple of 8.
fn is_alignment(value: u64) -> bool {
    value.is_power_of_two() && (8..=MOST_ALIGNMENT).contains(&value)
}
