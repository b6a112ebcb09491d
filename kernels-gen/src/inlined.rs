//! A kernel with others in it.
use crate::Kernel;

/// A kernel on CUDA that computes what another kernel reads where that reads it, instead of by launches before. It gives what
/// the launches give, one after the other, but for what they hand on, which it does not write.
///
/// It is for calls that all its kernels accept.
#[derive(Debug)]
pub struct Inlined {
    /// How it is called. It has no code for CPUs.
    pub kernel: Kernel,
    /// Names of the kernels in it: the one that is done last, then those whose results are handed on.
    pub kernels: &'static [&'static str],
    /// Whether it is for these integers.
    pub fits: fn(&[i32]) -> bool,
    /// What is handed on. A reader comes before the writer in `kernels`.
    pub edges: &'static [Edge],
    /// Where each integer comes from,
    pub ints: &'static [Sources],
    /// each float,
    pub floats: &'static [Sources],
    /// and each buffer.
    pub buffers: &'static [Sources],
}

/// What one of the kernels hands on to another: which of them and the number of its buffer, on both ends.
#[derive(Clone, Copy, Debug)]
pub struct Edge {
    /// Who reads it.
    pub reader: (usize, usize),
    /// Who would write it.
    pub writer: (usize, usize),
}

/// Where a parameter comes from: which of the kernels, and the number of the integer, float or buffer there. A call is
/// possible where all that are named are the same.
pub type Sources = &'static [(usize, usize)];

impl Inlined {
    /// The parameters that `sources` name, given those of the kernels by themselves; `None` where some are not the same.
    pub fn pick<T: Copy + PartialEq>(sources: &[Sources], given: &[&[T]]) -> Option<Vec<T>> {
        let one = |from: &Sources| {
            let mut values = from.iter().map(|(kernel, number)| given[*kernel][*number]);
            let first = values.next()?;
            values.all(|value| value == first).then_some(first)
        };
        sources.iter().map(one).collect()
    }
}
