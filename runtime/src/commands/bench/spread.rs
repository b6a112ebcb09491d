//! What several measurements of one thing gave.

/// One number or more, ascending.
pub struct Spread(Vec<f64>);

impl Spread {
    /// Of these, of which there is at least one.
    pub fn of(numbers: impl Iterator<Item = f64>) -> Spread {
        let mut numbers: Vec<f64> = numbers.collect();
        numbers.sort_by(f64::total_cmp);
        Spread(numbers)
    }

    /// The middle one; of two the mean.
    pub fn median(&self) -> f64 {
        let n = self.0.len();
        (self.0[(n - 1) / 2] + self.0[n / 2]) / 2.0
    }

    /// The smallest.
    pub fn min(&self) -> f64 {
        self.0[0]
    }

    /// The largest.
    pub fn max(&self) -> f64 {
        self.0[self.0.len() - 1]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_and_extremes() {
        let spread = Spread::of([4.0, 1.0, 9.0, 2.0].into_iter());
        assert_eq!((spread.min(), spread.median(), spread.max()), (1.0, 3.0, 9.0));
        assert_eq!(Spread::of([5.0].into_iter()).median(), 5.0);
    }
}
