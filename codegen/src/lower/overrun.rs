//! Whether iterations beyond the last one could be computed, too, so that the last register need not be taken apart.
use super::{Env, Lower};
use crate::ir::{Axis, Block, Expr, Kernel, Kind, Stmt, Ty, Var};

impl Lower<'_> {
    /// Whether iterations up to `cap` could be computed where only some are asked for: all they read is there.
    pub(super) fn can_overrun(&self, axis: &Axis, body: &Block, cap: usize, envs: &[Env]) -> bool {
        let whole = |array: &Var| envs.iter().all(|env| env.get(array).is_some_and(|a| self.has_whole_registers(a)));
        let reader = Reader { kernel: self.kernel, axis: axis.var, cap, whole: &whole };
        cap.is_multiple_of(self.width()) && reader.block(body)
    }
}

/// Whether everything that is read at `axis` is there for all of `0..cap`: the axis is used only as a whole index, into a
/// constant extent or an array of at least `cap`.
struct Reader<'a> {
    kernel: &'a Kernel,
    axis: Var,
    cap: usize,
    /// Whether an array can be read up to the end of a register.
    whole: &'a dyn Fn(&Var) -> bool,
}

impl Reader<'_> {
    fn block(&self, body: &Block) -> bool {
        let lets = body.stmts.iter().all(|s| matches!(s, Stmt::Let { value, .. } if self.expr(value)));
        lets && self.expr(&body.value)
    }

    fn is_axis(&self, e: &Expr) -> bool {
        matches!(e.kind, Kind::Var(v) if v == self.axis)
    }

    fn expr(&self, e: &Expr) -> bool {
        let all = |es: &[&Expr]| es.iter().all(|e| self.expr(e));
        match &e.kind {
            Kind::Int(_) | Kind::Float(_) | Kind::Bool(_) | Kind::Var(_) => true,
            Kind::Load(p) => {
                let shape = &self.kernel.buffers[p.buffer].shape;
                let indices = p.index.iter().zip(shape).all(|(i, extent)| match extent.kind {
                    Kind::Int(n) if self.is_axis(i) => n >= self.cap as i64,
                    _ => !mentions(i, self.axis),
                });
                indices && p.at.iter().all(|at| !mentions(at, self.axis))
            }
            Kind::At { array, index } if self.is_axis(index) => {
                matches!(self.kernel.vars[array.0 as usize].ty, Ty::Array { cap } if cap >= self.cap)
                    && (self.whole)(array)
            }
            Kind::At { index, .. } => !mentions(index, self.axis),
            Kind::Unary(_, a) => all(&[a]),
            Kind::Binary(_, a, b) => all(&[a, b]),
            Kind::Fma(a, b, c) | Kind::Select(a, b, c) => all(&[a, b, c]),
            Kind::Sum { axis: inner, step, .. } => all(&[&inner.lo, &inner.hi]) && self.block(step),
            _ => false,
        }
    }
}

/// Whether an index expression depends on `var`; anything but plain arithmetic counts.
pub(super) fn mentions(e: &Expr, var: Var) -> bool {
    match &e.kind {
        Kind::Int(_) | Kind::Float(_) | Kind::Bool(_) => false,
        Kind::Var(v) => *v == var,
        Kind::Unary(_, a) => mentions(a, var),
        Kind::Binary(_, a, b) => mentions(a, var) || mentions(b, var),
        _ => true,
    }
}
