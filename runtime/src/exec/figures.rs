//! Figures of a device that a measured speed is compared with.

/// How fast a device reads its memory.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ReadRate {
    /// The best that was measured.
    pub bytes_a_second: f64,
    /// What was the fastest.
    pub way: &'static str,
}

impl ReadRate {
    /// The faster of two.
    pub(super) fn or_faster(self, other: ReadRate) -> ReadRate {
        if other.bytes_a_second > self.bytes_a_second { other } else { self }
    }
}

/// Memory that a model takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Footprint {
    /// How much.
    pub bytes: u64,
    /// What was counted.
    pub what: &'static str,
}
