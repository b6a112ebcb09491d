//! What a kernel asks for at given sizes, counted from the algorithm IR: bytes of its buffers, products of integers, operations
//! on floats. It is what every implementation does at least, whatever a schedule makes of it.
//!
//! Loops are multiplied, not run, except where how often an inner one runs depends on the index. Of a choice by data, the side
//! with fewer operations counts, and what either side reads.
use super::footprint::{Footprint, Range, volume};
use crate::audit::Operation;
use crate::data;
use crate::ir::sum_order::Shape;
use crate::ir::{Axis, BinOp, Block, Expr, Kernel, Kind, Place, Stmt, Ty, UnOp, Var, interp};
use std::collections::{HashMap, HashSet};

/// What a kernel asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counts {
    /// Of each buffer.
    pub buffers: Vec<Touched>,
    /// Operations.
    pub operations: Operations,
}

/// How much of a buffer is read or written at least once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Touched {
    /// Of the buffer.
    pub name: String,
    /// Whether it is written; else it is read.
    pub written: bool,
    /// Bytes of the elements that are touched, whole blocks of a format. Indices that are data count as all different.
    pub bytes: u64,
    /// Bytes of all of it.
    pub all_bytes: u64,
}

/// Numbers of operations.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Operations {
    /// Products of two integers from memory which both fit into 8 bits: what `dp4a` does four at a time.
    pub byte_products: u64,
    /// The other products of two integers from memory.
    pub products: u64,
    floats: [u64; Operation::ALL.len()],
}

impl Operations {
    /// Operations on floats of a kind. Comparisons, `min`, `max` and signs are not counted.
    pub fn float(&self, operation: Operation) -> u64 {
        self.floats[operation as usize]
    }

    /// Kinds of operation on floats that there are, with their numbers.
    pub fn floats(&self) -> impl Iterator<Item = (Operation, u64)> {
        Operation::ALL.into_iter().zip(self.floats).filter(|(_, n)| *n > 0)
    }

    /// All of them.
    pub fn all(&self) -> u64 {
        self.each().fold(0, u64::saturating_add)
    }

    fn each(&self) -> impl Iterator<Item = u64> {
        [self.byte_products, self.products].into_iter().chain(self.floats)
    }

    fn zip(self, other: Operations, f: impl Fn(u64, u64) -> u64) -> Operations {
        Operations {
            byte_products: f(self.byte_products, other.byte_products),
            products: f(self.products, other.products),
            floats: std::array::from_fn(|i| f(self.floats[i], other.floats[i])),
        }
    }

    fn add(&mut self, other: Operations) {
        *self = self.zip(other, u64::saturating_add);
    }

    fn times(self, n: u64) -> Operations {
        self.zip(self, |count, _| count.saturating_mul(n))
    }

    fn fewer(self, other: Operations) -> Operations {
        self.zip(other, u64::min)
    }

    fn note(&mut self, operation: Operation, n: u64) {
        self.floats[operation as usize] = self.floats[operation as usize].saturating_add(n);
    }
}

/// Expressions that are looked at, at most: some seconds.
const MOST_STEPS: u64 = 1 << 27;

/// Counts for these dims and integer scalars, in the order of the kernel; they are in range.
pub fn count(kernel: &Kernel, ints: &[i32]) -> Result<Counts, String> {
    let is_int = |v: &&Var| matches!(kernel.vars[v.0 as usize].ty, Ty::Int { .. });
    let params = kernel.dims.iter().chain(&kernel.scalars).filter(is_int);
    let ranges = params.zip(ints).map(|(var, n)| (*var, (i64::from(*n), i64::from(*n)))).collect();
    let extents = kernel.buffers.iter().map(|b| b.shape.iter().map(|e| interp::size(kernel, e, ints).map(i64::from)));
    let extents = extents.map(Iterator::collect).collect::<Result<Vec<Vec<i64>>, String>>()?;
    let touched = vec![Footprint::default(); kernel.buffers.len()];
    let mut counter = Counter { extents, ranges, loaded: HashSet::new(), touched, steps: 0 };
    let operations = counter.stmts(&kernel.body).map_err(|stop| match stop {
        Stop::Open(what) => format!("`{}`: {what} depends on data", kernel.name),
        Stop::Steps => format!("`{}`: these sizes take too long to count", kernel.name),
    })?;
    let mut buffers = Vec::new();
    for (i, (buffer, touched)) in kernel.buffers.iter().zip(&counter.touched).enumerate() {
        let all_bytes = data::bytes(kernel, i, ints)?;
        let bytes = touched.elements().saturating_mul(buffer.elem_bytes as u64).min(all_bytes);
        buffers.push(Touched { name: buffer.name.clone(), written: buffer.written, bytes, all_bytes });
    }
    let counts = buffers.iter().map(|b| b.all_bytes).chain(operations.each());
    if counts.max() == Some(u64::MAX) {
        return Err(format!("`{}`: these sizes are too large to count", kernel.name));
    }
    Ok(Counts { buffers, operations })
}

/// Why a part cannot be counted as it is asked for.
enum Stop {
    /// Something has more than one value: an axis around it has to be gone through.
    Open(String),
    /// It would take too long.
    Steps,
}

struct Counter {
    /// Of the buffers.
    extents: Vec<Vec<i64>>,
    /// What integers may be.
    ranges: HashMap<Var, Range>,
    /// Variables whose value comes from memory.
    loaded: HashSet<Var>,
    touched: Vec<Footprint>,
    steps: u64,
}

type Counted = Result<Operations, Stop>;

impl Counter {
    fn stmts(&mut self, stmts: &[Stmt]) -> Counted {
        let mut all = Operations::default();
        for stmt in stmts {
            all.add(match stmt {
                Stmt::Let { var, value } => self.bind(*var, value)?,
                Stmt::Par { axis, body } => self.each(axis, &mut |c| c.stmts(body))?.0,
                Stmt::Store { place, value } => {
                    let count = self.expr(value)?;
                    self.place(place)?;
                    count
                }
                Stmt::Merge { axis, part, state, next } => {
                    let mut count = Operations::default();
                    for (var, first) in state {
                        count.add(self.bind(*var, first)?);
                        // Only its type says what it is after some parts.
                        self.ranges.remove(var);
                        self.loaded.insert(*var);
                    }
                    count.add(
                        self.each(axis, &mut |c| {
                            let mut count = c.stmts(part)?;
                            count.add(c.stmts(&next.stmts)?);
                            next.values.iter().try_for_each(|value| c.expr(value).map(|more| count.add(more)))?;
                            Ok(count)
                        })?
                        .0,
                    );
                    count
                }
            });
        }
        Ok(all)
    }

    fn bind(&mut self, var: Var, value: &Expr) -> Counted {
        let count = self.expr(value)?;
        if self.is_loaded(value) {
            self.loaded.insert(var);
        }
        if let Ty::Int { .. } = value.ty {
            self.ranges.insert(var, self.range(value));
        }
        Ok(count)
    }

    /// What all iterations do, and their number: one for all where they are alike, else one after the other.
    fn each(&mut self, axis: &Axis, body: &mut dyn FnMut(&mut Self) -> Counted) -> Result<(Operations, u64), Stop> {
        let (lo, hi) = (self.exact(&axis.lo)?, self.exact(&axis.hi)?);
        if hi <= lo {
            return Ok((Operations::default(), 0));
        }
        let n = (hi - lo) as u64;
        let before = self.touched.clone();
        self.ranges.insert(axis.var, (lo, hi - 1));
        match body(self) {
            Ok(count) => return Ok((count.times(n), n)),
            Err(Stop::Open(_)) if n > 1 => self.touched = before,
            Err(stop) => return Err(stop),
        }
        let mut all = Operations::default();
        for i in lo..hi {
            self.ranges.insert(axis.var, (i, i));
            all.add(body(self)?);
        }
        Ok((all, n))
    }

    fn step(&mut self, n: usize) -> Result<(), Stop> {
        self.steps += n as u64;
        if self.steps > MOST_STEPS { Err(Stop::Steps) } else { Ok(()) }
    }

    fn block(&mut self, block: &Block) -> Counted {
        let mut count = self.stmts(&block.stmts)?;
        count.add(self.expr(&block.value)?);
        Ok(count)
    }

    fn expr(&mut self, e: &Expr) -> Counted {
        self.step(1)?;
        let mut count = match &e.kind {
            Kind::Int(_) | Kind::Float(_) | Kind::Bool(_) | Kind::Var(_) => Operations::default(),
            Kind::Load(place) => {
                self.place(place)?;
                Operations::default()
            }
            Kind::At { index: a, .. } | Kind::Unary(_, a) => self.expr(a)?,
            Kind::Binary(_, a, b) => self.exprs(&[a, b])?,
            Kind::Fma(a, b, c) => self.exprs(&[a, b, c])?,
            Kind::Select(c, a, b) => {
                let mut count = self.expr(c)?;
                let (a, b) = (self.expr(a)?, self.expr(b)?);
                count.add(a.fewer(b));
                count
            }
            Kind::Reduce { axis, body, .. } | Kind::Map { axis, body } => self.each(axis, &mut |c| c.block(body))?.0,
            Kind::Sum { shape, axis, acc, step } => {
                self.loaded.insert(*acc);
                let mut count = self.each(axis, &mut |c| c.block(step))?.0;
                if *shape != Shape::Chain {
                    count.note(Operation::Add, shape.parts() as u64 - 1);
                }
                return Ok(count);
            }
        };
        if let Some(operation) = Operation::of(e) {
            count.note(operation, 1);
        }
        if let Kind::Binary(BinOp::Mul, a, b) = &e.kind
            && matches!(e.ty, Ty::Int { .. })
            && self.is_loaded(a)
            && self.is_loaded(b)
        {
            let bytes = is_byte(a.ty) && is_byte(b.ty);
            *(if bytes { &mut count.byte_products } else { &mut count.products }) += 1;
        }
        Ok(count)
    }

    fn exprs(&mut self, list: &[&Expr]) -> Counted {
        let mut all = Operations::default();
        list.iter().try_for_each(|e| self.expr(e).map(|count| all.add(count)))?;
        Ok(all)
    }

    /// Notes the elements that an access touches. How it finds them is no operation that counts.
    fn place(&mut self, place: &Place) -> Result<(), Stop> {
        place.index.iter().chain(&place.at).try_for_each(|index| self.expr(index).map(drop))?;
        let mut ranges = Vec::new();
        for (index, extent) in place.index.iter().zip(self.extents[place.buffer].clone()) {
            let (lo, hi) = self.index(index)?;
            ranges.push((lo.max(0), hi.min(extent - 1)));
        }
        self.touched[place.buffer].add(ranges);
        self.step(self.touched[place.buffer].parts())
    }

    /// The values of an index; a number of different ones where it comes from memory.
    fn index(&self, index: &Expr) -> Result<Range, Stop> {
        match &index.kind {
            Kind::Load(from) => {
                let ranges = from.index.iter().map(|e| self.index(e)).collect::<Result<Vec<Range>, Stop>>()?;
                Ok((0, i64::try_from(volume(&ranges)).unwrap_or(i64::MAX) - 1))
            }
            _ if wraps(index) && !is_one(self.range(index)) => Err(Stop::Open("an index".into())),
            _ => Ok(self.range(index)),
        }
    }

    /// The value of an integer that has only one.
    fn exact(&self, e: &Expr) -> Result<i64, Stop> {
        let range = self.range(e);
        if is_one(range) { Ok(range.0) } else { Err(Stop::Open("how often a loop runs".into())) }
    }

    /// What an integer may be.
    fn range(&self, e: &Expr) -> Range {
        let Ty::Int { lo, hi } = e.ty else { return (i64::MIN, i64::MAX) };
        let found = match &e.kind {
            Kind::Int(v) => (*v, *v),
            Kind::Var(v) => self.ranges.get(v).copied().unwrap_or((lo, hi)),
            Kind::Unary(UnOp::Neg, a) => {
                let (lo, hi) = self.range(a);
                (-hi, -lo)
            }
            Kind::Binary(op, a, b) => binary(*op, self.range(a), self.range(b)).unwrap_or((lo, hi)),
            _ => (lo, hi),
        };
        (found.0.max(lo), found.1.min(hi))
    }

    /// Whether a value comes from memory.
    fn is_loaded(&self, e: &Expr) -> bool {
        match &e.kind {
            Kind::Int(_) | Kind::Float(_) | Kind::Bool(_) => false,
            Kind::Var(v) | Kind::At { array: v, .. } => self.loaded.contains(v),
            Kind::Load(_) => true,
            Kind::Unary(_, a) => self.is_loaded(a),
            Kind::Binary(_, a, b) => self.is_loaded(a) || self.is_loaded(b),
            Kind::Fma(a, b, c) | Kind::Select(a, b, c) => [a, b, c].iter().any(|e| self.is_loaded(e)),
            Kind::Reduce { body, .. } | Kind::Map { body, .. } | Kind::Sum { step: body, .. } => {
                self.is_loaded(&body.value)
            }
        }
    }
}

fn is_one((lo, hi): Range) -> bool {
    lo == hi
}

fn is_byte(ty: Ty) -> bool {
    matches!(ty, Ty::Int { lo, hi } if lo >= -128 && hi <= 127 || lo >= 0 && hi <= 255)
}

/// Whether an index jumps back while an axis goes on.
fn wraps(e: &Expr) -> bool {
    match &e.kind {
        Kind::Binary(op, a, b) => *op == BinOp::Rem || wraps(a) || wraps(b),
        Kind::Unary(_, a) => wraps(a),
        _ => false,
    }
}

/// The least and the largest result; none where only the result's type says.
fn binary(op: BinOp, (a, b): Range, (c, d): Range) -> Option<Range> {
    let corners = |f: fn(i64, i64) -> Option<i64>| {
        let all = [f(a, c)?, f(a, d)?, f(b, c)?, f(b, d)?];
        Some((all.into_iter().min()?, all.into_iter().max()?))
    };
    match op {
        BinOp::Add => corners(i64::checked_add),
        BinOp::Sub => corners(i64::checked_sub),
        BinOp::Mul => corners(i64::checked_mul),
        BinOp::Div => corners(i64::checked_div),
        BinOp::Min => corners(|x, y| Some(x.min(y))),
        BinOp::Max => corners(|x, y| Some(x.max(y))),
        BinOp::Rem if is_one((c, d)) && a.checked_div(c)? == b.checked_div(c)? => Some((a % c, b % c)),
        BinOp::Shl | BinOp::Shr if is_one((a, b)) && is_one((c, d)) => {
            let value = interp::integer(op, i32::try_from(a).ok()?, i32::try_from(c).ok()?)?;
            Some((value.into(), value.into()))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests;
