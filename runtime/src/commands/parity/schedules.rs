//! Random plan schedules: what was compared under one schedule is compared under others, and the reference computes once.
use crate::{
    Error,
    exec::{Executor, fill_to_depth},
    parity::{Feed, Report, Trace, check},
    plan::{Placements, Plan, PlanSchedule},
};
use serde::Serialize;
use std::fmt;

/// The comparison under one schedule.
#[derive(Clone, Debug, Serialize)]
pub struct Outcome {
    /// The seed of the schedule.
    pub seed: u64,
    /// What it takes of the placements; none where the executor failed to take them.
    pub placements: Option<Placements>,
    /// Most tokens of the prefill that were fed at a time.
    pub cut: usize,
    /// Whether every bit that was compared is equal, and nothing failed.
    pub equal: bool,
    /// The first step after which something differs, 0 being the whole prefill; as many as there are where the KV caches differ
    /// and no step could have changed them.
    pub step: Option<usize>,
    /// What ended the comparison before its end.
    pub failure: Option<String>,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let Outcome { seed, placements, cut, step, failure, .. } = self;
        write!(f, "schedule {seed}: ")?;
        if let Some(placements) = placements {
            write!(f, "{placements}, ")?;
        }
        write!(f, "{cut} at a time: ")?;
        match (failure, step) {
            (Some(failure), _) => write!(f, "FAILED: {failure}"),
            (None, Some(step)) => write!(f, "DIFFERENT after step {step}"),
            (None, None) => f.write_str("equal"),
        }
    }
}

/// Compares `tested` with a complete trace under the random schedule of a seed.
pub fn compare(plan: &Plan, trace: &Trace, tested: &mut dyn Executor, seed: u64) -> Outcome {
    let schedule = PlanSchedule::random(seed);
    let cut = schedule.chunk(tested.limits().tokens);
    let mut placements = None;
    let found = tested.reschedule(plan, schedule).and_then(|taken| {
        placements = Some(taken);
        trace.first_difference(plan, tested, cut)
    });
    let equal = matches!(found, Ok(None));
    let (step, failure) = match found {
        Ok(step) => (step, None),
        Err(error) => (None, Some(error.to_string())),
    };
    Outcome { seed, placements, cut, equal, step, failure }
}

/// Repeats a comparison step by step on both sides, under the schedule that it found different, to find the place.
pub fn repeat(
    plan: &Plan,
    (reference, tested): (&mut dyn Executor, &mut dyn Executor),
    feed: &Feed,
    outcome: &Outcome,
) -> Result<Report, Error> {
    tested.reschedule(plan, PlanSchedule::random(outcome.seed))?;
    fill_to_depth(reference, plan, feed.start)?;
    fill_to_depth(tested, plan, feed.start)?;
    Ok(check(plan, reference, tested, &Feed { cut: outcome.cut, ..*feed }, &mut |_| ()))
}
