//! The cuts of the qwen2 and llama-bpe pre-tokenizers against scanners written by hand from the patterns' meaning, and
//! decode(encode(x)) = x over arbitrary text.

mod text_support;

use apr::text::{Pre, Special, Tokenizer};
use proptest::prelude::*;
use std::sync::LazyLock;
use text_support::{bpe, oracles, tokenizer};
use tokenizers::pre_tokenizers::split::{Split, SplitPattern};
use tokenizers::{OffsetReferential, OffsetType, PreTokenizedString, PreTokenizer, SplitDelimiterBehavior};

/// A pre-tokenizer's patterns, compiled once.
struct Cutter(Vec<Split>);

impl Cutter {
    fn new(pre: &str) -> Self {
        let split = |pattern: &&str| {
            let pattern = SplitPattern::Regex(pattern.to_string());
            Split::new(pattern, SplitDelimiterBehavior::Isolated, false).unwrap()
        };
        Self(Pre::named(pre).unwrap().patterns.iter().map(split).collect())
    }

    /// The words of `text`.
    fn cut(&self, text: &str) -> Vec<String> {
        let mut pieces = PreTokenizedString::from(text);
        self.0.iter().for_each(|split| split.pre_tokenize(&mut pieces).unwrap());
        let splits = pieces.get_splits(OffsetReferential::Original, OffsetType::Byte);
        splits.into_iter().map(|(word, ..)| word.to_string()).collect()
    }
}

static QWEN_2: LazyLock<Cutter> = LazyLock::new(|| Cutter::new("qwen2"));
static LLAMA_BPE: LazyLock<Cutter> = LazyLock::new(|| Cutter::new("llama-bpe"));

/// One small vocabulary for every name of a pre-tokenizer.
static ALL: LazyLock<Vec<Tokenizer>> =
    LazyLock::new(|| Pre::names().map(|name| bpe(name, &["a b", "Ġ a", "Ġ Ġ", "ab ab", "1 2", "Ċ Ċ"])).collect());

fn is_letter(c: char) -> bool {
    // Letters of category L; `is_alphabetic` also has marks and letter numbers, which the corpus leaves out.
    c.is_alphabetic()
}

fn is_number(c: char) -> bool {
    c.is_numeric()
}

fn is_break(c: char) -> bool {
    c == '\r' || c == '\n'
}

fn run(text: &[char], of: impl Fn(char) -> bool) -> usize {
    text.iter().take_while(|&&c| of(c)).count()
}

/// How many characters the first word has: the alternatives in order, by their meaning.
fn first_word(text: &[char], digits: usize) -> usize {
    let at = |i: usize| text.get(i).copied();
    let is = |i: usize, f: fn(char) -> bool| at(i).is_some_and(f);
    let is_other = |c: char| !c.is_whitespace() && !is_letter(c) && !is_number(c);
    // 1. an English contraction, in any case
    let lower = |i: usize| at(i).map(|c| c.to_ascii_lowercase());
    if at(0) == Some('\'') {
        match (lower(1), lower(2)) {
            (Some('s' | 't' | 'm' | 'd'), _) => return 2,
            (Some('r' | 'v'), Some('e')) | (Some('l'), Some('l')) => return 3,
            _ => (),
        }
    }
    // 2. letters, after at most one character that is no letter, number or line break
    let lead = usize::from(at(0).is_some_and(|c| !is_letter(c) && !is_number(c) && !is_break(c)));
    if is(lead, is_letter) {
        return lead + run(&text[lead..], is_letter);
    }
    // 3. numbers
    if is(0, is_number) {
        return run(text, is_number).min(digits);
    }
    // 4. other characters after at most one space, with the line breaks behind them
    let lead = usize::from(at(0) == Some(' '));
    if at(lead).is_some_and(is_other) {
        let end = lead + run(&text[lead..], is_other);
        return end + run(&text[end..], is_break);
    }
    // 5. white space up to its last line break; 6. all but the last before a word; 7. what is left
    let spaces = run(text, char::is_whitespace);
    if let Some(last) = text[..spaces].iter().rposition(|&c| is_break(c)) {
        return last + 1;
    }
    if spaces == text.len() || spaces == 1 { spaces } else { spaces - 1 }
}

fn scan(digits: usize, text: &str) -> Vec<String> {
    let chars: Vec<char> = text.chars().collect();
    let (mut words, mut at) = (Vec::new(), 0);
    while at < chars.len() {
        let length = first_word(&chars[at..], digits);
        assert!(length > 0, "{text:?} at {at}");
        words.push(chars[at..at + length].iter().collect());
        at += length;
    }
    words
}

/// Text in which every alternative of the patterns meets every other.
fn corpus() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        "[a-zA-Z]{1,4}",
        "[0-9²½٣]{1,5}",
        "[ \t\u{a0}\u{3000}]{1,3}",
        "[\r\n]{1,2}",
        "[.,!?'\"#$%&()*+/:;<=>@^_`{|}~€«»-]{1,3}",
        "'(s|S|t|re|RE|ve|vE|m|ll|LL|d|x|r|v|l)",
        "[äßéΩЖ한日本語🦙👍]{1,3}",
    ];
    prop::collection::vec(piece, 0..14).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn qwen2_cuts(text in corpus()) {
        prop_assert_eq!(QWEN_2.cut(&text), scan(1, &text));
    }

    #[test]
    fn llama_bpe_cuts(text in corpus()) {
        prop_assert_eq!(LLAMA_BPE.cut(&text), scan(3, &text));
    }
}

proptest! {
    /// Byte-level BPE loses nothing, whatever the pre-tokenizer and the text.
    #[test]
    fn decoding_gives_the_text_back(text in any::<String>(), mixed in corpus(), which in 0usize..64) {
        let t = &ALL[which % ALL.len()];
        for text in [text, mixed] {
            let ids = t.encode(&text, Special::Plain).unwrap();
            prop_assert_eq!(String::from_utf8(t.decode(&ids)).unwrap(), text);
        }
    }
}

#[test]
fn decoding_gives_the_text_back_with_real_vocabularies() {
    let Some(folder) = oracles("decoding_gives_the_text_back_with_real_vocabularies") else { return };
    use proptest::test_runner::TestRunner;
    let vocabularies = ["gpt-2", "starcoder", "llama-spm"].map(|n| format!("tokenizer/ggml-vocab-{n}.gguf"));
    for path in vocabularies.iter().map(String::as_str).chain(["models/abacus-42m-q4_k_m.gguf"]) {
        let t = tokenizer(&folder.join(path));
        let prefix = if path.contains("spm") { " " } else { "" };
        let mut runner = TestRunner::deterministic();
        runner
            .run(&(any::<String>(), corpus()), |(any, mixed)| {
                for text in [any, mixed].into_iter().filter(|t| !t.is_empty() && !t.contains('\u{2581}')) {
                    let ids = t.encode(&text, Special::Plain).unwrap();
                    prop_assert_eq!(String::from_utf8(t.decode(&ids)).unwrap(), format!("{prefix}{text}"));
                }
                Ok(())
            })
            .unwrap();
    }
}

/// A word that is a token needs no merges in llama-bpe; in qwen2 it does.
#[test]
fn ignore_merges_is_llama_bpes_alone() {
    let merges = ["a b", "b c", "a bc"];
    // The merges of "abc" take "ab" first and cannot reach "abc", which only "a" + "bc" makes.
    let (llama, qwen) = (bpe("llama-bpe", &merges), bpe("qwen2", &merges));
    let ids = |t: &Tokenizer| t.encode("abc", Special::Plain).unwrap();
    assert_eq!(ids(&llama), [258]);
    assert_eq!(ids(&qwen), [256, u32::from(b'c')]);
}

/// A long run of one kind of character is the worst the patterns can meet.
#[test]
fn long_runs_are_encoded_whole() {
    for piece in [" ", "\n", "a", "1", "!", "é", " \n"] {
        let text = piece.repeat((1 << 18) / piece.len());
        for pre in ["qwen2", "gpt-2", "deepseek-coder"] {
            let t = bpe(pre, &["Ġ Ġ", "a a"]);
            let ids = t.encode(&text, Special::Plain).unwrap();
            assert_eq!(t.decode(&ids), text.as_bytes(), "{piece:?} {pre}");
        }
    }
}

/// Beyond a million characters the crate's pattern engine gives up within a word without saying so.
#[test]
fn a_word_too_long_to_cut_is_refused() {
    let t = bpe("qwen2", &["Ġ Ġ"]);
    let error = t.encode(&format!("{}b c", " ".repeat(1_100_000)), Special::Plain).unwrap_err();
    assert!(error.to_string().contains("a word of"), "{error}");
    let text = format!("{}b c", "a b".repeat(400_000));
    assert_eq!(t.decode(&t.encode(&text, Special::Plain).unwrap()), text.as_bytes());
}
