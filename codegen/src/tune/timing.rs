//! What measuring something several times gave.
use serde::{Deserialize, Serialize};
use std::ops::AddAssign;

/// A time in microseconds, and how far measurements of it lie apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Timing {
    /// The median.
    pub us: f64,
    /// Between the first and the third quarter of the measurements.
    pub spread_us: f64,
}

impl Timing {
    /// Of some measurements in seconds; none of none.
    pub fn of(seconds: &[f64]) -> Option<Timing> {
        let mut sorted: Vec<f64> = seconds.iter().map(|s| s * 1e6).collect();
        sorted.sort_by(f64::total_cmp);
        let last = sorted.len().checked_sub(1)?;
        let at = |part: f64| {
            let place = part * last as f64;
            let (low, high) = (sorted[place.floor() as usize], sorted[place.ceil() as usize]);
            low + (high - low) * place.fract()
        };
        Some(Timing { us: at(0.5), spread_us: at(0.75) - at(0.25) })
    }

    /// That of doing it so often.
    pub fn times(self, n: f64) -> Timing {
        Timing { us: self.us * n, spread_us: self.spread_us * n }
    }
}

impl AddAssign for Timing {
    fn add_assign(&mut self, other: Timing) {
        self.us += other.us;
        self.spread_us += other.spread_us;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_and_the_middle_half() {
        assert_eq!(Timing::of(&[]), None);
        assert_eq!(Timing::of(&[4e-6]), Some(Timing { us: 4.0, spread_us: 0.0 }));
        let five = Timing::of(&[9.0, 1.0, 2.0, 4.0, 3.0].map(|us| us * 1e-6)).unwrap();
        assert!((five.us - 3.0).abs() < 1e-9 && (five.spread_us - 2.0).abs() < 1e-9, "{five:?}");
        let mut sum = five.times(2.0);
        sum += five;
        assert!((sum.us - 9.0).abs() < 1e-9);
    }
}
