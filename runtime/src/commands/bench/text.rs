//! The report for people.
use super::report::Report;
use indicatif::HumanBytes;
use std::fmt::Write;

/// A table with a row a measurement, what it is compared with, and a table of stages where they were measured.
pub fn tables(report: &Report) -> String {
    let (device, size) = (report.device_and_threads(), HumanBytes(report.model_bytes));
    let mut out = format!("{} ({size}) on {device}, loaded in {:.2} s\n", report.model, report.load);
    // Writing to a string cannot fail.
    let _ = writeln!(
        out,
        "{:<20}  {:>10}  {:>10}  {:>10}  {:>8}  {:>9}  {:>7}  {:>7}",
        "test", "tokens/s", "slowest", "fastest", "GB/s", "of memory", "lowest", "highest"
    );
    for (test, _, speed) in report.tests() {
        let (median, min, max) = (speed.median, speed.min, speed.max);
        let _ = write!(out, "{test:<20}  {median:>10.2}  {min:>10.2}  {max:>10.2}");
        let traffic = &speed.traffic;
        if let Some(rate) = traffic.gb_a_second {
            let _ = write!(out, "  {rate:>8.1}");
        }
        let parts = [traffic.of_read_rate, traffic.of_read_rate_min, traffic.of_read_rate_max];
        for (part, width) in parts.into_iter().flatten().zip([7, 5, 5]) {
            let _ = write!(out, "  {:>width$.1} %", 100.0 * part);
        }
        out.push('\n');
    }
    let rate = &report.figures.read_rate;
    let (median, min, max, way) = (rate.gb_a_second, rate.gb_a_second_min, rate.gb_a_second_max, rate.way);
    let _ =
        writeln!(out, "memory is read at {median:.1} GB/s, {min:.1} at the slowest, {max:.1} at the fastest ({way})");
    if let Some(memory) = &report.figures.memory {
        let _ = writeln!(out, "memory: {} ({})", HumanBytes(memory.bytes), memory.what);
    }
    let _ = writeln!(out, "{}", report.ids);
    for (what, stages) in report.stage_tables() {
        let per = if what == "decode" { "a token" } else { "a prompt" };
        let _ = writeln!(out, "\nstages of {what}, each waited for by itself; time of all of a kind for {per}");
        let _ = writeln!(out, "{:<20}  {:>6}  {:>12}  {:>7}  kernel", "stage", "number", "us", "share");
        for stage in stages {
            let (us, share) = (1e6 * stage.seconds, 100.0 * stage.share);
            let _ =
                writeln!(out, "{:<20}  {:>6}  {us:>12.1}  {share:>5.1} %  {}", stage.op, stage.stages, stage.kernel);
        }
        let all: f64 = stages.iter().map(|stage| stage.seconds).sum();
        let number: usize = stages.iter().map(|stage| stage.stages).sum();
        let _ = writeln!(out, "{:<20}  {number:>6}  {:>12.1}", "all", 1e6 * all);
    }
    out
}
