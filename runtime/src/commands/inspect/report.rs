//! The facts about a model file, gathered without asking that the model be supported or its metadata sound.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Serialize;
use serde_json::{Map, json};

use crate::gguf::{Array, Gguf, Metadata, TensorType, Value, ValueType};
use crate::model::{ARCHITECTURE_KEY, Model};

/// Elements of an array that the JSON form shows; vocabularies have hundreds of thousands.
const SHOWN_ELEMENTS: usize = 8;

/// What is in a model file. Text is as in the file: it must be escaped before it is printed.
#[derive(Debug, Serialize)]
pub struct Report {
    /// The path.
    pub file: String,
    /// Its size.
    pub file_bytes: u64,
    /// The version of the format.
    pub gguf_version: u32,
    /// The architecture, if it is named.
    pub architecture: Option<String>,
    /// The model's name, if it has one.
    pub name: Option<String>,
    /// Whether the model runs here.
    pub supported: bool,
    /// Why not, with the way out.
    pub unsupported_because: Option<String>,
    /// The architecture's sizes, as far as the file gives them.
    pub sizes: Sizes,
    /// Elements of all tensors together.
    pub parameters: u64,
    /// Tensors and bytes of every tensor type.
    pub types: Vec<TypeCount>,
    /// The tokenizer, if there is one.
    pub tokenizer: Option<Tokenizer>,
    /// Whether the file has a chat template.
    pub chat_template: bool,
    /// The memory needed.
    pub memory: Memory,
    /// Whether all weights are finite; none where nobody has looked.
    pub values_finite: Option<bool>,
}

/// Sizes of a model; each is missing if the file does not give it.
#[derive(Debug, Default, Serialize)]
#[allow(missing_docs)]
pub struct Sizes {
    pub layers: Option<u64>,
    pub hidden: Option<u64>,
    pub heads: Option<u64>,
    pub kv_heads: Option<u64>,
    pub head_dim: Option<u64>,
    pub ffn: Option<u64>,
    pub experts: Option<u64>,
    pub experts_used: Option<u64>,
    pub vocab: Option<u64>,
    pub context_length: Option<u64>,
    pub rope_base: Option<f32>,
    pub norm_eps: Option<f32>,
}

/// The tensors of one type.
#[derive(Debug, Serialize)]
pub struct TypeCount {
    /// The type's name.
    pub r#type: &'static str,
    /// How many tensors have it.
    pub tensors: usize,
    /// Their bytes together.
    pub bytes: u64,
}

/// The tokenizer's main facts.
#[derive(Debug, Serialize)]
pub struct Tokenizer {
    /// Its kind: `gpt2` is byte-level BPE.
    pub model: String,
    /// How text is split before it is merged.
    pub pre: Option<String>,
    /// Tokens in the vocabulary.
    pub tokens: Option<usize>,
    /// Rules of merging.
    pub merges: Option<usize>,
    /// Special tokens by role.
    pub special: Vec<Special>,
}

/// A special token.
#[derive(Debug, Serialize)]
pub struct Special {
    /// What it is for: `bos`, `eos`, ...
    pub role: String,
    /// Its id.
    pub id: u64,
    /// Its text, if the id is one of the vocabulary.
    pub text: Option<String>,
}

/// The memory that running the model takes.
#[derive(Debug, Serialize)]
pub struct Memory {
    /// All tensors.
    pub weights_bytes: u64,
    /// Keys and values in f16 for the whole context length, if the sizes are known.
    pub kv_f16_bytes: Option<u64>,
}

impl Report {
    /// Gathers the facts.
    pub fn new(path: &Path, gguf: &Gguf) -> Self {
        let metadata = gguf.metadata();
        let architecture = text(&metadata, ARCHITECTURE_KEY);
        let sizes = sizes(gguf, architecture.as_deref().unwrap_or_default());
        let model = Model::load(gguf);
        Self {
            file: path.display().to_string(),
            file_bytes: gguf.file_bytes(),
            gguf_version: gguf.version(),
            name: text(&metadata, "general.name"),
            supported: model.is_ok(),
            unsupported_because: model.err().map(|err| format!("{}; {}", err.message(), err.help())),
            parameters: gguf.tensors().map(|tensor| tensor.elements()).sum(),
            types: types(gguf),
            tokenizer: tokenizer(&metadata),
            chat_template: matches!(metadata.get("tokenizer.chat_template"), Some(Value::Str(_))),
            memory: Memory {
                weights_bytes: gguf.tensors().map(|tensor| tensor.data.len() as u64).sum(),
                kv_f16_bytes: kv_bytes(&sizes),
            },
            architecture,
            sizes,
            values_finite: None,
        }
    }

    /// The facts, and every tensor and metadata entry.
    pub fn json(&self, gguf: &Gguf) -> serde_json::Value {
        let tensors: Vec<_> = gguf
            .tensors()
            .map(|t| json!({"name": t.name, "type": t.ty.name(), "dims": *t.dims, "bytes": t.data.len()}))
            .collect();
        let entries = gguf.metadata().iter().map(|(key, value)| (key.to_owned(), value_json(value)));
        let mut json = json!(self);
        json["tensors"] = tensors.into();
        json["metadata"] = entries.collect::<Map<_, _>>().into();
        json
    }
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn text(metadata: &Metadata<'_>, key: &str) -> Option<String> {
    match metadata.get(key) {
        Some(Value::Str(bytes)) => Some(lossy(bytes)),
        _ => None,
    }
}

fn array<'a>(metadata: &Metadata<'a>, key: &str) -> Option<Array<'a>> {
    match metadata.get(key) {
        Some(Value::Array(array)) => Some(array),
        _ => None,
    }
}

fn sizes(gguf: &Gguf, architecture: &str) -> Sizes {
    let metadata = gguf.metadata();
    let int = |name: &str| metadata.get(&format!("{architecture}.{name}")).and_then(|value| value.as_u64());
    let float = |name: &str| metadata.opt_f32(&format!("{architecture}.{name}")).ok().flatten();
    let (hidden, heads) = (int("embedding_length"), int("attention.head_count"));
    Sizes {
        layers: int("block_count"),
        hidden,
        heads,
        kv_heads: int("attention.head_count_kv").or(heads),
        head_dim: int("attention.key_length").or_else(|| hidden?.checked_div(heads?)),
        ffn: int("expert_feed_forward_length").or_else(|| int("feed_forward_length")),
        experts: int("expert_count"),
        experts_used: int("expert_used_count"),
        vocab: gguf.tensor("token_embd.weight").and_then(|tensor| tensor.dims.get(1).copied()),
        context_length: int("context_length"),
        rope_base: float("rope.freq_base"),
        norm_eps: float("attention.layer_norm_rms_epsilon"),
    }
}

/// Two of them (keys, values) of two bytes.
fn kv_bytes(sizes: &Sizes) -> Option<u64> {
    let factors = [sizes.layers?, sizes.kv_heads?, sizes.head_dim?, sizes.context_length?];
    factors.iter().try_fold(4u64, |product, &factor| product.checked_mul(factor))
}

fn types(gguf: &Gguf) -> Vec<TypeCount> {
    let mut counts: BTreeMap<TensorType, (usize, u64)> = BTreeMap::new();
    for tensor in gguf.tensors() {
        let (tensors, bytes) = counts.entry(tensor.ty).or_default();
        *tensors += 1;
        *bytes += tensor.data.len() as u64;
    }
    let mut types: Vec<_> =
        counts.into_iter().map(|(ty, (tensors, bytes))| TypeCount { r#type: ty.name(), tensors, bytes }).collect();
    types.sort_by_key(|count| std::cmp::Reverse(count.bytes));
    types
}

fn tokenizer(metadata: &Metadata<'_>) -> Option<Tokenizer> {
    // A file may say that it has none, in two ways.
    let model = text(metadata, "tokenizer.ggml.model").filter(|model| model != "none" && model != "no_vocab")?;
    let tokens = array(metadata, "tokenizer.ggml.tokens");
    let token_text = |id: u64| match tokens?.iter().nth(usize::try_from(id).ok()?)? {
        Value::Str(bytes) => Some(lossy(bytes)),
        _ => None,
    };
    let special = metadata.iter().filter_map(|(key, value)| {
        let role = key.strip_prefix("tokenizer.ggml.")?.strip_suffix("_token_id")?;
        let id = value.as_u64()?;
        Some(Special { role: role.to_owned(), id, text: token_text(id) })
    });
    Some(Tokenizer {
        special: special.collect(),
        pre: text(metadata, "tokenizer.ggml.pre"),
        tokens: tokens.map(|array| array.len()),
        merges: array(metadata, "tokenizer.ggml.merges").map(|array| array.len()),
        model,
    })
}

fn value_json(value: Value<'_>) -> serde_json::Value {
    match value {
        Value::Unsigned(v) => v.into(),
        Value::Signed(v) => v.into(),
        // JSON has no NaN and no infinities; they become text.
        Value::Float(v) if !v.is_finite() => v.to_string().into(),
        Value::Float(v) => v.into(),
        Value::Bool(v) => v.into(),
        Value::Str(bytes) => lossy(bytes).into(),
        Value::Array(array) => {
            let first: Vec<_> = array.iter().take(SHOWN_ELEMENTS).map(value_json).collect();
            json!({"array_of": type_name(array.elem()), "length": array.len(), "first": first})
        }
    }
}

fn type_name(ty: ValueType) -> String {
    format!("{ty:?}").to_lowercase()
}
