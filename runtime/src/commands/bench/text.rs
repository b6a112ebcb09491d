//! The report for people.
use super::{Phase, Report};
use std::fmt::Write;

/// A table, a row a phase.
pub fn table(report: &Report) -> String {
    let mut out = format!("{} on {}, loaded in {:.2} s\n", report.model, report.device, report.load);
    let depth = if report.depth == 0 { String::new() } else { format!(" at {}", report.depth) };
    let _ = writeln!(out, "{:<20}  {:>10}  {:>10}  {:>10}  {:>8}", "test", "tokens/s", "slowest", "fastest", "GB/s");
    for (name, phase) in [("prefill", &report.prefill), ("decode", &report.decode)] {
        let Some(Phase { tokens, median, min, max, bytes_a_token }) = phase else { continue };
        let name = format!("{name} {tokens}{depth}");
        let rate = bytes_a_token.map_or(String::new(), |bytes| format!("{:.1}", bytes as f64 * median / 1e9));
        let _ = writeln!(out, "{name:<20}  {median:>10.2}  {min:>10.2}  {max:>10.2}  {rate:>8}");
    }
    out
}
