//! Sums of dots that are products of matrices, each with a factor: they are added up where they stand.
use super::axis::give;
use super::build::int;
use super::{Env, Lower, Lowered, Val};
use crate::instructions::multiply_add::{INSTRUCTION, MOST};
use crate::ir::{Axis, BinOp, Block, Kind, ReduceOp, Stmt, Ty};
use crate::loop_ir;

/// What is added up in each iteration of a sum.
enum Term<'b> {
    /// A small factor and another number.
    Product(&'b crate::ir::Expr, &'b crate::ir::Expr),
    /// Another such sum.
    Sum(&'b Axis, &'b Block, (i32, usize)),
}

impl Lower<'_> {
    /// `isum(lo..lo + len, |i| a(i) * dot(i))`, or a sum of such sums; `None` where it is no such thing.
    pub(super) fn matrix_sum(
        &mut self,
        axis: &Axis,
        body: &Block,
        (lo, len): (i32, usize),
        envs: &mut [Env],
    ) -> Lowered<Option<Vec<Val>>> {
        let given = self.matrix.rows.is_some() && self.matrix.columns.is_some();
        if !given || !self.is_written_out(axis, len) || self.term(body).is_none() || !has_dot(body) {
            return Ok(None);
        }
        if let Some(sums) = self.split_sum(axis, body, (lo, len), envs)? {
            return Ok(Some(sums));
        }
        let sums: Vec<loop_ir::Var> = envs.iter().map(|_| self.register("sum", int(0), true)).collect();
        self.add_terms(axis, body, (lo, len), &sums, envs)?;
        Ok(Some(sums.into_iter().map(|sum| Val::Op(self.read(sum))).collect()))
    }

    fn is_written_out(&self, axis: &Axis, len: usize) -> bool {
        len <= self.schedule.unroll && !self.is_rolled(axis)
    }

    fn term<'b>(&self, body: &'b Block) -> Option<Term<'b>> {
        let within = |e: &crate::ir::Expr, most: i64| matches!(e.ty, Ty::Int { lo, hi } if lo >= -most && hi <= most);
        match &body.value.kind {
            Kind::Binary(BinOp::Mul, a, b) => {
                let mut orders = [(a, b), (b, a)].into_iter();
                let (a, b) = orders.find(|(a, b)| within(a, MOST[0]) && within(b, MOST[1]))?;
                Some(Term::Product(a, b))
            }
            Kind::Reduce { op: ReduceOp::ISum, axis, body } => match (&axis.lo.kind, &axis.hi.kind) {
                (Kind::Int(lo), Kind::Int(hi)) if hi > lo => {
                    let len = (hi - lo) as usize;
                    let inner = self.is_written_out(axis, len) && self.term(body).is_some() && has_dot(body);
                    inner.then_some(Term::Sum(axis, body, (*lo as i32, len)))
                }
                _ => None,
            },
            _ => None,
        }
    }

    fn add_terms(
        &mut self,
        axis: &Axis,
        body: &Block,
        (lo, len): (i32, usize),
        sums: &[loop_ir::Var],
        envs: &mut [Env],
    ) -> Lowered<()> {
        let term = self.term(body).expect("asked before");
        for i in lo..lo + len as i32 {
            give(envs, axis.var, Val::Op(int(i)));
            self.stmts(&body.stmts, envs)?;
            match term {
                Term::Sum(inner, body, bounds) => self.add_terms(inner, body, bounds, sums, envs)?,
                Term::Product(a, b) => {
                    let (a, b) = (self.ops(a, envs)?, self.ops(b, envs)?);
                    for (sum, (a, b)) in sums.iter().zip(a.into_iter().zip(b)) {
                        self.push(loop_ir::Stmt::Accumulate {
                            intrinsic: INSTRUCTION.name,
                            registers: vec![*sum],
                            args: vec![a.e, b.e],
                            span: body.value.span,
                        });
                    }
                }
            }
        }
        Ok(())
    }
}

/// Whether an integer sum is computed in a block.
fn has_dot(body: &Block) -> bool {
    let mut found = false;
    let mut note = |e: &crate::ir::Expr| found |= contains_sum(e);
    note(&body.value);
    for s in &body.stmts {
        match s {
            Stmt::Let { value, .. } => note(value),
            _ => return false,
        }
    }
    found
}

fn contains_sum(e: &crate::ir::Expr) -> bool {
    match &e.kind {
        Kind::Reduce { op: ReduceOp::ISum, .. } => true,
        Kind::Binary(_, a, b) => contains_sum(a) || contains_sum(b),
        _ => false,
    }
}
