//! What `apr parity` prints after the table.
use super::{Object, schedules::Outcome};
use crate::parity::{Bisection, Report, Row};

/// One word for an outcome.
pub fn outcome(equal: bool) -> &'static str {
    if equal { "equal" } else { "DIFFERENT" }
}

/// The findings, a line each, and the bisection.
pub fn summary(object: &Object) -> String {
    let Object { report, schedules, .. } = object;
    let mut lines = report.findings();
    if let Some(repeated) = object.repeated {
        let found = repeated.findings();
        lines.push("the first schedule that differs, repeated step by step:".into());
        let none = "nothing differs: the difference does not repeat".to_string();
        lines.extend(if found.is_empty() { vec![none] } else { found });
    }
    if report.equal {
        let under = match schedules.len() {
            0 => String::new(),
            n => format!(", and under {n} random schedules"),
        };
        let steps = report.steps.len();
        lines.push(format!("equal: every bit of the logits and of the KV cache, in all {steps} steps{under}"));
    }
    lines.extend(object.bisection.into_iter().flat_map(bisected));
    lines.iter().map(|line| format!("{line}\n")).collect()
}

fn bisected(found: &Bisection) -> [String; 6] {
    let Bisection { stage, weight, rows, reference, tested, quantized_differing, float_differing } = found;
    let same = |differing: &usize| match differing {
        0 => format!("equal bits in all {rows} numbers"),
        n => format!("{n} of {rows} numbers DIFFER"),
    };
    [
        String::new(),
        format!("bisection of {stage} ({weight}), on the same bytes:"),
        format!("  Q8_K activations, reference and tested:           {}", same(quantized_differing)),
        format!("  dequantized to f32, reference and tested:         {}", same(float_differing)),
        format!(
            "  between the two definitions, on the reference:    {:.4} % (relative RMS)",
            reference.relative_rms_percent
        ),
        format!(
            "  between the two definitions, on what is tested:   {:.4} % (relative RMS)",
            tested.relative_rms_percent
        ),
    ]
}

/// The error of a check that found something.
pub fn refusal(report: &Report, outcomes: &[Outcome], tested: &str, reference: &str) -> String {
    let differs = |row: &Row| !row.equal();
    // What serves counts first; where it is equal, a schedule is not.
    let under = outcomes
        .iter()
        .find(|outcome| !outcome.equal)
        .filter(|_| report.failure.is_none() && report.cache_equal && !report.steps.iter().any(differs));
    let failure = under.map_or(report.failure.as_ref(), |outcome| outcome.failure.as_ref());
    let what = match failure {
        Some(failure) if !report.steps.iter().any(differs) => {
            format!("{tested} could not be compared with {reference} to the end: {failure}")
        }
        _ => format!("{tested} computes a DIFFERENT function than {reference}."),
    };
    let what = match under {
        Some(Outcome { seed, .. }) => {
            format!("under plan schedule {seed}, {what} Repeat it with --schedules 1 --schedule-seed {seed}.")
        }
        None => what,
    };
    format!("PARITY FAILED: {what}\n  help: run the model with --device cpu, and report this with what was printed")
}
