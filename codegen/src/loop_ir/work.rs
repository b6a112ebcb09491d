//! Sizes of a call: how many work items and counters a function has.
use super::{Expr, Func};
use crate::ir::interp;

impl Func {
    /// Number of work items for these values of the integer parameters; `None` where it is no `i32`.
    pub fn work_items(&self, ints: &[i32]) -> Option<i32> {
        size(&self.work, ints)
    }

    /// Number of counters; `None` where it is no `i32`.
    pub fn counters(&self, ints: &[i32]) -> Option<i32> {
        self.scratch.as_ref().map_or(Some(0), |scratch| size(&scratch.counters, ints))
    }
}

fn size(e: &Expr, ints: &[i32]) -> Option<i32> {
    match e {
        Expr::Int(v) => Some(*v),
        Expr::Var(v) => ints.get(v.0 as usize).copied(),
        Expr::Binary(op, a, b) => interp::integer(*op, size(a, ints)?, size(b, ints)?),
        _ => None,
    }
}
