//! Exact reductions, which may be done in any order: integer sums and maxima.
use super::axis::give;
use super::build::{float, int};
use super::{Env, Lower, Lowered, Op, Val};
use crate::ir::{Axis, BinOp, Block, ReduceOp, Ty};
use crate::loop_ir::{self, Bind, Expr, Stmt};

/// Most elements of a lane-wise integer sum that are written out one after the other.
const WRITTEN_OUT: usize = 4;

impl Lower<'_> {
    pub(super) fn reduce(&mut self, op: ReduceOp, axis: &Axis, body: &Block, envs: &mut [Env]) -> Lowered<Vec<Val>> {
        let bounds = self.bounds(axis, envs)?;
        match op {
            ReduceOp::ISum => self.isum(axis, body, bounds, envs),
            ReduceOp::Max => self.max(axis, body, bounds, envs),
            ReduceOp::ArgMax => self.argmax(axis, body, bounds, envs),
        }
    }

    fn isum(&mut self, axis: &Axis, body: &Block, (lo, hi): (Op, Op), envs: &mut [Env]) -> Lowered<Vec<Val>> {
        let constant = match (&lo.e, &hi.e) {
            (Expr::Int(lo), Expr::Int(hi)) if hi > lo => Some((*lo, (*hi - *lo) as usize)),
            _ => None,
        };
        if let Some((lo, len)) = constant {
            if let Some(values) = self.matrix_dot(axis, body, (lo, len), envs)? {
                return Ok(values);
            }
            if let Some(values) = self.matrix_sum(axis, body, (lo, len), envs)? {
                return Ok(values);
            }
            if let Some(values) = self.dot(axis, body, lo, len, envs)? {
                return Ok(values);
            }
            if let Some(values) = self.dot_of_halves(axis, body, lo, len, envs)? {
                return Ok(values);
            }
            let strips = len / self.width();
            let whole = len.is_multiple_of(self.width()) && strips <= WRITTEN_OUT;
            if whole && !self.is_rolled(axis) && self.can_spread(axis, &body.stmts, Some(&body.value)) {
                return self.isum_lanes(axis, body, lo, strips, envs);
            }
            if len <= self.schedule.unroll && !self.is_rolled(axis) {
                return self.isum_unrolled(axis, body, lo, len, envs);
            }
        }
        self.isum_loop(axis, body, (lo, hi), envs)
    }

    /// Whether the schedule wants a reduction to stay a loop.
    pub(super) fn is_rolled(&self, axis: &Axis) -> bool {
        self.schedule.rolled.iter().any(|name| name == self.axis_name(axis))
    }

    fn isum_lanes(&mut self, axis: &Axis, body: &Block, lo: i32, strips: usize, envs: &mut [Env]) -> Lowered<Vec<Val>> {
        let mut sums: Vec<Op> = Vec::new();
        for strip in 0..strips {
            give(envs, axis.var, Val::Affine { base: int(lo + (strip * self.width()) as i32), stride: 1 });
            self.spread = true;
            let terms = self.block_ops(body, envs);
            self.spread = false;
            let terms = terms?;
            sums = match strip {
                0 => terms,
                _ => sums.into_iter().zip(terms).map(|(s, t)| self.binary(BinOp::Add, s, t)).collect(),
            };
        }
        // A term that is the same in all lanes is no partial sum.
        let width = int(self.width() as i32);
        Ok(sums
            .into_iter()
            .map(|s| match s.varying {
                true => Val::Partial(s),
                false => Val::Op(self.binary(BinOp::Mul, s, width.clone())),
            })
            .collect())
    }

    fn isum_unrolled(&mut self, axis: &Axis, body: &Block, lo: i32, len: usize, envs: &mut [Env]) -> Lowered<Vec<Val>> {
        let mut sums: Vec<Option<Val>> = vec![None; envs.len()];
        let indices: Vec<i32> = (lo..lo + len as i32).collect();
        for together in indices.chunks(self.schedule.jam.max(1)) {
            let mut all = Vec::new();
            for i in together {
                give(envs, axis.var, Val::Op(int(*i)));
                all.extend_from_slice(envs);
            }
            for (n, term) in self.block(body, &mut all)?.into_iter().enumerate() {
                let sum = &mut sums[n % envs.len()];
                *sum = Some(match sum.take() {
                    Some(sum) => self.add(sum, term),
                    None => term,
                });
            }
        }
        Ok(sums.into_iter().flatten().collect())
    }

    fn add(&mut self, a: Val, b: Val) -> Val {
        match (a, b) {
            (Val::Partial(a), Val::Partial(b)) => Val::Partial(self.binary(BinOp::Add, a, b)),
            (a, Val::Halves { scale, halves }) => {
                let a = self.op(a);
                Val::Op(self.add_halves(a, scale, halves))
            }
            (a, b) => {
                let (a, b) = (self.op(a), self.op(b));
                Val::Op(self.binary(BinOp::Add, a, b))
            }
        }
    }

    fn isum_loop(&mut self, axis: &Axis, body: &Block, (lo, hi): (Op, Op), envs: &mut [Env]) -> Lowered<Vec<Val>> {
        let name = self.kernel.vars[axis.var.0 as usize].name.clone();
        let var = self.var(&name, loop_ir::Ty::I32, false);
        let index = self.read(var);
        let (mut stmts, terms) = self.inside(|l| {
            give(envs, axis.var, Val::Op(index));
            let terms = l.block(body, envs)?;
            let number = |term| if let Val::Partial(_) = term { term } else { Val::Op(l.op(term)) };
            Ok(terms.into_iter().map(number).collect::<Vec<_>>())
        })?;
        // The terms tell what the running sums are, so these are declared after the body is known.
        let mut sums = Vec::new();
        for term in terms {
            let (term, partial) = match term {
                Val::Partial(op) => (op, true),
                Val::Op(op) => (op, false),
                _ => return self.illegal("a term of an integer sum is no number"),
            };
            let sum = self.register("sum", int(0), term.varying);
            let value = Expr::Binary(BinOp::Add, Box::new(Expr::Var(sum)), Box::new(term.e));
            stmts.push(Stmt::Set { var: sum, value });
            let sum = self.read(sum);
            sums.push(if partial { Val::Partial(sum) } else { Val::Op(sum) });
        }
        let bind = if self.is_rolled(axis) { Bind::Rolled } else { Bind::Serial };
        self.push(Stmt::For { bind, var, lo: lo.e, hi: hi.e, step: 1, body: stmts });
        Ok(sums)
    }

    fn max(&mut self, axis: &Axis, body: &Block, (lo, hi): (Op, Op), envs: &mut [Env]) -> Lowered<Vec<Val>> {
        let lowest = float(f32::NEG_INFINITY);
        let lanes = self.can_spread(axis, &body.stmts, Some(&body.value));
        let start = |l: &mut Self, n: usize, varying: bool| -> Vec<loop_ir::Var> {
            (0..n).map(|_| l.register("most", lowest.clone(), varying)).collect()
        };
        let single = start(self, envs.len(), self.spread);
        let spread = if lanes { start(self, envs.len(), true) } else { Vec::new() };
        let step = |l: &mut Self, envs: &mut [Env]| {
            let values = l.block_ops(body, envs)?;
            let into = if lanes && l.spread { &spread } else { &single };
            for (var, value) in into.iter().zip(values) {
                let current = l.read(*var);
                let most = l.binary(BinOp::Max, current, value);
                l.set(*var, most);
            }
            Ok(())
        };
        if !lanes {
            self.serial(axis.var, (lo, hi), envs, step)?;
            return Ok(single.into_iter().map(|v| Val::Op(self.read(v))).collect());
        }
        let overruns = match (&lo.e, axis.hi.ty) {
            (Expr::Int(0), Ty::Int { lo: least, hi }) if least < hi || hi % self.width() as i64 > 0 => {
                self.can_overrun(axis, body, (hi as usize).next_multiple_of(self.width()), envs)
            }
            _ => false,
        };
        if overruns {
            // All lanes go on to the end of the last register; what is behind the last element counts as the least.
            self.spread(axis.var, (lo, hi.clone()), envs, true, |l, envs| {
                let Val::Affine { base, stride } = envs[0][&axis.var].clone() else {
                    unreachable!("lanes have an index")
                };
                let values = l.block_ops(body, envs)?;
                let index = l.op(Val::Affine { base, stride });
                let there = l.binary(BinOp::Lt, index, hi.clone());
                for (var, value) in spread.iter().zip(values) {
                    let value = l.select(there.clone(), value, lowest.clone());
                    let current = l.read(*var);
                    let most = l.binary(BinOp::Max, current, value);
                    l.set(*var, most);
                }
                Ok(())
            })?;
        } else {
            self.spread(axis.var, (lo, hi), envs, false, step)?;
        }
        let mut out = Vec::new();
        for (one, many) in single.into_iter().zip(spread) {
            let (one, many) = (self.read(one), self.read(many));
            let all = self.lane_tree(BinOp::Max, many);
            out.push(Val::Op(self.binary(BinOp::Max, one, all)));
        }
        Ok(out)
    }

    /// Combines all lanes by an xor tree, the widest distance first.
    pub(super) fn lane_tree(&mut self, op: BinOp, mut value: Op) -> Op {
        let mut distance = self.width() / 2;
        while distance > 0 {
            let shuffle = Expr::Shuffle { mask: distance as u32, value: Box::new(value.e.clone()) };
            let other = self.emit(shuffle, value.ty, true);
            value = self.binary(op, value, other);
            distance /= 2;
        }
        let ty = value.ty;
        self.emit(Expr::First(Box::new(value.e)), ty, false)
    }
}
