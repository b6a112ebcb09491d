//! The vocabulary: tokens, scores, kinds, merges and special ids, read from GGUF metadata and checked.

use super::end::{end_tokens, known_ends};
use super::pre::Pre;
use crate::gguf::{Metadata, ModelError, shown};
use std::collections::HashMap;

/// The way text becomes tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Model {
    /// Byte-level BPE by merge rank, after a pre-tokenizer (`gpt2` in the file).
    Bpe(&'static Pre),
    /// SentencePiece: merges by token score, with byte fallback (`llama` in the file).
    Spm,
}

/// What a token is; the numbers are GGUF's (`tokenizer.ggml.token_type`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Plain text.
    Normal = 1,
    /// Stands for text that has no token.
    Unknown = 2,
    /// Steers the model and is no text: begin, end, roles.
    Control = 3,
    /// Text that is always one token.
    UserDefined = 4,
    /// Has an id but no use.
    Unused = 5,
    /// One byte, written `<0xNN>`.
    Byte = 6,
}

/// The longest text of a token in bytes; the longest seen in the wild are a few hundred bytes.
const LONGEST_TOKEN: usize = 65_536;

/// A checked vocabulary: all ids are below [`Vocabulary::len`], all texts differ.
#[derive(Clone, Debug)]
pub struct Vocabulary {
    pub(super) model: Model,
    pub(super) tokens: Vec<String>,
    pub(super) kinds: Vec<Kind>,
    pub(super) scores: Vec<f32>,
    /// Indices into `tokens`, best merge first.
    pub(super) merges: Vec<(u32, u32)>,
    pub(super) ids: HashMap<String, u32>,
    pub(super) bos: Option<u32>,
    pub(super) eos: Option<u32>,
    pub(super) add_bos: bool,
    pub(super) add_eos: bool,
    pub(super) add_space_prefix: bool,
    /// Whether white space after a control token belongs to it (Phi-3).
    pub(super) strips_after_control: bool,
    pub(super) template: Option<String>,
    ends: Vec<u32>,
}

impl Vocabulary {
    /// Reads `tokenizer.*` and checks every length, id, kind and merge.
    ///
    /// # Errors
    /// A file without a tokenizer, a model or pre-tokenizer that is none of ours, or the first malformed entry, by key.
    pub fn read(metadata: Metadata<'_>) -> Result<Self, ModelError> {
        let model = read_model(metadata)?;
        let tokens = read_tokens(metadata)?;
        let ids = index(&tokens)?;
        let mut kinds = read_kinds(metadata, &tokens)?;
        known_ends(&ids).into_iter().for_each(|id| kinds[id as usize] = Kind::Control);
        let scores = read_scores(metadata, model, tokens.len())?;
        let merges = if model == Model::Spm { Vec::new() } else { read_merges(metadata, &ids)? };
        let id = |name: &str| read_id(metadata, &format!("tokenizer.ggml.{name}"), tokens.len());
        let (bos, eos) = (id("bos_token_id")?, id("eos_token_id")?);
        // Nothing uses these two, but an id that is no token shows that the file is damaged.
        id("unknown_token_id").and(id("padding_token_id"))?;
        let named_ends = [eos, id("eot_token_id")?, id("eom_token_id")?];
        let ends = end_tokens(&ids, named_ends.into_iter().flatten());
        let flag = |name: &str| metadata.opt_bool(&format!("tokenizer.ggml.{name}"));
        let is_spm = model == Model::Spm;
        let adds_bos_itself = match model {
            Model::Bpe(pre) => pre.adds_bos,
            Model::Spm => true,
        };
        // SentencePiece itself fixes these two; files may leave them unsaid.
        let (bos, eos) = match is_spm {
            true => (bos.or(known(&ids, "<s>")), eos.or(known(&ids, "</s>"))),
            false => (bos, eos),
        };
        let this = Self {
            add_bos: flag("add_bos_token")?.unwrap_or(adds_bos_itself && bos.is_some()),
            add_eos: flag("add_eos_token")?.unwrap_or(false),
            add_space_prefix: flag("add_space_prefix")?.unwrap_or(is_spm),
            strips_after_control: is_phi_3(metadata)?,
            template: metadata.opt_str("tokenizer.chat_template")?.map(str::to_owned),
            model,
            tokens,
            kinds,
            scores,
            merges,
            ids,
            bos,
            eos,
            ends,
        };
        this.check_added()
    }

    fn check_added(self) -> Result<Self, ModelError> {
        for (adds, id, name) in [(self.add_bos, self.bos, "bos"), (self.add_eos, self.eos, "eos")] {
            if adds && id.is_none() {
                let problem = format!("is true, but `tokenizer.ggml.{name}_token_id` is missing");
                return Err(ModelError::metadata(&format!("tokenizer.ggml.add_{name}_token"), problem));
            }
        }
        Ok(self)
    }

    /// How many tokens there are; ids run from 0 to one less.
    pub fn len(&self) -> usize {
        self.tokens.len()
    }

    /// Whether there are none; never true of a vocabulary that was read.
    pub fn is_empty(&self) -> bool {
        self.tokens.is_empty()
    }

    /// How text becomes tokens.
    pub fn model(&self) -> Model {
        self.model
    }

    /// A token as the file writes it (byte-level BPE and SentencePiece write spaces differently).
    pub fn token(&self, id: u32) -> Option<&str> {
        self.tokens.get(id as usize).map(String::as_str)
    }

    /// What a token is.
    pub fn kind(&self, id: u32) -> Option<Kind> {
        self.kinds.get(id as usize).copied()
    }

    /// The id of a token as the file writes it.
    pub fn id(&self, token: &str) -> Option<u32> {
        known(&self.ids, token)
    }

    /// The token that begins a text.
    pub fn bos(&self) -> Option<u32> {
        self.bos
    }

    /// The token that ends a text.
    pub fn eos(&self) -> Option<u32> {
        self.eos
    }

    /// Whether a text begins with the BOS token.
    pub fn adds_bos(&self) -> bool {
        self.add_bos
    }

    /// The tokens that end a generation, ascending.
    pub fn ends(&self) -> &[u32] {
        &self.ends
    }

    /// The chat template's source.
    pub fn template(&self) -> Option<&str> {
        self.template.as_deref()
    }
}

fn known(ids: &HashMap<String, u32>, token: &str) -> Option<u32> {
    ids.get(token).copied()
}

fn read_model(metadata: Metadata<'_>) -> Result<Model, ModelError> {
    const KEY: &str = "tokenizer.ggml.model";
    let name = metadata.opt_str(KEY)?.filter(|&name| name != "none" && name != "no_vocab");
    let Some(name) = name else {
        return Err(ModelError::unsupported(
            "the file has no tokenizer, so text cannot be read or written with it",
            "`apr logits` runs such a model on token ids; otherwise convert the model again, with its tokenizer",
        ));
    };
    match name {
        "gpt2" => Ok(Model::Bpe(Pre::read(metadata)?)),
        "llama" => Ok(Model::Spm),
        other => Err(ModelError::unsupported(
            format!("the tokenizer model `{}` (`{KEY}`) is not supported", shown(other)),
            "supported are `gpt2` (byte-level BPE) and `llama` (SentencePiece)",
        )),
    }
}

fn read_tokens(metadata: Metadata<'_>) -> Result<Vec<String>, ModelError> {
    const KEY: &str = "tokenizer.ggml.tokens";
    let tokens = metadata.strings(KEY)?;
    if tokens.is_empty() || u32::try_from(tokens.len()).is_err() {
        return Err(ModelError::metadata(KEY, format!("{} tokens are no vocabulary", tokens.len())));
    }
    if let Some(id) = tokens.iter().position(|t| t.len() > LONGEST_TOKEN) {
        let problem = format!("token {id} is {} bytes long; the limit is {LONGEST_TOKEN}", tokens[id].len());
        return Err(ModelError::metadata(KEY, problem));
    }
    // Converters leave the text of a padding entry empty; a name of its own keeps the texts distinct.
    let named = |(id, text): (usize, &&str)| if text.is_empty() { format!("[EMPTY_{id}]") } else { text.to_string() };
    Ok(tokens.iter().enumerate().map(named).collect())
}

fn index(tokens: &[String]) -> Result<HashMap<String, u32>, ModelError> {
    let mut ids = HashMap::with_capacity(tokens.len());
    for (id, token) in tokens.iter().enumerate() {
        if let Some(first) = ids.insert(token.clone(), id as u32) {
            let problem = format!("token {id} `{}` is token {first} again", shown(token));
            return Err(ModelError::metadata("tokenizer.ggml.tokens", problem));
        }
    }
    Ok(ids)
}

/// A per-token array must have one element a token.
fn check_length(key: &str, length: usize, tokens: usize) -> Result<(), ModelError> {
    match length == tokens {
        true => Ok(()),
        false => Err(ModelError::metadata(key, format!("has {length} elements, but there are {tokens} tokens"))),
    }
}

fn read_kinds(metadata: Metadata<'_>, tokens: &[String]) -> Result<Vec<Kind>, ModelError> {
    const KEY: &str = "tokenizer.ggml.token_type";
    let Some(numbers) = metadata.opt_i32s(KEY)? else {
        return Ok(vec![Kind::Normal; tokens.len()]);
    };
    check_length(KEY, numbers.len(), tokens.len())?;
    let kind = |(id, number): (usize, i32)| match number {
        // 0 is GGUF's "undefined", which is treated as text.
        0 | 1 => Ok(Kind::Normal),
        2 => Ok(Kind::Unknown),
        3 => Ok(Kind::Control),
        4 => Ok(Kind::UserDefined),
        5 => Ok(Kind::Unused),
        6 if byte_of(&tokens[id]).is_some() => Ok(Kind::Byte),
        6 => {
            let problem = format!("token {id} is a byte, but its text is `{}`, not `<0xNN>`", shown(&tokens[id]));
            Err(ModelError::metadata(KEY, problem))
        }
        _ => Err(ModelError::metadata(KEY, format!("token {id} has the type {number}; types run from 0 to 6"))),
    };
    numbers.into_iter().enumerate().map(kind).collect()
}

/// The byte a byte token stands for: `<0x0A>` is 10.
pub(super) fn byte_of(token: &str) -> Option<u8> {
    let digits = token.strip_prefix("<0x")?.strip_suffix('>')?;
    let is_hex = digits.len() == 2 && digits.bytes().all(|b| b.is_ascii_hexdigit());
    is_hex.then(|| u8::from_str_radix(digits, 16).ok()).flatten()
}

fn read_scores(metadata: Metadata<'_>, model: Model, tokens: usize) -> Result<Vec<f32>, ModelError> {
    const KEY: &str = "tokenizer.ggml.scores";
    let scores = match model {
        Model::Spm => metadata.f32s(KEY)?,
        Model::Bpe(_) => match metadata.opt_f32s(KEY)? {
            Some(scores) => scores,
            None => return Ok(Vec::new()),
        },
    };
    check_length(KEY, scores.len(), tokens)?;
    match scores.iter().position(|s| s.is_nan()) {
        Some(id) => Err(ModelError::metadata(KEY, format!("the score of token {id} is not a number"))),
        None => Ok(scores),
    }
}

fn read_merges(metadata: Metadata<'_>, ids: &HashMap<String, u32>) -> Result<Vec<(u32, u32)>, ModelError> {
    const KEY: &str = "tokenizer.ggml.merges";
    let lines = metadata.strings(KEY)?;
    let merge = |(rank, line): (usize, &&str)| {
        let bad = |why: String| ModelError::metadata(KEY, format!("merge {rank} `{}` {why}", shown(line)));
        // The separator is the first space after the first character, which may be a space itself.
        let first = line.chars().next().map_or(0, char::len_utf8);
        let space = line[first..].find(' ').map(|at| at + first);
        let (left, right) = match space {
            Some(at) if at + 1 < line.len() => (&line[..at], &line[at + 1..]),
            _ => return Err(bad("is not two tokens with a space between them".into())),
        };
        let find =
            |token: &str| known(ids, token).ok_or_else(|| bad(format!("names `{}`, which is no token", shown(token))));
        find(&format!("{left}{right}"))?;
        Ok((find(left)?, find(right)?))
    };
    lines.iter().enumerate().map(merge).collect()
}

fn read_id(metadata: Metadata<'_>, key: &str, tokens: usize) -> Result<Option<u32>, ModelError> {
    match metadata.opt_u64(key)? {
        Some(id) if id >= tokens as u64 => {
            Err(ModelError::metadata(key, format!("is {id}, but ids run from 0 to {}", tokens - 1)))
        }
        id => Ok(id.map(|id| id as u32)),
    }
}

/// GGUF does not say which tokens swallow the white space after them; of the known families only Phi-3's do.
fn is_phi_3(metadata: Metadata<'_>) -> Result<bool, ModelError> {
    let name = metadata.opt_str("general.name")?.unwrap_or_default().to_lowercase();
    Ok(name.contains("phi-3") || name.contains("phi3"))
}
