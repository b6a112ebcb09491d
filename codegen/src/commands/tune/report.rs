//! What `kgen tune` has found: a table for people, or JSON, which docs/tune.md describes.
use kgen::schedule::{Schedule, file};
use kgen::tune::bench::Tally;
use kgen::tune::search::Found;
use kgen::tune::task::Task;
use kgen::tune::timing::Timing;
use serde_json::{Value, json};
use std::io::{Result, Write};
use std::path::Path;

/// Everything.
pub struct Report {
    device: String,
    compiler: String,
    read_rate: f64,
    journal: String,
    /// A row for each schedule that was tuned.
    pub rows: Vec<Row>,
    /// Shipped schedules with other bits, and what differs.
    pub wrong: Vec<(String, String)>,
}

/// A schedule of a kernel's list.
pub struct Row {
    /// The kernel, and the sizes that the schedule is for.
    pub name: String,
    /// The kernel.
    pub kernel: String,
    entry: usize,
    sizes: Vec<(Vec<i32>, f64)>,
    bytes: f64,
    /// The time of the shipped schedule.
    pub shipped: Timing,
    /// A faster one with its time, where there is one.
    pub best: Option<(Schedule, Timing)>,
    complete: bool,
    /// What became of the candidates.
    pub tally: Tally,
}

impl Row {
    /// Of a walk, before the best schedule and the shipped one were measured by turns.
    pub fn new(task: &Task, shipped: Timing, found: &Found, tally: &Tally) -> Row {
        Row {
            name: task.name(),
            kernel: task.kernel.name.clone(),
            entry: task.entry,
            sizes: task.sizes.clone(),
            bytes: task.bytes,
            shipped,
            best: None,
            complete: found.complete,
            tally: tally.clone(),
        }
    }

    fn tuned(&self) -> Timing {
        self.best.as_ref().map_or(self.shipped, |(_, time)| *time)
    }

    /// How many times as fast the best schedule is.
    pub fn gain(&self) -> f64 {
        self.shipped.us / self.tuned().us
    }

    fn rate(&self, time: Timing) -> f64 {
        self.bytes / time.us * 1e6
    }

    /// The row in a sentence.
    pub fn line(&self, read_rate: f64) -> String {
        let (tuned, tally) = (self.tuned(), &self.tally);
        format!(
            "{}: {:.2} us shipped, {:.2} us tuned ({:.2} times as fast), {:.0} GB/s, {:.1} % of the read rate; {} timed with \
             equal bits, {} without code, {} with other bits, {} known already{}",
            self.name,
            self.shipped.us,
            tuned.us,
            self.gain(),
            self.rate(tuned) / 1e9,
            100.0 * self.rate(tuned) / read_rate,
            tally.timed,
            tally.refused,
            tally.differing.len(),
            tally.remembered,
            if self.complete { "" } else { "; the budget ended the search" }
        )
    }

    fn json(&self, read_rate: f64) -> Value {
        let time = |time: Timing| {
            let rate = self.rate(time);
            json!({"us": time.us, "spread_us": time.spread_us, "gb_s": rate / 1e9, "percent": 100.0 * rate / read_rate})
        };
        let schedule = |schedule: &Schedule| file::compact(schedule).unwrap_or_default();
        let differing = self.tally.differing.iter().map(|(s, how)| json!({"schedule": schedule(s), "difference": how}));
        json!({
            "kernel": self.kernel,
            "entry": self.entry,
            "name": self.name,
            "sizes": self.sizes.iter().map(|(ints, times)| json!({"ints": ints, "times": times})).collect::<Vec<_>>(),
            "shipped": time(self.shipped),
            "tuned": self.best.as_ref().map(|(_, t)| time(*t)),
            "schedule": self.best.as_ref().map(|(s, _)| schedule(s)),
            "timed": self.tally.timed,
            "refused": self.tally.refused,
            "differing": differing.collect::<Vec<_>>(),
            "remembered": self.tally.remembered,
            "complete": self.complete,
        })
    }
}

impl Report {
    /// Without rows.
    pub fn new(device: &str, compiler: &str, read_rate: f64, journal: &Path) -> Report {
        let (device, compiler, journal) = (device.into(), compiler.into(), journal.display().to_string());
        Report { device, compiler, read_rate, journal, rows: Vec::new(), wrong: Vec::new() }
    }

    /// Writes it.
    pub fn write(&self, as_json: bool, out: &mut impl Write) -> Result<()> {
        if !as_json {
            return self.table(out);
        }
        let wrong = self.wrong.iter().map(|(name, how)| json!({"name": name, "difference": how}));
        let all = json!({
            "device": self.device,
            "compiler": self.compiler,
            "read_rate_gb_s": self.read_rate / 1e9,
            "journal": self.journal,
            "schedules": self.rows.iter().map(|row| row.json(self.read_rate)).collect::<Vec<_>>(),
            "wrong": wrong.collect::<Vec<_>>(),
        });
        serde_json::to_writer_pretty(&mut *out, &all)?;
        writeln!(out)
    }

    fn table(&self, out: &mut impl Write) -> Result<()> {
        writeln!(out, "{}, {}, reads {:.0} GB/s", self.device, self.compiler, self.read_rate / 1e9)?;
        writeln!(out, "microseconds a token, generated and of a prompt; verdicts in {}", self.journal)?;
        let width = self.rows.iter().map(|row| row.name.len()).max().unwrap_or(0).max(8);
        let head = ["shipped", "spread", "tuned", "spread", "gain", "GB/s", "% read", "timed", "no code", "differ"];
        write!(out, "\n{:width$}", "schedule")?;
        head.iter().try_for_each(|name| write!(out, " {name:>9}"))?;
        writeln!(out)?;
        for row in &self.rows {
            let (tuned, rate) = (row.tuned(), row.rate(row.tuned()));
            write!(out, "{:width$} {:>9.2} {:>9.2}", row.name, row.shipped.us, row.shipped.spread_us)?;
            write!(out, " {:>9.2} {:>9.2} {:>9.2}", tuned.us, tuned.spread_us, row.gain())?;
            write!(out, " {:>9.0} {:>9.1}", rate / 1e9, 100.0 * rate / self.read_rate)?;
            let Tally { timed, refused, differing, .. } = &row.tally;
            writeln!(out, " {timed:>9} {refused:>9} {:>9}", differing.len())?;
        }
        for row in &self.rows {
            if let Some((schedule, _)) = &row.best {
                writeln!(out, "\n{}\n  {}", row.name, file::compact(schedule).unwrap_or_default())?;
            }
            for (schedule, how) in &row.tally.differing {
                let schedule = file::compact(schedule).unwrap_or_default();
                writeln!(out, "\n{}: other bits, not timed: {how}\n  {schedule}", row.name)?;
            }
        }
        self.wrong.iter().try_for_each(|(name, how)| writeln!(out, "\n{name}: the shipped schedule: {how}"))
    }
}
