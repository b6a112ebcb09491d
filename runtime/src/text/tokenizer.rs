//! Text to tokens and tokens to bytes.

use super::bpe::Bpe;
use super::byte_level::ByteLevel;
use super::special::{Fragment, Special, Splitter};
use super::spm;
use super::vocab::{Kind, Model, Vocabulary, byte_of};
use crate::gguf::{Fault, ModelError};

/// The two ways of making tokens of plain text.
enum Encoder {
    Bpe(Box<Bpe>),
    Spm,
}

/// A vocabulary ready to encode and decode.
pub struct Tokenizer {
    vocabulary: Vocabulary,
    encoder: Encoder,
    splitter: Splitter,
    /// The bytes of all tokens one after another; token i ends at `ends[i]`.
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl std::fmt::Debug for Tokenizer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tokenizer")
            .field("model", &self.vocabulary.model())
            .field("len", &self.vocabulary.len())
            .finish()
    }
}

impl Tokenizer {
    /// A tokenizer for a checked vocabulary.
    ///
    /// # Errors
    /// Merges that the tokenizer cannot be built from.
    pub fn new(vocabulary: Vocabulary) -> Result<Self, ModelError> {
        let encoder = match vocabulary.model() {
            Model::Bpe(pre) => Encoder::Bpe(Box::new(Bpe::new(&vocabulary, pre).map_err(|e| unusable(&*e))?)),
            Model::Spm => Encoder::Spm,
        };
        let splitter = Splitter::new(&vocabulary);
        let (bytes, ends) = all_bytes(&vocabulary);
        Ok(Self { vocabulary, encoder, splitter, bytes, ends })
    }

    /// The vocabulary behind it.
    pub fn vocabulary(&self) -> &Vocabulary {
        &self.vocabulary
    }

    /// The tokens of `text` alone: no BOS or EOS is added.
    ///
    /// # Errors
    /// Text with a byte that the vocabulary has no token for.
    pub fn encode(&self, text: &str, special: Special) -> Result<Vec<u32>, ModelError> {
        let mut out = Vec::new();
        let mut after_text = false;
        for fragment in self.splitter.split(text, special) {
            match fragment {
                Fragment::Token(id) => out.push(id),
                Fragment::Text(text) => self.encode_text(text, !after_text, &mut out)?,
            }
            after_text = matches!(fragment, Fragment::Text(_));
        }
        Ok(out)
    }

    /// The tokens of a whole prompt: BOS first where the model wants one and the text does not bring it.
    ///
    /// # Errors
    /// As [`Tokenizer::encode`].
    pub fn encode_prompt(&self, text: &str, special: Special) -> Result<Vec<u32>, ModelError> {
        let mut ids = self.encode(text, special)?;
        if let Some(bos) = self.vocabulary.bos().filter(|_| self.vocabulary.adds_bos())
            && ids.first() != Some(&bos)
        {
            ids.insert(0, bos);
        }
        Ok(ids)
    }

    fn encode_text(&self, text: &str, begins: bool, out: &mut Vec<u32>) -> Result<(), ModelError> {
        let before = out.len();
        match &self.encoder {
            Encoder::Bpe(bpe) => {
                bpe.encode(text, out).map_err(|e| unencodable(&e.to_string()))?;
                // The crate drops what has no token; all bytes must have come through.
                let length: usize = out[before..].iter().map(|&id| self.bytes(id).len()).sum();
                if length != text.len() {
                    return Err(unencodable("a character of it has no token in this model's vocabulary"));
                }
            }
            Encoder::Spm => {
                let prefix = if begins && self.vocabulary.add_space_prefix { spm::SPACE } else { "" };
                let text = format!("{prefix}{}", text.replace(' ', spm::SPACE));
                let missing = |b| unencodable(&format!("the byte 0x{b:02X} has no token in this model's vocabulary"));
                spm::encode(&self.vocabulary, &text, out).map_err(missing)?;
            }
        }
        Ok(())
    }

    /// The bytes of text that a token stands for: none for control, unknown and unused tokens, and for ids outside the
    /// vocabulary. They may be a part of a character; [`super::TextStream`] puts them together.
    pub fn bytes(&self, id: u32) -> &[u8] {
        let id = id as usize;
        let Some(&end) = self.ends.get(id) else {
            return &[];
        };
        let start = id.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.bytes[start..end]
    }

    /// The bytes of tokens one after another.
    pub fn decode(&self, ids: &[u32]) -> Vec<u8> {
        ids.iter().flat_map(|&id| self.bytes(id)).copied().collect()
    }

    /// Whether a token ends a generation.
    pub fn is_end(&self, id: u32) -> bool {
        self.vocabulary.ends().binary_search(&id).is_ok()
    }
}

fn all_bytes(vocabulary: &Vocabulary) -> (Vec<u8>, Vec<usize>) {
    let byte_level = ByteLevel::new();
    let mut bytes = Vec::new();
    let mut ends = Vec::with_capacity(vocabulary.len());
    for (token, kind) in vocabulary.tokens.iter().zip(&vocabulary.kinds) {
        match (kind, vocabulary.model()) {
            (Kind::Control | Kind::Unknown | Kind::Unused, _) => (),
            (Kind::Byte, _) => bytes.extend(byte_of(token)),
            (Kind::UserDefined, _) => bytes.extend_from_slice(token.as_bytes()),
            (Kind::Normal, Model::Bpe(_)) => byte_level.decode(token, &mut bytes),
            (Kind::Normal, Model::Spm) => bytes.extend_from_slice(token.replace(spm::SPACE, " ").as_bytes()),
        }
        ends.push(bytes.len());
    }
    (bytes, ends)
}

fn unusable(error: &(dyn std::error::Error + Send + Sync)) -> ModelError {
    let message = format!("no tokenizer can be built from the vocabulary: {error}");
    ModelError::new(Fault::Metadata, message, "convert the model again with a current converter")
}

fn unencodable(why: &str) -> ModelError {
    let message = format!("the prompt cannot be encoded: {why}");
    ModelError::new(Fault::Metadata, message, "shorten or change the prompt, or use a model with a complete vocabulary")
}
