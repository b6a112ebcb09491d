//! Whether lanes can do an axis: each lane one iteration, neighbours reading and writing neighbours.
use super::{Lower, value};
use crate::ir::sum_order::Shape;
use crate::ir::{Axis, BinOp, Block, Buffer, Expr, Kind, Place, ReduceOp, Stmt, Ty, UnOp, Var};
use crate::layout::Layout;
use std::collections::HashMap;

/// How a value depends on the lane.
#[derive(Clone, Copy, PartialEq)]
enum Dep {
    Uniform,
    /// An integer that grows by this from lane to lane.
    Affine(i64),
    Varying,
}

struct Walk<'a> {
    deps: HashMap<Var, Dep>,
    buffers: &'a [Buffer],
    layouts: &'a [Option<Layout>],
    /// Whether lanes may read elements of an array that are no neighbours.
    strided: bool,
}

impl Lower<'_> {
    /// Whether lanes may be given iterations here: they have none yet.
    pub(super) fn lanes_are_free(&self) -> bool {
        self.width() > 1 && !self.spread && self.lane.is_some() && self.schedule.lanes.is_none()
    }

    /// Whether the iterations of `axis` over `stmts` and then `value` can be spread over lanes.
    pub(super) fn can_spread(&self, axis: &Axis, stmts: &[Stmt], value: Option<&Expr>) -> bool {
        if !self.lanes_are_free() {
            return false;
        }
        let mut walk = Walk {
            deps: HashMap::new(),
            buffers: &self.kernel.buffers,
            layouts: &self.layouts,
            strided: self.schedule.strided,
        };
        walk.deps.insert(axis.var, Dep::Affine(1));
        walk.stmts(stmts).is_some() && value.is_none_or(|v| walk.expr(v).is_some())
    }
}

impl Walk<'_> {
    fn stmts(&mut self, stmts: &[Stmt]) -> Option<()> {
        for s in stmts {
            match s {
                Stmt::Let { var, value } => {
                    let dep = self.expr(value)?;
                    self.deps.insert(*var, dep);
                }
                Stmt::Store { place, value } => {
                    self.expr(value)?;
                    (self.place(place)? == Dep::Varying).then_some(())?;
                }
                Stmt::Par { .. } | Stmt::Merge { .. } => return None,
            }
        }
        Some(())
    }

    fn block(&mut self, b: &Block) -> Option<Dep> {
        self.stmts(&b.stmts)?;
        self.expr(&b.value)
    }

    fn expr(&mut self, e: &Expr) -> Option<Dep> {
        Some(match &e.kind {
            Kind::Int(_) | Kind::Float(_) | Kind::Bool(_) => Dep::Uniform,
            Kind::Var(v) => self.deps.get(v).copied().unwrap_or(Dep::Uniform),
            Kind::Load(p) => self.place(p)?,
            Kind::At { index, .. } => match self.expr(index)? {
                Dep::Uniform => Dep::Uniform,
                Dep::Affine(1) => Dep::Varying,
                Dep::Affine(_) if self.strided => Dep::Varying,
                _ => return None,
            },
            Kind::Unary(UnOp::Neg, a) => match self.expr(a)? {
                Dep::Affine(s) => Dep::Affine(-s),
                other => other,
            },
            Kind::Unary(_, a) => varying([self.expr(a)?]),
            Kind::Binary(op, a, b) => self.binary(*op, a, b)?,
            Kind::Fma(a, b, c) => varying([self.expr(a)?, self.expr(b)?, self.expr(c)?]),
            Kind::Select(c, a, b) => {
                let cond = self.expr(c)?;
                if value::can_fail(a) || value::can_fail(b) {
                    return None;
                }
                varying([cond, self.expr(a)?, self.expr(b)?])
            }
            Kind::Reduce { op, axis, body } => {
                if *op == ReduceOp::ArgMax {
                    return None;
                }
                self.bounds(axis)?;
                varying([self.block(body)?])
            }
            Kind::Sum { shape, axis, acc, step } => {
                if *shape != Shape::Chain {
                    return None;
                }
                self.bounds(axis)?;
                // The running value differs from lane to lane as soon as anything it is made of does.
                self.deps.insert(*acc, Dep::Uniform);
                let dep = varying([self.block(step)?]);
                self.deps.insert(*acc, dep);
                varying([self.block(step)?])
            }
            Kind::Map { .. } => return None,
        })
    }

    fn bounds(&mut self, axis: &Axis) -> Option<()> {
        (self.expr(&axis.lo)? == Dep::Uniform && self.expr(&axis.hi)? == Dep::Uniform).then_some(())
    }

    fn binary(&mut self, op: BinOp, a: &Expr, b: &Expr) -> Option<Dep> {
        let (x, y) = (self.expr(a)?, self.expr(b)?);
        let constant = |e: &Expr| if let Kind::Int(n) = e.kind { Some(n) } else { None };
        let stride = |d| if let Dep::Affine(s) = d { s } else { 0 };
        Some(match (op, x, y) {
            (_, Dep::Uniform, Dep::Uniform) => Dep::Uniform,
            (BinOp::Add, Dep::Uniform | Dep::Affine(_), Dep::Uniform | Dep::Affine(_)) => {
                Dep::Affine(stride(x) + stride(y))
            }
            (BinOp::Sub, Dep::Uniform | Dep::Affine(_), Dep::Uniform | Dep::Affine(_)) => {
                Dep::Affine(stride(x) - stride(y))
            }
            (BinOp::Mul, Dep::Affine(s), Dep::Uniform) if constant(b).is_some() => Dep::Affine(s * constant(b)?),
            (BinOp::Mul, Dep::Uniform, Dep::Affine(s)) if constant(a).is_some() => Dep::Affine(s * constant(a)?),
            (BinOp::Shl | BinOp::Shr, _, Dep::Uniform) => Dep::Varying,
            (BinOp::Shl | BinOp::Shr | BinOp::Rem, ..) => return None,
            (BinOp::Div, ..) if matches!(a.ty, Ty::Int { .. }) => return None,
            _ => Dep::Varying,
        })
    }

    /// `Varying` where lane after lane is the next number in memory.
    fn place(&mut self, p: &Place) -> Option<Dep> {
        let mut dep = Dep::Uniform;
        let buffer = &self.buffers[p.buffer];
        for (d, index) in p.index.iter().enumerate() {
            match self.expr(index)? {
                Dep::Uniform => {}
                Dep::Affine(1) if d + 1 == buffer.shape.len() && buffer.scalar.is_some() => dep = Dep::Varying,
                _ => return None,
            }
        }
        if let Some(at) = &p.at {
            match self.expr(at)? {
                Dep::Uniform => {}
                Dep::Affine(1) if self.layouts[p.buffer].is_none() => dep = Dep::Varying,
                _ => return None,
            }
        }
        Some(dep)
    }
}

fn varying<const N: usize>(deps: [Dep; N]) -> Dep {
    if deps.iter().all(|d| *d == Dep::Uniform) { Dep::Uniform } else { Dep::Varying }
}
