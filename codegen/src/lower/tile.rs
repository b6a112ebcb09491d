//! Tile maps: which elements of a buffer a work item touches, by the kernel's own accesses.
use super::build::arithmetic;
use crate::instructions::matrix::{COLUMNS, ROWS};
use crate::ir::{Axis, BinOp, Expr, Kernel, Kind, Var};
use crate::loop_ir;
use crate::schedule::Schedule;

/// Item `n` touches none but the elements `n * len..(n + 1) * len` of a buffer, as far as it has these, counted row-major, and the
/// items of a launch cover it. Where workers share the parts of a merge, `n` is the iteration whose parts they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Tile {
    /// What `len` is a product of: a constant, at least 1,
    pub constant: i32,
    /// and dims of the kernel, by their numbers.
    pub dims: Vec<u32>,
}

impl Tile {
    /// `len` as an expression, with the dims from the parameter `first` on.
    pub fn len(&self, first: u32) -> loop_ir::Expr {
        let dim = |d: &u32| loop_ir::Expr::Var(loop_ir::Var(first + d));
        self.dims.iter().map(dim).fold(loop_ir::Expr::Int(self.constant), |a, b| arithmetic(BinOp::Mul, a, b))
    }
}

/// The tile map of a buffer, or why there is none.
///
/// The axes that items are numbered by have to be the buffer's first indices, in this order and over the same extents. Then what
/// the other indices are does not matter: they are proved to lie inside of theirs. Of the last of these axes an item may do
/// several iterations, where that comes out even in every row, or where there is one row. What the schedule allows to be no more
/// than 1 counts neither as an axis nor as an index.
pub(super) fn tile(kernel: &Kernel, schedule: &Schedule, buffer: usize) -> Result<Tile, String> {
    let (axes, _) = kernel.nest();
    let name = |axis: &Axis| &kernel.vars[axis.var.0 as usize].name;
    let single = |extent: &Expr| match extent.kind {
        Kind::Int(n) => n == 1,
        Kind::Var(v) => schedule.most.get(&kernel.vars[v.0 as usize].name).is_some_and(|most| *most <= 1),
        _ => false,
    };
    let split = schedule.split.iter().filter_map(|s| axes.iter().copied().find(|axis| name(axis) == s));
    let split: Vec<&Axis> = split.filter(|axis| !single(&axis.hi)).collect();
    let crate::ir::Buffer { name: called, shape, .. } = &kernel.buffers[buffer];
    let places: Vec<usize> = (0..shape.len()).filter(|i| !single(&shape[*i])).collect();
    let along = |axis: &Axis, extent: &Expr| matches!(axis.lo.kind, Kind::Int(0)) && same(&axis.hi, extent);
    let mut in_order =
        split.len() <= places.len() && split.iter().zip(&places).all(|(axis, place)| along(axis, &shape[*place]));
    kernel.places(&mut |place| {
        let first = || split.iter().zip(&places);
        in_order &= place.buffer != buffer || first().all(|(axis, i)| is(&place.index[*i], axis.var));
    });
    if !in_order {
        let order = schedule.split.join(", ");
        return Err(format!("the work items, numbered by {order}, do not touch `{called}` in this order"));
    }
    let mut tile = Tile { constant: 1, dims: Vec::new() };
    for (i, axis) in split.iter().enumerate() {
        let several = several(schedule, name(axis));
        let even = matches!(axis.hi.kind, Kind::Int(n) if n % several as i64 == 0);
        if several > 1 && (i + 1 < split.len() || i > 0 && !even) {
            return Err(format!("a work item does several iterations of `{}`", name(axis)));
        }
        tile.constant = several;
    }
    for extent in places[split.len()..].iter().map(|i| &shape[*i]) {
        match extent.kind {
            Kind::Int(n @ 1..=0x7fff_ffff) if tile.constant.checked_mul(n as i32).is_some() => {
                tile.constant *= n as i32
            }
            Kind::Var(v) if kernel.dims.contains(&v) => tile.dims.push(v.0),
            _ => return Err(format!("an extent of `{called}` is neither a dim nor a number that fits")),
        }
    }
    Ok(tile)
}

/// How many iterations of an axis an item does, if all are there.
fn several(schedule: &Schedule, axis: &String) -> i32 {
    let lanes = match &schedule.columns {
        Some(columns) if columns == axis => COLUMNS,
        Some(_) if schedule.lanes.as_ref() == Some(axis) => ROWS,
        None if schedule.lanes.as_ref() == Some(axis) => schedule.width,
        _ => 1,
    };
    let members = schedule.members.get(axis).copied().unwrap_or(1);
    (schedule.tile.get(axis).copied().unwrap_or(1).max(1) * lanes * members) as i32
}

fn is(e: &Expr, var: Var) -> bool {
    matches!(e.kind, Kind::Var(v) if v == var)
}

fn same(a: &Expr, b: &Expr) -> bool {
    match (&a.kind, &b.kind) {
        (Kind::Int(a), Kind::Int(b)) => a == b,
        (Kind::Var(a), Kind::Var(b)) => a == b,
        _ => false,
    }
}
