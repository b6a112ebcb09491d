//! Progress bars on standard error: without colours, and only where it is a terminal.
use crate::exec::Loading;
use indicatif::{ProgressBar, ProgressStyle};
use std::cell::OnceCell;

/// Fewer bytes are loaded before anybody has read a bar.
const LEAST: usize = 256 << 20;

/// A bar that counts bytes, with what is done in front; it is cleared when it is dropped.
pub fn bytes_bar(doing: &'static str, total: u64) -> ProgressBar {
    let template = "{prefix} {bar:40} {bytes} of {total_bytes}, {binary_bytes_per_sec}, {eta} left";
    // The template is a constant; the default bar would do as well.
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(total).with_style(style).with_prefix(doing)
}

/// Makes an executor, with a bar where it has much to load.
pub fn while_loading<T>(load: impl FnOnce(Loading) -> T) -> T {
    let bar = OnceCell::new();
    load(&|bytes, total| {
        let new = || if total < LEAST { ProgressBar::hidden() } else { bytes_bar("loading", total as u64) };
        bar.get_or_init(new).inc(bytes as u64);
    })
}
