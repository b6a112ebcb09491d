//! What the tests of text share: the folder of other programs' answers, and vocabularies written for a test.
#![allow(dead_code, reason = "each test uses a part")]

use apr::gguf::{Gguf, Header, ModelError};
use apr::text::{Tokenizer, Vocabulary};
use std::path::{Path, PathBuf};

/// The folder that `KGEN_ORACLES` names; without it a test says that it is skipped.
pub fn oracles(test: &str) -> Option<PathBuf> {
    let folder = std::env::var_os("KGEN_ORACLES").map(PathBuf::from);
    if folder.is_none() {
        eprintln!("{test} is skipped: KGEN_ORACLES does not name the folder with other programs' answers");
    }
    folder
}

/// The vocabulary in a file.
pub fn read(path: &Path) -> Result<Vocabulary, ModelError> {
    Vocabulary::read(Gguf::open(path)?.metadata())
}

/// The tokenizer of a file.
pub fn tokenizer(path: &Path) -> Tokenizer {
    Tokenizer::new(read(path).unwrap()).unwrap()
}

/// The vocabulary that a header describes.
pub fn written(header: &Header) -> Result<Vocabulary, ModelError> {
    let bytes = header.to_bytes([]).unwrap();
    Vocabulary::read(Gguf::from_bytes(bytes).unwrap().metadata())
}

/// How byte-level BPE writes each byte.
pub fn byte_alphabet() -> Vec<String> {
    let mut moved = 0x100..;
    let letter = |byte: u32| match byte {
        0x21..=0x7e | 0xa1..=0xac | 0xae..=0xff => byte,
        _ => moved.next().unwrap(),
    };
    (0..256).map(letter).map(|c| char::from_u32(c).unwrap().to_string()).collect()
}

/// A byte-level vocabulary: the 256 bytes, the given merges' results, and `<|end|>` as the last token.
pub fn bpe(pre: &str, merges: &[&str]) -> Tokenizer {
    let mut tokens = byte_alphabet();
    tokens.extend(merges.iter().map(|m| m.replace(' ', "")));
    tokens.push("<|end|>".into());
    let mut kinds = vec![1i32; tokens.len()];
    kinds[tokens.len() - 1] = 3;
    let mut header = Header::new();
    header
        .set("tokenizer.ggml.model", "gpt2")
        .set("tokenizer.ggml.pre", pre)
        .set("tokenizer.ggml.tokens", tokens)
        .set("tokenizer.ggml.token_type", kinds)
        .set("tokenizer.ggml.merges", merges)
        .set("tokenizer.ggml.add_bos_token", false);
    Tokenizer::new(written(&header).unwrap()).unwrap()
}
