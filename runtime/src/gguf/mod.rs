//! GGUF model files: a reader that checks everything it hands out, and a writer.

mod cursor;
mod error;
mod file;
mod metadata;
mod tensor;
mod types;
mod value;

pub use error::{Fault, ModelError, shown};
pub use file::Gguf;
pub use metadata::Metadata;
pub use tensor::Tensor;
pub use types::TensorType;
pub use value::{Array, Value, ValueType};

const MAGIC: &[u8; 4] = b"GGUF";
const ALIGNMENT_KEY: &str = "general.alignment";
const DEFAULT_ALIGNMENT: u64 = 32;
