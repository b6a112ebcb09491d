//! The name that a mistyped one was probably meant to be.

/// The known name that is closest to a mistyped one; none where it would take more changes than a third of its letters.
pub fn nearest<'n>(name: &str, known: impl Iterator<Item = &'n str>) -> Option<&'n str> {
    let best = known.min_by_key(|k| (distance(k, name), *k))?;
    (distance(best, name) <= name.len().div_ceil(3)).then_some(best)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_letters_may_differ() {
        let names = ["bias", "rmsnorm", "weigh", "weigh_q8k"];
        let of = |name| nearest(name, names.into_iter());
        assert_eq!((of("bais"), of("weigh_q8"), of("rmsnrm")), (Some("bias"), Some("weigh_q8k"), Some("rmsnorm")));
        assert_eq!((of("softmax"), of("")), (None, None));
    }
}
