//! Byte-level BPE by merge rank, through the `tokenizers` crate.

use super::pre::Pre;
use super::vocab::Vocabulary;
use tokenizers::models::bpe::BPE;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::sequence::Sequence;
use tokenizers::pre_tokenizers::split::{Split, SplitPattern};
use tokenizers::{OffsetReferential, OffsetType, PreTokenizedString, PreTokenizer, PreTokenizerWrapper};
use tokenizers::{Result, SplitDelimiterBehavior, Tokenizer};

/// The longest word in bytes. The pattern engine gives up without a word on a match of about a million characters and
/// leaves the rest of the text as one piece, so that longer words mean that the cuts are wrong.
const LONGEST_WORD: usize = 500_000;

/// A vocabulary's merges behind its pre-tokenizer.
pub(super) struct Bpe {
    tokenizer: Tokenizer,
}

impl Bpe {
    pub(super) fn new(vocabulary: &Vocabulary, pre: &Pre) -> Result<Self> {
        let token = |id: u32| vocabulary.tokens[id as usize].clone();
        // Of a merge that occurs twice the first, better rank counts.
        let mut seen = std::collections::HashSet::with_capacity(vocabulary.merges.len());
        let first = vocabulary.merges.iter().filter(|merge| seen.insert(**merge));
        let merges = first.map(|&(left, right)| (token(left), token(right))).collect();
        let vocab: tokenizers::models::bpe::Vocab = vocabulary.tokens.iter().cloned().zip(0..).collect();
        let model = BPE::builder().vocab_and_merges(vocab, merges).ignore_merges(pre.ignore_merges).build()?;
        let mut tokenizer = Tokenizer::new(model);
        tokenizer.with_pre_tokenizer(Some(Sequence::new(steps(pre)?)));
        Ok(Self { tokenizer })
    }

    /// The tokens of text that holds no special token.
    ///
    /// # Errors
    /// A word longer than [`LONGEST_WORD`].
    pub(super) fn encode(&self, text: &str, out: &mut Vec<u32>) -> Result<()> {
        if text.len() > LONGEST_WORD {
            self.check_words(text)?;
        }
        out.extend_from_slice(self.tokenizer.encode_fast(text, false)?.get_ids());
        Ok(())
    }

    fn check_words(&self, text: &str) -> Result<()> {
        let mut pieces = PreTokenizedString::from(text);
        if let Some(steps) = self.tokenizer.get_pre_tokenizer() {
            steps.pre_tokenize(&mut pieces)?;
        }
        let splits = pieces.get_splits(OffsetReferential::Original, OffsetType::Byte);
        match splits.iter().map(|(_, (start, end), _)| end - start).max() {
            Some(longest) if longest > LONGEST_WORD => {
                Err(format!("the text has a word of {longest} bytes; the limit is {LONGEST_WORD}").into())
            }
            _ => Ok(()),
        }
    }
}

/// The cuts of a pre-tokenizer, and the change of bytes into the alphabet of the vocabulary.
fn steps(pre: &Pre) -> Result<Vec<PreTokenizerWrapper>> {
    let split = |pattern: &&str| {
        let pattern = SplitPattern::Regex(pattern.to_string());
        Split::new(pattern, SplitDelimiterBehavior::Isolated, false).map(PreTokenizerWrapper::from)
    };
    let mut steps = pre.patterns.iter().map(split).collect::<Result<Vec<_>>>()?;
    steps.push(ByteLevel::new(false, false, false).into());
    Ok(steps)
}
