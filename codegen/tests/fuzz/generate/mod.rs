//! Random kernels as source text. They are well typed and in bounds by construction, so that the checker accepts them all.
mod float;
mod inputs;
mod int;
mod kernel;
mod reduce;

pub use inputs::{Numbers, fill};

use crate::tape::Tape;

/// Most elements that an index of unknown extent runs over: it is below `min(N, 40)`.
const MOST: i64 = 40;

/// A kernel's text, and what its inputs hold.
pub struct Program {
    pub text: String,
    /// By the name of the buffer.
    pub inputs: Vec<(&'static str, Vec<Numbers>)>,
}

/// The kernel of this name that a tape gives.
pub fn program(name: &str, tape: &mut Tape) -> Program {
    kernel::program(name, tape)
}

/// An integer expression, and the range that the checker certainly proves.
#[derive(Clone)]
struct Int {
    text: String,
    lo: i64,
    hi: i64,
}

impl Int {
    fn new(text: impl Into<String>, lo: i64, hi: i64) -> Int {
        Int { text: text.into(), lo, hi }
    }

    fn fits(&self) -> bool {
        self.lo >= i32::MIN as i64 && self.hi <= i32::MAX as i64
    }
}

/// The innermost index.
#[derive(Clone)]
struct Index {
    name: String,
    /// One more than the largest value.
    below: i64,
    /// Whether it is also below `N`.
    in_row: bool,
}

/// An array value.
#[derive(Clone)]
struct Array {
    name: String,
    /// How many elements it has; `None` for `min(N, 40)`.
    len: Option<i64>,
}

/// Writes expressions of what is in scope.
struct Writer<'a> {
    tape: &'a mut Tape,
    /// The indices before the last of inputs and outputs: `[t]`, or `[t][r]`.
    rows: &'static str,
    floats: Vec<String>,
    ints: Vec<Int>,
    bools: Vec<String>,
    arrays: Vec<Array>,
    index: Option<Index>,
    /// How many more loops may be nested here.
    loops: usize,
    /// How many more operations may be written.
    fuel: usize,
    names: usize,
    /// Sides of choices that this is in: nothing has a name there.
    sides: usize,
}

impl Writer<'_> {
    fn name(&mut self, prefix: &str) -> String {
        self.names += 1;
        format!("{prefix}{}", self.names)
    }

    /// Whether there is nothing left for an operation; takes from it otherwise.
    fn spent(&mut self) -> bool {
        let spent = self.fuel == 0;
        self.fuel = self.fuel.saturating_sub(1);
        spent
    }

    /// A side of a choice.
    fn side<T>(&mut self, f: impl FnOnce(&mut Self) -> T) -> T {
        self.sides += 1;
        let result = f(self);
        self.sides -= 1;
        result
    }

    /// An index of a dimension with 64 elements, or with 128 where `more` elements may follow.
    fn at(&mut self, extent: i64) -> String {
        match self.index.clone() {
            Some(index) if index.below <= extent => match self.tape.below(10) {
                8 if index.below + 3 <= extent => format!("{} + 3", index.name),
                9 => format!("{} - {}", index.below - 1, index.name),
                _ => index.name,
            },
            _ => self.tape.below(extent.min(8) as usize).to_string(),
        }
    }

    /// What `f` writes with a new index over one of the ranges; the range and the index come with it.
    fn looped<T>(&mut self, f: impl FnOnce(&mut Self, &str) -> T) -> (String, String, T) {
        let name = self.name("i");
        let (range, below, in_row) = self.range();
        self.within(Index { name: name.clone(), below, in_row }, |w| (range, name.clone(), f(w, &name)))
    }

    /// What `f` writes with this index; names that it makes end with it.
    fn within<T>(&mut self, index: Index, f: impl FnOnce(&mut Self) -> T) -> T {
        let (floats, ints) = (self.floats.len(), self.ints.len());
        let (bools, arrays) = (self.bools.len(), self.arrays.len());
        let outer = self.index.replace(index);
        self.loops -= 1;
        let result = f(self);
        self.loops += 1;
        self.index = outer;
        self.floats.truncate(floats);
        self.ints.truncate(ints);
        self.bools.truncate(bools);
        self.arrays.truncate(arrays);
        result
    }

    /// A range, one more than its largest index, and whether that is below `N`.
    fn range(&mut self) -> (String, i64, bool) {
        const ROW: [(&str, i64); 4] =
            [("0..min(N, 40)", MOST), ("2..min(N, 40)", MOST), ("min(N, 5)..min(N, 40)", MOST), ("0..min(N, 3)", 3)];
        const FIXED: [(&str, i64); 7] =
            [("0..16", 16), ("0..5", 5), ("0..32", 32), ("0..64", 64), ("3..35", 35), ("0..48", 48), ("0..24", 24)];
        match self.tape.below(11) {
            k @ 0..4 => (ROW[k].0.into(), ROW[k].1, true),
            k => (FIXED[k - 4].0.into(), FIXED[k - 4].1, false),
        }
    }
}
