//! Which elements of a buffer are touched: a union of boxes, which grow together where they can.

/// First and last index.
pub type Range = (i64, i64);

/// Elements of one buffer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Footprint {
    boxes: Vec<Vec<Range>>,
}

impl Footprint {
    /// Adds the elements whose indices lie in these ranges.
    pub fn add(&mut self, mut new: Vec<Range>) {
        while let Some((at, union)) = self.boxes.iter().enumerate().find_map(|(at, old)| Some((at, union(old, &new)?)))
        {
            if union == self.boxes[at] {
                return;
            }
            self.boxes.swap_remove(at);
            new = union;
        }
        self.boxes.push(new);
    }

    /// Number of boxes.
    pub fn parts(&self) -> usize {
        self.boxes.len()
    }

    /// Number of elements. Boxes that overlap and are no box together count twice.
    pub fn elements(&self) -> u64 {
        self.boxes.iter().fold(0, |sum: u64, ranges| sum.saturating_add(volume(ranges)))
    }
}

/// Number of elements of a box.
pub fn volume(ranges: &[Range]) -> u64 {
    ranges.iter().fold(1, |product: u64, (lo, hi)| product.saturating_mul((hi - lo + 1).max(0) as u64))
}

/// Two boxes as one, where they are one: they differ in one range at most, without a gap, or one is inside of the other.
fn union(a: &[Range], b: &[Range]) -> Option<Vec<Range>> {
    let inside = |a: &[Range], b: &[Range]| a.iter().zip(b).all(|(a, b)| b.0 <= a.0 && a.1 <= b.1);
    if inside(b, a) {
        return Some(a.to_vec());
    }
    if inside(a, b) {
        return Some(b.to_vec());
    }
    let mut different = a.iter().zip(b).filter(|(a, b)| a != b);
    let (x, y) = different.next()?;
    let gap = x.1.saturating_add(1) < y.0 || y.1.saturating_add(1) < x.0;
    (different.next().is_none() && !gap).then(|| a.iter().zip(b).map(|(a, b)| (a.0.min(b.0), a.1.max(b.1))).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boxes_grow_together() {
        let mut touched = Footprint::default();
        for chunk in [0, 2, 1] {
            touched.add(vec![(chunk, chunk), (0, 63)]);
        }
        assert_eq!((touched.parts(), touched.elements()), (1, 192));
        touched.add(vec![(3, 3), (0, 4)]);
        touched.add(vec![(3, 3), (2, 9)]);
        touched.add(vec![(1, 2), (5, 7)]);
        assert_eq!((touched.parts(), touched.elements()), (2, 202));
        touched.add(vec![(5, 5), (0, 63)]);
        assert_eq!((touched.parts(), touched.elements()), (3, 266), "there is a gap");
        let mut scalar = Footprint::default();
        scalar.add(vec![]);
        scalar.add(vec![]);
        assert_eq!(scalar.elements(), 1);
    }
}
