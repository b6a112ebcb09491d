//! How many work items a function has for given parameters.
use super::{Expr, Func};
use crate::ir::interp;

impl Func {
    /// The extent of the `Cpu` loop, given the integer parameters; `None` where it is no `i32`.
    pub fn work_items(&self, ints: &[i32]) -> Option<i32> {
        value(&self.work, ints)
    }
}

fn value(e: &Expr, ints: &[i32]) -> Option<i32> {
    match e {
        Expr::Int(v) => Some(*v),
        Expr::Var(v) => ints.get(v.0 as usize).copied(),
        Expr::Binary(op, a, b) => interp::integer(*op, value(a, ints)?, value(b, ints)?),
        _ => None,
    }
}
