//! Makes a failing case smaller: leaves out choices, takes an expression's part for the whole, and makes choices smaller,
//! as long as it still fails.
use crate::case::{Case, Tapes};
use crate::run::guarded;
use crate::tape::Recording;
use kgen::target::Target;
use std::time::{Duration, Instant};

/// The longest time for one case.
const TIME: Duration = Duration::from_secs(20);

/// The smallest case that was found, and why it fails. `fails` gives the reason of a failure.
pub fn shrink(
    case: Case,
    reason: String,
    targets: &[Target],
    fails: impl Fn(&Case) -> Option<String>,
) -> (Case, String) {
    let mut best = (case, reason);
    let end = Instant::now() + TIME;
    loop {
        let before = size(&best.0.tapes);
        for part in 0..3 {
            let mut k = 0;
            while Instant::now() < end {
                let mut tapes = best.0.tapes.clone();
                let Some(smaller) = candidate(part_of(&mut tapes, part), k) else { break };
                *part_of(&mut tapes, part) = Recording { choices: smaller, spans: Vec::new() };
                let failing = guarded(|| Case::read("f", &tapes, targets)).ok();
                let failing = failing.filter(|case| size(&case.tapes) < size(&best.0.tapes));
                match failing.and_then(|case| fails(&case).map(|reason| (case, reason))) {
                    Some(found) => best = found,
                    None => k += 1,
                }
            }
        }
        if size(&best.0.tapes) == before || Instant::now() >= end {
            return best;
        }
    }
}

fn part_of(tapes: &mut Tapes, part: usize) -> &mut Recording {
    match part {
        0 => &mut tapes.kernel,
        1 => &mut tapes.data,
        _ => &mut tapes.schedules,
    }
}

/// Fewer choices are smaller, and of as many those that are smaller themselves.
fn size(tapes: &Tapes) -> (usize, u64) {
    let parts = [&tapes.kernel, &tapes.data, &tapes.schedules];
    let sum = |r: &Recording| r.choices.iter().map(|c| *c as u64).sum::<u64>();
    (parts.iter().map(|r| r.choices.len()).sum(), parts.iter().map(|r| sum(r)).sum())
}

/// The `k`-th way to make a recording smaller; `None` after the last.
fn candidate(recording: &Recording, mut k: usize) -> Option<Vec<u32>> {
    let (choices, spans) = (&recording.choices, &recording.spans);
    let spliced = |(from, to): (usize, usize), by: &[u32]| [&choices[..from], by, &choices[to..]].concat();
    // A whole span becomes the simplest thing, or nothing; the largest first.
    let mut largest: Vec<(usize, usize)> = spans.clone();
    largest.sort_by_key(|(from, to)| std::cmp::Reverse(to - from));
    if k < 2 * largest.len() {
        return Some(spliced(largest[k / 2], &[0][..k % 2]));
    }
    k -= 2 * largest.len();
    // A span becomes a span inside it.
    let inner = largest.iter().flat_map(|outer| {
        let inside = move |s: &&(usize, usize)| outer.0 <= s.0 && s.1 <= outer.1 && *s != outer;
        spans.iter().filter(inside).map(move |s| (*outer, *s))
    });
    let inner: Vec<_> = inner.take(4 * choices.len()).collect();
    if let Some((outer, (from, to))) = inner.get(k) {
        return Some(spliced(*outer, &choices[*from..*to]));
    }
    k -= inner.len();
    // Runs of choices are left out.
    for len in [8, 4, 2, 1] {
        let places = choices.len().saturating_sub(len - 1);
        if k < places {
            return Some(spliced((k, k + len), &[]));
        }
        k -= places;
    }
    // A choice becomes smaller.
    let at = k / 3;
    let old = *choices.get(at)?;
    Some(spliced((at, at + 1), &[[0, old / 2, old.saturating_sub(1)][k % 3]]))
}
