//! Sizes of a call: how many work items and counters a function has, and how its buffers lie in memory.
use super::{Expr, Func};
use crate::ir::{self, interp};

/// What a function needs at given sizes, without the function.
#[derive(Clone, Debug)]
pub struct Sizes {
    work: Expr,
    counters: Option<Expr>,
}

impl Sizes {
    /// Number of work items for these values of the integer parameters; `None` where it is no `i32`.
    pub fn work_items(&self, ints: &[i32]) -> Option<i32> {
        size(&self.work, ints)
    }

    /// Number of counters; `None` where it is no `i32`.
    pub fn counters(&self, ints: &[i32]) -> Option<i32> {
        self.counters.as_ref().map_or(Some(0), |counters| size(counters, ints))
    }
}

impl Func {
    /// What it needs.
    pub fn sizes(&self) -> Sizes {
        Sizes { work: self.work.clone(), counters: self.scratch.as_ref().map(|scratch| scratch.counters.clone()) }
    }

    /// Number of work items for these values of the integer parameters; `None` where it is no `i32`.
    pub fn work_items(&self, ints: &[i32]) -> Option<i32> {
        size(&self.work, ints)
    }

    /// Number of counters; `None` where it is no `i32`.
    pub fn counters(&self, ints: &[i32]) -> Option<i32> {
        self.scratch.as_ref().map_or(Some(0), |scratch| size(&scratch.counters, ints))
    }

    /// Calls `run` with buffers as the function wants them in memory, given in row-major order.
    pub fn with_layouts<R>(&self, ints: &[i32], buffers: &mut [Vec<u8>], run: impl FnOnce(&mut [Vec<u8>]) -> R) -> R {
        let mut plain = Vec::new();
        for (i, bytes) in buffers.iter_mut().enumerate() {
            if let Some(packed) = self.packed(i, ints, bytes) {
                plain.push((i, std::mem::replace(bytes, packed)));
            }
        }
        let result = run(buffers);
        plain.into_iter().for_each(|(i, bytes)| buffers[i] = bytes);
        result
    }

    /// A buffer as the function wants it in memory, from its bytes in row-major order; `None` where that is how it wants it.
    pub fn packed(&self, buffer: usize, ints: &[i32], bytes: &[u8]) -> Option<Vec<u8>> {
        let layout = self.layouts.get(buffer)?.as_ref()?;
        let extents: Vec<i32> = self.buffers[buffer].shape.iter().map(|e| extent(e, ints)).collect::<Option<_>>()?;
        let [.., rows, blocks] = extents[..] else { return None };
        let (rows, blocks) = (usize::try_from(rows).ok()?, usize::try_from(blocks).ok()?);
        Some(layout.packed(bytes, rows, blocks))
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

/// An extent of a buffer: dims are the first of the integer parameters.
fn extent(e: &ir::Expr, ints: &[i32]) -> Option<i32> {
    match &e.kind {
        ir::Kind::Int(v) => i32::try_from(*v).ok(),
        ir::Kind::Var(v) => ints.get(v.0 as usize).copied(),
        ir::Kind::Binary(op, a, b) => interp::integer(*op, extent(a, ints)?, extent(b, ints)?),
        _ => None,
    }
}
