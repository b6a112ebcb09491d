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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        exec::{
            Fault,
            cpu::{Cpu, Setup},
        },
        gguf::Gguf,
        model::Model,
        parity::check_and_trace,
        plan::{Step, transformer},
        synth,
    };
    use kernels_gen::Isa;
    use std::sync::atomic::AtomicBool;

    #[test]
    fn what_differs_under_a_schedule_is_repeated_step_by_step_and_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("m.gguf");
        let options = synth::Options { seed: 1, layers: None, outliers: true, quant: synth::Quant::Q4KM };
        synth::write(&path, synth::shape("tiny").unwrap(), &options, 2, &AtomicBool::new(false), |_, _| ()).unwrap();
        let file = Gguf::open(&path).unwrap();
        let plan = transformer(&Model::load(&file).unwrap());
        let limits = Step { tokens: 20, outputs: 1, position: 0, chunks: 3 };
        let cpu = |isa| Cpu::new(&plan, &file, Setup { threads: 1, isa, limits }, &|_, _| ()).unwrap();
        let (mut reference, mut tested) = (cpu(Isa::best()), cpu(Isa::Scalar));
        let prompt: Vec<u32> = (0..20).collect();
        let feed = Feed { start: 70, ..Feed::new(&prompt, 2) };
        for executor in [&mut reference, &mut tested] {
            fill_to_depth(executor, &plan, feed.start).unwrap();
        }
        let mut trace = Trace::default();
        let report = check_and_trace(&plan, &mut reference, &mut tested, &feed, Some(&mut trace), &mut |_| ());
        assert!(report.equal);
        let equal = compare(&plan, &trace, &mut tested, 1);
        assert!(equal.equal && equal.to_string().ends_with(" at a time: equal"), "{equal}");

        tested.plant("bit:1:attn_v".parse::<Fault>().unwrap().place(&plan).unwrap()).unwrap();
        let different = compare(&plan, &trace, &mut tested, 5);
        assert_eq!((different.equal, different.step, &different.failure), (false, Some(0), &None), "{different}");
        assert!(different.to_string().starts_with("schedule 5: "), "{different}");
        assert!(different.to_string().ends_with("DIFFERENT after step 0"), "{different}");
        let report = repeat(&plan, (&mut reference, &mut tested), &feed, &different).unwrap();
        assert_eq!(report.steps[0].tokens, different.cut, "cut as it was");
        let found = report.difference.unwrap();
        assert_eq!((found.step, found.stage.as_str()), (0, "blk.1.attn_v"), "{found}");
    }

    #[test]
    fn what_fails_under_a_schedule_says_why() {
        let failure = Some("no memory".into());
        let failed = Outcome { seed: 2, placements: None, cut: 3, equal: false, step: None, failure };
        assert_eq!(failed.to_string(), "schedule 2: 3 at a time: FAILED: no memory");
    }
}
