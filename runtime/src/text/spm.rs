//! SentencePiece by token score as llama.cpp does it: the adjacent pair that makes the best token merges first.

use super::vocab::Vocabulary;
use std::cmp::Ordering;
use std::collections::BinaryHeap;

/// What stands for a space inside a token.
pub(super) const SPACE: &str = "\u{2581}";

/// A run of the text; an empty one has been merged into the symbol to its left.
#[derive(Clone, Copy)]
struct Symbol {
    start: usize,
    len: usize,
    prev: Option<usize>,
    next: Option<usize>,
}

/// Two neighbours whose joined text is a token.
struct Pair {
    score: f32,
    left: usize,
    right: usize,
    /// Bytes of both together when the pair was found: another length means that one has grown since.
    len: usize,
}

impl Ord for Pair {
    /// Higher scores first, and of equal ones the leftmost.
    fn cmp(&self, other: &Self) -> Ordering {
        (self.score + 0.0).total_cmp(&(other.score + 0.0)).then(other.left.cmp(&self.left))
    }
}

impl PartialOrd for Pair {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Pair {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Pair {}

struct Merger<'a> {
    vocabulary: &'a Vocabulary,
    text: &'a str,
    symbols: Vec<Symbol>,
    queue: BinaryHeap<Pair>,
}

impl Merger<'_> {
    /// Queues the pair of `left` and what follows it, if that is a token.
    fn consider(&mut self, left: Option<usize>) {
        let Some(left) = left else { return };
        let Symbol { start, len, next, .. } = self.symbols[left];
        let Some(right) = next else { return };
        let len = len + self.symbols[right].len;
        if let Some(id) = self.vocabulary.id(&self.text[start..start + len]) {
            self.queue.push(Pair { score: self.vocabulary.scores[id as usize], left, right, len });
        }
    }

    fn merge(&mut self, pair: &Pair) {
        let (left, right) = (self.symbols[pair.left], self.symbols[pair.right]);
        if left.len == 0 || right.len == 0 || left.len + right.len != pair.len {
            return;
        }
        self.symbols[pair.left].len = pair.len;
        self.symbols[pair.left].next = right.next;
        self.symbols[pair.right].len = 0;
        if let Some(next) = right.next {
            self.symbols[next].prev = Some(pair.left);
        }
        self.consider(left.prev);
        self.consider(Some(pair.left));
    }
}

fn characters(text: &str) -> Vec<Symbol> {
    let count = text.chars().count();
    let symbol = |(index, (start, c)): (usize, (usize, char))| Symbol {
        start,
        len: c.len_utf8(),
        prev: index.checked_sub(1),
        next: (index + 1 < count).then_some(index + 1),
    };
    text.char_indices().enumerate().map(symbol).collect()
}

/// The tokens of text that holds no special token and has its spaces written as [`SPACE`].
///
/// # Errors
/// A byte that has neither a token of its own nor a byte token.
pub(super) fn encode(vocabulary: &Vocabulary, text: &str, out: &mut Vec<u32>) -> Result<(), u8> {
    let mut merger = Merger { vocabulary, text, symbols: characters(text), queue: BinaryHeap::new() };
    for left in 0..merger.symbols.len() {
        merger.consider(Some(left));
    }
    while let Some(pair) = merger.queue.pop() {
        merger.merge(&pair);
    }
    for symbol in merger.symbols.iter().filter(|s| s.len > 0) {
        let piece = &text[symbol.start..symbol.start + symbol.len];
        match vocabulary.id(piece) {
            Some(id) => out.push(id),
            None => out.extend(piece.bytes().map(|b| byte_token(vocabulary, b)).collect::<Result<Vec<_>, _>>()?),
        }
    }
    Ok(())
}

fn byte_token(vocabulary: &Vocabulary, byte: u8) -> Result<u32, u8> {
    vocabulary.id(&format!("<0x{byte:02X}>")).ok_or(byte)
}
