//! The pre-tokenizers of byte-level BPE by GGUF name: the patterns that cut text into words before merging.

use crate::gguf::{Metadata, ModelError, shown};

/// How a family of vocabularies cuts text into words.
#[derive(Debug, PartialEq, Eq)]
pub struct Pre {
    /// What `tokenizer.ggml.pre` may say for it; the first is the family's name.
    pub names: &'static [&'static str],
    /// Each pattern cuts the pieces the one before it left; both matches and gaps are pieces.
    pub patterns: &'static [&'static str],
    /// Whether a word that is a token is that token, whatever the merges say.
    pub ignore_merges: bool,
    /// Whether a text begins with BOS if the file does not say.
    pub adds_bos: bool,
}

const GPT_2: &str = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+";
const QWEN_2: &str =
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const LLAMA_3: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const TEKKEN: &str = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const GPT_4O: &str = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const DEEPSEEK_3: &str = r##"[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"##;
const DIGIT: &str = r"\p{N}";

const fn pre(names: &'static [&'static str], patterns: &'static [&'static str]) -> Pre {
    Pre { names, patterns, ignore_merges: false, adds_bos: false }
}

const fn ignoring_merges(names: &'static [&'static str], patterns: &'static [&'static str]) -> Pre {
    Pre { names, patterns, ignore_merges: true, adds_bos: true }
}

/// Every supported pre-tokenizer. The patterns are those of each family's published `tokenizer.json`.
const ALL: &[Pre] = &[
    pre(&["gpt-2", "phi-2", "mpt", "olmo", "exaone4", "trillion"], &[GPT_2]),
    pre(&["qwen2", "deepseek-r1-qwen", "megrez", "stablelm2", "hunyuan"], &[QWEN_2]),
    ignoring_merges(&["llama-bpe", "llama3", "llama-v3", "falcon3"], &[LLAMA_3]),
    pre(&["dbrx", "smaug-bpe", "glm4", "chatglm-bpe"], &[LLAMA_3]),
    pre(&["starcoder", "smollm", "refact", "command-r", "codeshell", "exaone", "minerva-7b"], &[DIGIT, GPT_2]),
    pre(
        &["deepseek-coder"],
        &[r"[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", "[\u{4e00}-\u{9fa5}\u{800}-\u{4e00}\u{ac00}-\u{d7ff}]+", DIGIT],
    ),
    pre(&["deepseek-v3"], &[r"\p{N}{1,3}", "[\u{4e00}-\u{9fa5}\u{3040}-\u{309f}\u{30a0}-\u{30ff}]+", DEEPSEEK_3]),
    ignoring_merges(&["tekken"], &[TEKKEN]),
    pre(&["gpt-4o", "llama4"], &[GPT_4O]),
];

impl Pre {
    /// The pre-tokenizer of this name.
    pub fn named(name: &str) -> Option<&'static Self> {
        ALL.iter().find(|pre| pre.names.contains(&name))
    }

    /// All names that are supported.
    pub fn names() -> impl Iterator<Item = &'static str> {
        ALL.iter().flat_map(|pre| pre.names.iter().copied())
    }

    pub(super) fn read(metadata: Metadata<'_>) -> Result<&'static Self, ModelError> {
        const KEY: &str = "tokenizer.ggml.pre";
        let name = metadata.opt_str(KEY)?;
        let problem = match name {
            None => format!("the file does not name its pre-tokenizer (`{KEY}` is missing)"),
            Some(name) => format!("the pre-tokenizer `{}` (`{KEY}`) is not supported", shown(name)),
        };
        let names: Vec<_> = Self::names().collect();
        let help = format!(
            "a guess would give other tokens than the model was trained on; supported are {}",
            names.join(", ")
        );
        name.and_then(Self::named).ok_or_else(|| ModelError::unsupported(problem, help))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique() {
        let mut names: Vec<_> = Pre::names().collect();
        let all = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), all);
    }

    /// A pattern with a look-ahead may give up on endless words; the check for that sees the last pattern's pieces.
    #[test]
    fn only_last_patterns_look_ahead() {
        for pre in ALL {
            let (_, before) = pre.patterns.split_last().unwrap();
            assert!(before.iter().all(|p| !p.contains("(?!") && !p.contains("(?=")), "{}", pre.names[0]);
        }
    }
}
