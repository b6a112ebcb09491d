//! Progress of `kgen tune` on standard error, where it is a terminal.
use indicatif::{ProgressBar, ProgressStyle};
use kgen::tune::bench::Progress;
use std::time::Duration;

/// A line that changes; it is cleared when it is dropped.
pub struct Bar {
    bar: ProgressBar,
    read_rate: f64,
}

impl Bar {
    /// For a device that reads so many bytes a second.
    pub fn new(read_rate: f64) -> Bar {
        // The template is a constant; the default spinner would do as well.
        let style =
            ProgressStyle::with_template("{spinner} {msg}").unwrap_or_else(|_| ProgressStyle::default_spinner());
        let bar = ProgressBar::new_spinner().with_style(style);
        bar.enable_steady_tick(Duration::from_millis(200));
        Bar { bar, read_rate }
    }

    /// Shows how far a task is.
    pub fn show(&self, progress: &Progress) {
        let Progress { task, tally, best_us } = progress;
        let rate = task.rate(*best_us);
        self.bar.set_message(format!(
            "{}: {} timed, {} without code, {} with other bits; best {best_us:.2} us, {:.0} GB/s, {:.1} % of the read rate",
            task.name(),
            tally.timed,
            tally.refused,
            tally.differing.len(),
            rate / 1e9,
            100.0 * rate / self.read_rate
        ));
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
