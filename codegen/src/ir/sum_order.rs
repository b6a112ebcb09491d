//! The order of a float sum. Rounding makes it part of the result, so a kernel declares it (`sum(0..n, lanes(32), ..)`): a
//! schedule only places it.
//!
//! A sum has running values, its parts, which start at +0.0. Each element, in ascending order, is taken up by one of them; at
//! the end they are merged.

/// A declared order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// One running value, ascending.
    Chain,
    /// Element `i` (from 0) belongs to lane `i mod n`; lanes merge by an xor tree: n/2, .., 2, 1. n is a power of two.
    Lanes(usize),
    /// n contiguous segments of ceil(len/n) elements, merged ((s0 + s1) + s2) + ...
    Segments(usize),
}

impl Shape {
    /// Number of parts.
    pub fn parts(self) -> usize {
        match self {
            Shape::Chain => 1,
            Shape::Lanes(n) | Shape::Segments(n) => n,
        }
    }

    /// The part that takes up element `i` of `len`.
    pub fn part(self, i: usize, len: usize) -> usize {
        match self {
            Shape::Chain => 0,
            Shape::Lanes(n) => i % n,
            Shape::Segments(n) => i / len.div_ceil(n),
        }
    }

    /// The sum of all parts.
    pub fn merge(self, mut parts: Vec<f32>) -> f32 {
        match self {
            Shape::Chain => parts[0],
            Shape::Lanes(n) => {
                let mut half = n / 2;
                while half > 0 {
                    parts = (0..n).map(|l| parts[l] + parts[l ^ half]).collect();
                    half /= 2;
                }
                parts[0]
            }
            Shape::Segments(_) => parts[1..].iter().fold(parts[0], |sum, s| sum + s),
        }
    }
}
