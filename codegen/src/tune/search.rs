//! The walk: one field after the other takes the value with the best time, until none changes any more.
use super::journal::Verdict;
use super::space::{self, FIELDS};
use super::timing::Timing;
use crate::ir::Kernel;
use crate::schedule::Schedule;
use crate::target::Target;

/// A schedule is better when it takes at most this part of the time: less than that is noise.
const BETTER: f64 = 0.99;

/// Who says how good schedules are.
pub trait Judge {
    /// Why judging ends altogether.
    type Error;

    /// Whether a schedule can be used at all.
    fn legal(&self, schedule: &Schedule) -> bool;

    /// A verdict for each of these legal schedules, in their order; none for the last ones where the budget has ended.
    fn judge(&mut self, schedules: &[Schedule]) -> Result<Vec<Verdict>, Self::Error>;
}

/// What a walk has found.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    /// The best schedule, and its time when it was judged; the first where none is better.
    pub best: (Schedule, Timing),
    /// Schedules that were judged.
    pub judged: usize,
    /// Whether the walk came to its end; else the budget did.
    pub complete: bool,
}

/// Walks from a schedule that takes the time `first`.
pub fn search<J: Judge>(
    (kernel, target): (&Kernel, Target),
    start: &Schedule,
    first: Timing,
    judge: &mut J,
) -> Result<Found, J::Error> {
    let mut found = Found { best: (start.clone(), first), judged: 0, complete: true };
    let mut seen = vec![start.clone()];
    // How many fields in a row brought nothing.
    let mut idle = 0;
    for field in FIELDS.iter().cycle() {
        if idle == FIELDS.len() {
            return Ok(found);
        }
        idle += 1;
        let mut new = space::around(kernel, target, &found.best.0, field);
        new.retain(|schedule| !seen.contains(schedule) && judge.legal(schedule));
        seen.extend(new.iter().cloned());
        let verdicts = judge.judge(&new)?;
        found.judged += verdicts.len();
        found.complete = verdicts.len() == new.len();
        for (schedule, verdict) in new.into_iter().zip(verdicts) {
            if let Verdict::Timed(time) = verdict
                && time.us <= found.best.1.us * BETTER
            {
                found.best = (schedule, time);
                idle = 0;
            }
        }
        if !found.complete {
            return Ok(found);
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnostic::Source;
    use std::convert::Infallible;

    /// A clock that needs no device: the time is made of the fields.
    struct Fake {
        kernel: Kernel,
        judged: Vec<Schedule>,
        most: usize,
    }

    fn time(s: &Schedule) -> f64 {
        let threads = (s.threads as f64 - 256.0).abs() / 64.0;
        let loads = (s.in_flight as f64 - 8.0).abs();
        100.0 + threads + loads * if s.width == 8 { 1.0 } else { 2.0 }
    }

    impl Judge for Fake {
        type Error = Infallible;

        fn legal(&self, schedule: &Schedule) -> bool {
            Target::Cuda.legal(&self.kernel, schedule).is_ok()
        }

        fn judge(&mut self, schedules: &[Schedule]) -> Result<Vec<Verdict>, Infallible> {
            let left = self.most.saturating_sub(self.judged.len()).min(schedules.len());
            self.judged.extend_from_slice(&schedules[..left]);
            let verdict = |s: &Schedule| match s.resident {
                // The fastest of all, but wrong.
                3 => Verdict::Differs("other bits".into()),
                _ => Verdict::Timed(Timing { us: time(s), spread_us: 0.0 }),
            };
            Ok(schedules[..left].iter().map(verdict).collect())
        }
    }

    fn fake(most: usize) -> Fake {
        let text = "#[kernel] fn f<T: Dim, N: Dim>(x: &Ten<f32, T, N>, y: &mut Ten<f32, T>) {
            for t in par(T) { y[t] = sum(0..N, lanes(16), |acc, n| acc + x[t][n]); } }";
        let kernel = crate::compile(&[Source { name: "f.rs".into(), text: text.into() }]).unwrap().remove(0);
        Fake { kernel, judged: Vec::new(), most }
    }

    fn walk(fake: &mut Fake) -> Found {
        let start = Schedule { width: 16, ..Schedule::plain(&["t"]) };
        let kernel = fake.kernel.clone();
        let first = Timing { us: time(&start), spread_us: 0.0 };
        search((&kernel, Target::Cuda), &start, first, fake).unwrap_or_else(|never| match never {})
    }

    #[test]
    fn the_walk_finds_the_best_and_judges_nothing_twice() {
        let mut clock = fake(usize::MAX);
        let found = walk(&mut clock);
        let best = &found.best.0;
        assert_eq!((best.threads, best.in_flight, found.complete), (256, 8, true), "{best:?}");
        assert_eq!(found.judged, clock.judged.len());
        for (i, schedule) in clock.judged.iter().enumerate() {
            assert!(!clock.judged[..i].contains(schedule), "{schedule:?} was judged twice");
        }
        assert_eq!(walk(&mut fake(usize::MAX)), found, "the walk is the same each time");
    }

    #[test]
    fn a_budget_ends_the_walk_with_the_best_so_far() {
        let all = walk(&mut fake(usize::MAX));
        for most in [0, 1, all.judged / 2, all.judged - 1] {
            let found = walk(&mut fake(most));
            assert!(!found.complete && found.judged == most && found.best.1.us >= all.best.1.us, "{most}: {found:?}");
        }
    }

    #[test]
    fn what_has_other_bits_is_never_the_best() {
        let mut clock = fake(usize::MAX);
        assert!(walk(&mut clock).best.0.resident != 3);
        assert!(clock.judged.iter().any(|s| s.resident == 3));
    }
}
