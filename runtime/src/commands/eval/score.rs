//! What predictions are worth: perplexity, and how far two sets of predictions are apart.
use crate::math;
use serde::Serialize;
use std::fmt;

/// The perplexity of predictions: e to the mean of -log(probability of the token that came).
#[derive(Debug, Default, Serialize)]
pub(super) struct Perplexity {
    /// Predictions that count.
    pub(super) predictions: usize,
    /// The perplexity.
    perplexity: f64,
    /// Its standard error.
    perplexity_error: f64,
    #[serde(skip)]
    sum: f64,
    #[serde(skip)]
    squares: f64,
}

impl Perplexity {
    /// Counts the logits of some predictions, and the tokens that came.
    pub(super) fn add(&mut self, rows: &[f32], targets: &[u32]) {
        for (row, &target) in rows.chunks_exact(rows.len() / targets.len()).zip(targets) {
            let loss = log_sum(row) - f64::from(row[target as usize]);
            self.predictions += 1;
            self.sum += loss;
            self.squares += loss * loss;
        }
    }

    /// With the figures that follow from all predictions.
    pub(super) fn finished(mut self) -> Self {
        let n = self.predictions as f64;
        let mean = self.sum / n;
        let variance = (self.squares / n - mean * mean).max(0.0) / (n - 1.0).max(1.0);
        self.perplexity = math::exp(mean);
        self.perplexity_error = variance.sqrt() * self.perplexity;
        self
    }
}

impl fmt::Display for Perplexity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.4} +/- {:.4}", self.perplexity, self.perplexity_error)
    }
}

/// How far predictions are from others, which count as right.
#[derive(Debug, Default, Serialize)]
pub(super) struct Distance {
    /// The mean of the KL divergences, in nats.
    kl_mean: f64,
    /// The middle one.
    kl_median: f64,
    /// What 1 of 100 exceed.
    kl_99: f64,
    /// The largest.
    kl_max: f64,
    /// The part of the predictions with the same best token, in percent.
    same_best_percent: f64,
    /// The middle one of the squared errors of the logits, by the squares of the right ones.
    nmse_median: f64,
    #[serde(skip)]
    divergences: Vec<f64>,
    #[serde(skip)]
    errors: Vec<f64>,
    #[serde(skip)]
    same: usize,
}

impl Distance {
    /// Counts `count` predictions.
    pub(super) fn add(&mut self, rows: &[f32], right: &[f32], count: usize) {
        let width = rows.len() / count;
        for (row, right) in rows.chunks_exact(width).zip(right.chunks_exact(width)) {
            let (own, theirs) = (log_sum(row), log_sum(right));
            let (mut divergence, mut error, mut size) = (0.0, 0.0, 0.0);
            for (&a, &b) in row.iter().zip(right) {
                let (a, b) = (f64::from(a), f64::from(b));
                divergence += math::exp(b - theirs) * ((b - theirs) - (a - own));
                error += (a - b) * (a - b);
                size += b * b;
            }
            self.divergences.push(divergence);
            self.errors.push(error / size);
            self.same += usize::from(best(row) == best(right));
        }
    }

    /// With the figures that follow from all predictions.
    pub(super) fn finished(mut self) -> Self {
        self.divergences.sort_by(f64::total_cmp);
        self.errors.sort_by(f64::total_cmp);
        let n = self.divergences.len();
        self.kl_mean = self.divergences.iter().sum::<f64>() / n as f64;
        self.kl_median = self.divergences[n / 2];
        self.kl_99 = self.divergences[n * 99 / 100];
        self.kl_max = self.divergences[n - 1];
        self.nmse_median = self.errors[n / 2];
        self.same_best_percent = 100.0 * self.same as f64 / n as f64;
        self
    }

    /// For people.
    pub(super) fn text(&self) -> String {
        let Distance { kl_mean, kl_median, kl_99, kl_max, same_best_percent, nmse_median, .. } = self;
        format!(
            "KL divergence    mean {kl_mean:.3e}, median {kl_median:.3e}, 99 % below {kl_99:.3e}, at most {kl_max:.3e}\n\
             same best token  {same_best_percent:.2} %\nNMSE of logits   median {nmse_median:.3e}\n"
        )
    }
}

/// The logarithm of the sum of the powers of e.
fn log_sum(row: &[f32]) -> f64 {
    let top = f64::from(row.iter().fold(f32::NEG_INFINITY, |top, x| top.max(*x)));
    top + math::ln(row.iter().map(|x| math::exp(f64::from(*x) - top)).sum())
}

/// The first of the largest.
fn best(row: &[f32]) -> usize {
    (1..row.len()).fold(0, |best, i| if row[i] > row[best] { i } else { best })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Logits whose probabilities are these.
    fn logits(p: &[f64]) -> Vec<f32> {
        p.iter().map(|p| (math::ln(*p) + 3.0) as f32).collect()
    }

    #[test]
    fn perplexity_is_the_inverse_of_the_geometric_mean() {
        let rows = [logits(&[0.5, 0.25, 0.25]), logits(&[0.125, 0.5, 0.375])].concat();
        let mut found = Perplexity::default();
        found.add(&rows, &[0, 0]);
        let found = found.finished();
        // 1 / sqrt(1/2 * 1/8); the logarithms are 1 and 3 times ln 2 and spread by ln 2 around their mean.
        assert!((found.perplexity - 4.0).abs() < 1e-6, "{found}");
        assert!((found.perplexity_error - 4.0 * 2f64.ln()).abs() < 1e-6, "{found}");
    }

    #[test]
    fn divergence_is_from_what_counts_as_right() {
        let (own, right) = (logits(&[0.5, 0.25, 0.25]), logits(&[0.25, 0.5, 0.25]));
        let mut found = Distance::default();
        found.add(&[own.clone(), right.clone()].concat(), &[right.clone(), right].concat(), 2);
        let found = found.finished();
        // 1/4 ln(1/2) + 1/2 ln(2).
        assert!((found.kl_max - 0.25 * 2f64.ln()).abs() < 1e-6 && found.kl_mean * 2.0 == found.kl_max, "{found:?}");
        assert_eq!(found.same_best_percent, 50.0);
    }
}
