//! What `apr parity` prints after the table.
use crate::parity::{Bisection, Report, Row};

/// One word for an outcome.
pub fn outcome(equal: bool) -> &'static str {
    if equal { "equal" } else { "DIFFERENT" }
}

/// The findings, a line each, and the bisection.
pub fn summary(report: &Report, bisection: Option<&Bisection>) -> String {
    let mut lines = report.findings();
    if report.equal {
        let steps = report.steps.len();
        lines.push(format!("equal: every bit of the logits and of the KV cache, in all {steps} steps"));
    }
    lines.extend(bisection.into_iter().flat_map(bisected));
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
pub fn refusal(report: &Report, tested: &str, reference: &str) -> String {
    let what = match &report.failure {
        Some(failure) if report.steps.iter().all(Row::equal) => {
            format!("{tested} could not be compared with {reference} to the end: {failure}")
        }
        _ => format!("{tested} computes a DIFFERENT function than {reference}."),
    };
    format!("PARITY FAILED: {what}\n  help: run the model with --device cpu, and report this with what was printed")
}
