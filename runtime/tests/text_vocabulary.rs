//! Malformed vocabularies: each is an error that names the key, what is wrong with it, and a way out.

mod text_support;

use apr::gguf::{Fault, Header, MetaValue, ModelError};
use apr::text::{Kind, Special, Tokenizer, Vocabulary};
use proptest::prelude::*;
use text_support::{byte_alphabet, written};

/// A byte-level vocabulary of 256 bytes, `ab` and `<|end|>`, with some keys replaced (`None` leaves one out).
fn bpe(changes: &[(&str, Option<MetaValue>)]) -> Result<Vocabulary, ModelError> {
    let mut tokens = byte_alphabet();
    tokens.extend(["ab".to_string(), "<|end|>".to_string()]);
    let mut kinds = vec![1i32; 257];
    kinds.push(3);
    header(
        vec![
            ("model", "gpt2".into()),
            ("pre", "qwen2".into()),
            ("tokens", tokens.into()),
            ("token_type", kinds.into()),
            ("merges", vec!["a b"].into()),
            ("eos_token_id", 257u32.into()),
        ],
        changes,
    )
}

/// A SentencePiece vocabulary of seven tokens.
fn spm(changes: &[(&str, Option<MetaValue>)]) -> Result<Vocabulary, ModelError> {
    let tokens = vec!["<unk>", "<s>", "</s>", "<0x0A>", "\u{2581}", "a", "\u{2581}a"];
    header(
        vec![
            ("model", "llama".into()),
            ("tokens", tokens.into()),
            ("scores", vec![0.0f32, 0.0, 0.0, 0.0, -2.0, -3.0, -1.0].into()),
            ("token_type", vec![2i32, 3, 3, 6, 1, 1, 1].into()),
        ],
        changes,
    )
}

fn header<'a>(
    mut entries: Vec<(&'a str, MetaValue)>,
    changes: &[(&'a str, Option<MetaValue>)],
) -> Result<Vocabulary, ModelError> {
    for (key, value) in changes {
        entries.retain(|(k, _)| k != key);
        entries.extend(value.clone().map(|v| (*key, v)));
    }
    let mut header = Header::new();
    for (key, value) in entries {
        let key = if key.contains('.') { key.to_string() } else { format!("tokenizer.ggml.{key}") };
        header.set(&key, value);
    }
    written(&header)
}

#[track_caller]
fn refused(result: Result<Vocabulary, ModelError>, fault: Fault, parts: &[&str]) {
    let error = result.unwrap_err();
    assert_eq!(error.fault(), fault, "{error}");
    assert!(parts.iter().all(|p| error.to_string().contains(p)), "{error}");
    assert!(!error.help().is_empty());
}

#[test]
fn the_untouched_ones_are_good() {
    let v = bpe(&[]).unwrap();
    assert_eq!((v.len(), v.eos(), v.bos(), v.adds_bos()), (258, Some(257), None, false));
    assert_eq!(v.ends(), [257]);
    let v = spm(&[]).unwrap();
    assert_eq!((v.bos(), v.eos(), v.adds_bos()), (Some(1), Some(2), true));
    assert_eq!(v.kind(3), Some(Kind::Byte));
}

#[test]
fn a_file_without_a_tokenizer_says_so() {
    for model in [None, Some("none".into())] {
        refused(bpe(&[("model", model)]), Fault::Unsupported, &["has no tokenizer", "apr logits"]);
    }
    refused(bpe(&[("model", Some("bert".into()))]), Fault::Unsupported, &["`bert`", "gpt2"]);
    refused(bpe(&[("model", Some(7u32.into()))]), Fault::Metadata, &["tokenizer.ggml.model", "string"]);
}

#[test]
fn an_unknown_or_missing_pre_tokenizer_is_refused_with_the_list() {
    refused(bpe(&[("pre", None)]), Fault::Unsupported, &["is missing", "qwen2", "llama-bpe"]);
    refused(bpe(&[("pre", Some("default".into()))]), Fault::Unsupported, &["`default`", "starcoder"]);
}

#[test]
fn arrays_of_the_wrong_type_or_length_are_refused() {
    refused(bpe(&[("tokens", None)]), Fault::Metadata, &["tokenizer.ggml.tokens", "missing"]);
    refused(bpe(&[("tokens", Some(Vec::<String>::new().into()))]), Fault::Metadata, &["0 tokens"]);
    refused(bpe(&[("tokens", Some(vec![1u32].into()))]), Fault::Metadata, &["tokenizer.ggml.tokens", "element 0"]);
    refused(bpe(&[("token_type", Some(vec![1i32; 257].into()))]), Fault::Metadata, &["257 elements", "258 tokens"]);
    refused(bpe(&[("token_type", Some(vec![7i32; 258].into()))]), Fault::Metadata, &["token 0", "type 7"]);
    refused(bpe(&[("token_type", Some(vec![-1i32; 258].into()))]), Fault::Metadata, &["type -1"]);
    refused(spm(&[("scores", None)]), Fault::Metadata, &["tokenizer.ggml.scores", "missing"]);
    refused(spm(&[("scores", Some(vec![0u8; 7].into()))]), Fault::Metadata, &["tokenizer.ggml.scores", "float"]);
    refused(spm(&[("scores", Some(vec![0f32; 6].into()))]), Fault::Metadata, &["6 elements", "7 tokens"]);
    refused(spm(&[("scores", Some(vec![f32::NAN; 7].into()))]), Fault::Metadata, &["score of token 0"]);
}

#[test]
fn malformed_byte_tokens_are_refused() {
    for text in ["<0x-1>", "<0xZZ>", "<0x1>", "<0x+1>", "x", "<0x001>"] {
        let tokens = vec!["<unk>", "<s>", "</s>", text, "b", "c", "d"];
        refused(spm(&[("tokens", Some(tokens.into()))]), Fault::Metadata, &["token 3", text, "<0xNN>"]);
    }
}

#[test]
fn ids_outside_the_vocabulary_are_refused() {
    for name in ["bos", "eos", "eot", "eom", "unknown", "padding"] {
        let key = format!("{name}_token_id");
        refused(bpe(&[(&key, Some(258u32.into()))]), Fault::Metadata, &[&key, "258", "0 to 257"]);
        refused(bpe(&[(&key, Some((-1i32).into()))]), Fault::Metadata, &[&key, "non-negative"]);
    }
    let needs_bos = bpe(&[("add_bos_token", Some(true.into()))]);
    refused(needs_bos, Fault::Metadata, &["add_bos_token", "bos_token_id", "missing"]);
}

#[test]
fn tokens_that_repeat_or_are_endless_are_refused() {
    let mut tokens = byte_alphabet();
    tokens.extend(["a".into(), "<|end|>".into()]);
    refused(bpe(&[("tokens", Some(tokens.clone().into()))]), Fault::Metadata, &["token 256", "again"]);
    tokens[256] = "x".repeat(70_000);
    refused(bpe(&[("tokens", Some(tokens.into()))]), Fault::Metadata, &["token 256", "70000"]);
}

#[test]
fn malformed_merges_are_refused() {
    for (merge, why) in [("ab", "two tokens"), (" b", "two tokens"), ("a ", "two tokens"), ("", "two tokens")] {
        refused(bpe(&[("merges", Some(vec!["a b", merge].into()))]), Fault::Metadata, &["merge 1", why]);
    }
    refused(bpe(&[("merges", Some(vec!["a xyz"].into()))]), Fault::Metadata, &["merge 0", "xyz", "no token"]);
    refused(bpe(&[("merges", Some(vec!["b a"].into()))]), Fault::Metadata, &["`ba`", "no token"]);
    refused(bpe(&[("merges", None)]), Fault::Metadata, &["tokenizer.ggml.merges", "missing"]);
    let twice = bpe(&[("merges", Some(vec!["a b"; 2].into()))]).unwrap();
    assert_eq!(Tokenizer::new(twice).unwrap().encode("ab", Special::Plain).unwrap(), [256]);
}

#[test]
fn text_without_a_token_is_an_error_that_names_the_byte() {
    let tokenizer = Tokenizer::new(spm(&[]).unwrap()).unwrap();
    assert_eq!(tokenizer.encode("a\na", Special::Plain).unwrap(), [6, 3, 5]);
    let error = tokenizer.encode("a!", Special::Plain).unwrap_err();
    assert!(error.to_string().contains("0x21"), "{error}");
    let mut tokens = byte_alphabet();
    tokens[usize::from(b'!')] = "unused".into();
    tokens.extend(["ab".into(), "<|end|>".into()]);
    let tokenizer = Tokenizer::new(bpe(&[("tokens", Some(tokens.into()))]).unwrap()).unwrap();
    assert!(tokenizer.encode("ab", Special::Plain).is_ok());
    assert!(tokenizer.encode("ab!", Special::Plain).unwrap_err().to_string().contains("no token"));
}

#[test]
fn ids_outside_have_no_bytes() {
    let tokenizer = Tokenizer::new(bpe(&[]).unwrap()).unwrap();
    assert_eq!(tokenizer.bytes(256), b"ab");
    assert_eq!(tokenizer.bytes(257), b"");
    assert_eq!(tokenizer.bytes(u32::MAX), b"");
    assert!(tokenizer.is_end(257) && !tokenizer.is_end(256) && !tokenizer.is_end(u32::MAX));
}

/// A vocabulary of 150000 tokens is read and built well within a second.
#[test]
fn a_large_vocabulary_is_built_quickly() {
    let bytes = byte_alphabet();
    let pairs = || bytes.iter().flat_map(|a| bytes.iter().map(move |b| (a, b)));
    let twos = pairs().map(|(a, b)| format!("{a} {b}"));
    let threes = pairs().flat_map(|(a, b)| [format!("{a}{b} a"), format!("{a}{b} b")]);
    let merges: Vec<String> = twos.chain(threes).take(150_000).collect();
    let joined = merges.iter().map(|m| m.replacen(' ', "", 1));
    let tokens: Vec<String> = bytes.iter().cloned().chain(joined).collect();
    let count = tokens.len();
    let mut header = Header::new();
    header
        .set("tokenizer.ggml.model", "gpt2")
        .set("tokenizer.ggml.pre", "qwen2")
        .set("tokenizer.ggml.tokens", tokens)
        .set("tokenizer.ggml.token_type", vec![1i32; count])
        .set("tokenizer.ggml.merges", merges);
    let start = std::time::Instant::now();
    let tokenizer = Tokenizer::new(written(&header).unwrap()).unwrap();
    let took = start.elapsed();
    eprintln!("{count} tokens read and built in {took:?}");
    assert_eq!(tokenizer.decode(&tokenizer.encode("abacus", Special::Plain).unwrap()), b"abacus");
    // An idle machine needs a fifth of this, without optimisation.
    assert!(took < std::time::Duration::from_secs(4), "{took:?}");
}

proptest! {
    /// Whatever stands in the arrays, the answer is a vocabulary that encodes or an error; never a panic.
    #[test]
    fn any_arrays_are_read_or_refused(
        entries in prop::collection::vec(("[ab<>0x▁ ]{0,3}", 0i32..8, any::<f32>()), 1..12),
        fault in 0usize..20,
        merges in prop::collection::vec(prop_oneof!["[ab ]{0,4}", Just("a b".to_string())], 0..3),
        is_spm: bool,
        text in "[ab<>0x ]{0,12}",
    ) {
        // Mostly distinct tokens of good kinds, so that many vocabularies are accepted.
        let mut tokens: Vec<_> = entries.iter().enumerate().map(|(i, (t, ..))| format!("{t}{i}")).collect();
        tokens.extend(["a", "b", "ab"].map(String::from));
        let kind = |k: i32| if k == 6 { 1 } else { k.min(6) };
        let mut kinds: Vec<_> = entries.iter().map(|&(_, k, _)| kind(k)).chain([1; 3]).collect();
        let mut scores: Vec<_> = entries.iter().map(|&(.., s)| s).chain([-3.0, -2.0, -1.0]).collect();
        match fault {
            0 => drop(kinds.pop()),
            1 => drop(scores.pop()),
            2 => tokens[0] = "a".into(),
            _ => (),
        }
        let mut header = Header::new();
        header
            .set("tokenizer.ggml.model", if is_spm { "llama" } else { "gpt2" })
            .set("tokenizer.ggml.pre", "gpt-2")
            .set("tokenizer.ggml.tokens", tokens)
            .set("tokenizer.ggml.token_type", kinds)
            .set("tokenizer.ggml.scores", scores)
            .set("tokenizer.ggml.merges", merges)
            .set("tokenizer.ggml.add_bos_token", false);
        if let Ok(vocabulary) = written(&header) {
            let tokenizer = Tokenizer::new(vocabulary).unwrap();
            if let Ok(ids) = tokenizer.encode(&text, Special::Parse) {
                prop_assert!(ids.iter().all(|&id| (id as usize) < tokenizer.vocabulary().len()));
            }
        }
    }
}
