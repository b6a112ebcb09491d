//! Which tokens end a generation: those the file names, and those known by their text.

use std::collections::HashMap;

/// Texts of tokens that end a turn or a text. Files often name one of several, so that the rest must be known; the
/// list is the one llama.cpp collects.
const KNOWN: [&str; 22] = [
    "<|eot_id|>",
    "<|eom_id|>",
    "<|im_end|>",
    "<|end|>",
    "<|return|>",
    "<|call|>",
    "<|calls|>",
    "<|flush|>",
    "<end_of_turn>",
    "<|endoftext|>",
    "<|end_of_text|>",
    "</s>",
    "<eos>",
    "<turn|>",
    "<|tool_response>",
    "<EOT>",
    "_<EOT>",
    "[EOT]",
    "[EOS]",
    "[e~[",
    "<end_of_utterance>",
    "<｜end▁of▁sentence｜>",
];

/// Texts of fill-in-the-middle tokens that begin another file: what comes after is no part of the answer.
const NEXT_FILE: [&str; 9] = [
    "<|fim_pad|>",
    "<fim-pad>",
    "<fim_pad>",
    "<|fim_repo|>",
    "<|repo_name|>",
    "<fim-repo>",
    "<REPO>",
    "<reponame>",
    "<|file_sep|>",
];

/// The ids among `ids` that end a turn or a text by what they are called; such a token is a control token, whatever
/// the file says of it.
pub(super) fn known_ends(ids: &HashMap<String, u32>) -> Vec<u32> {
    let has = |token: &str| ids.contains_key(token);
    // Where these mark a whole answer, `<|end|>` only separates its parts, and `</s>` is ordinary text.
    let end_separates = (has("<|return|>") && has("<|call|>")) || (has("<|calls|>") && has("<|flush|>"));
    let s_is_text = has("<|tool_response>");
    let counts = |token: &&&str| match **token {
        "<|end|>" => !end_separates,
        "</s>" => !s_is_text,
        _ => true,
    };
    KNOWN.iter().filter(counts).filter_map(|&token| ids.get(token).copied()).collect()
}

/// All ids that end a generation, ascending: `named` by the file, known by their text, and beginnings of other files.
pub(super) fn end_tokens(ids: &HashMap<String, u32>, named: impl Iterator<Item = u32>) -> Vec<u32> {
    let next_file = NEXT_FILE.iter().filter_map(|&token| ids.get(token).copied());
    let mut ends: Vec<u32> = known_ends(ids).into_iter().chain(next_file).chain(named).collect();
    ends.sort_unstable();
    ends.dedup();
    ends
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ends(tokens: &[&str], named: &[u32]) -> Vec<u32> {
        let ids = tokens.iter().zip(0..).map(|(t, id)| (t.to_string(), id)).collect();
        end_tokens(&ids, named.iter().copied())
    }

    #[test]
    fn named_and_known_ends_are_collected_once() {
        assert_eq!(ends(&["a", "<|im_end|>", "<|endoftext|>", "b"], &[1, 3]), [1, 2, 3]);
        assert_eq!(ends(&["a", "b"], &[]), [] as [u32; 0]);
    }

    #[test]
    fn a_separator_of_parts_ends_nothing() {
        assert_eq!(ends(&["<|end|>", "<|return|>", "<|call|>"], &[]), [1, 2]);
        assert_eq!(ends(&["<|end|>", "<|return|>"], &[]), [0, 1]);
    }
}
