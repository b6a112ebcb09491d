//! Tokens that are cut out of the text before anything else: control, unknown and user-defined ones.

use super::vocab::{Kind, Vocabulary};

/// Whether the text of control tokens in a prompt means the token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Special {
    /// `<|im_end|>` is the token: for templates, and for whoever writes prompts by hand.
    Parse,
    /// `<|im_end|>` is ten characters: for text of unknown origin.
    Plain,
}

/// A piece of the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fragment<'a> {
    Text(&'a str),
    Token(u32),
}

struct SpecialToken {
    id: u32,
    text: String,
    /// User-defined tokens are text and always count.
    is_text: bool,
    /// Whether white space after it belongs to it.
    strips: bool,
}

/// Cuts special tokens out of a text as llama.cpp does: the longest token first, over the whole text.
pub(super) struct Splitter {
    tokens: Vec<SpecialToken>,
}

impl Splitter {
    pub(super) fn new(vocabulary: &Vocabulary) -> Self {
        let is_special = |kind| matches!(kind, Kind::Control | Kind::UserDefined | Kind::Unknown);
        let special = |(id, (text, &kind)): (u32, (&String, &Kind))| {
            // Phi-3's tokenizer.json strips after all but these.
            let strips = vocabulary.strips_after_control && !["<unk>", "<s>", "<|endoftext|>"].contains(&text.as_str());
            is_special(kind).then(|| SpecialToken {
                id,
                text: text.clone(),
                is_text: kind == Kind::UserDefined,
                strips,
            })
        };
        let mut tokens: Vec<_> =
            (0..).zip(vocabulary.tokens.iter().zip(&vocabulary.kinds)).filter_map(special).collect();
        tokens.sort_by_key(|token| std::cmp::Reverse(token.text.len()));
        Self { tokens }
    }

    /// The pieces of `text` in order; no text piece is empty.
    pub(super) fn split<'a>(&self, text: &'a str, special: Special) -> Vec<Fragment<'a>> {
        let mut fragments = vec![Fragment::Text(text)];
        for token in self.tokens.iter().filter(|t| t.is_text || special == Special::Parse) {
            if text.contains(&token.text) {
                fragments = fragments.into_iter().flat_map(|f| cut(f, token)).collect();
            }
        }
        fragments.retain(|f| *f != Fragment::Text(""));
        fragments
    }
}

/// Cuts every occurrence of one token out of a fragment.
fn cut<'a>(fragment: Fragment<'a>, token: &SpecialToken) -> Vec<Fragment<'a>> {
    let Fragment::Text(mut rest) = fragment else {
        return vec![fragment];
    };
    let mut out = Vec::new();
    while let Some(at) = rest.find(&token.text) {
        out.extend([Fragment::Text(&rest[..at]), Fragment::Token(token.id)]);
        rest = &rest[at + token.text.len()..];
        if token.strips {
            // What C's isspace takes for white space.
            rest = rest.trim_start_matches([' ', '\t', '\n', '\u{b}', '\u{c}', '\r']);
        }
    }
    out.push(Fragment::Text(rest));
    out
}
