//! The name that a mistyped one was probably meant to be.
use super::Checker;

impl Checker<'_> {
    /// The known name that is closest to a mistyped one.
    pub(super) fn nearest(&self, name: &str) -> Option<String> {
        let known = self.scopes.iter().flat_map(|s| s.keys()).chain(self.program.constants.keys());
        let functions = self.program.functions.keys().filter(|f| !f.contains("::"));
        let builtins = super::builtin::NAMES.iter().map(|s| s.to_string());
        let best = known.chain(functions).cloned().chain(builtins).min_by_key(|k| (distance(k, name), k.clone()))?;
        (distance(&best, name) <= name.len().div_ceil(3)).then_some(best)
    }
}

/// Levenshtein distance.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, y) in b.iter().enumerate() {
            let cost = (diagonal + usize::from(x != *y)).min(row[j] + 1).min(row[j + 1] + 1);
            diagonal = std::mem::replace(&mut row[j + 1], cost);
        }
    }
    row[b.len()]
}
