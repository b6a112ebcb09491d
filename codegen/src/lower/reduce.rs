//! Reductions: exact ones in any order, float sums in the shape they declare.
use super::build::{float, int};
use super::{Env, Lower, Lowered, Op, Val};
use crate::ir::{Axis, BinOp, Block, ReduceOp, Shape, Var};
use crate::loop_ir::{self, Bind, Expr, Stmt};

/// Most elements of a lane-wise integer sum that are written out one after the other.
const WRITTEN_OUT: usize = 4;

impl Lower<'_> {
    /// The bounds of an axis, which must be the same for all iterations that are done together.
    pub(super) fn bounds(&mut self, axis: &Axis, envs: &mut [Env]) -> Lowered<(Op, Op)> {
        let mut all = Vec::new();
        for env in envs {
            all.push((self.uniform(&axis.lo, env)?, self.uniform(&axis.hi, env)?));
        }
        let same = |a: &(Op, Op), b: &(Op, Op)| format!("{a:?}") == format!("{b:?}");
        if all.windows(2).any(|w| !same(&w[0], &w[1])) {
            let name = &self.kernel.vars[axis.var.0 as usize].name;
            return self.illegal(format!("iterations of a tile have different bounds for `{name}`"));
        }
        Ok(all.pop().expect("at least one iteration"))
    }

    /// A serial loop over an axis; the iterations of the tile share it.
    pub(super) fn serial(
        &mut self,
        axis: Var,
        (lo, hi): (Op, Op),
        envs: &mut [Env],
        f: impl FnOnce(&mut Self, &mut [Env]) -> Lowered<()>,
    ) -> Lowered<()> {
        let name = self.kernel.vars[axis.0 as usize].name.clone();
        self.each(Bind::Serial, &name, (lo, hi, 1), |l, index| {
            give(envs, axis, Val::Op(index));
            f(l, envs)
        })
    }

    /// Lanes over an axis: whole registers first, then the rest one by one. With `overrun` the last register may run over.
    pub(super) fn spread(
        &mut self,
        axis: Var,
        (lo, hi): (Op, Op),
        envs: &mut [Env],
        overrun: bool,
        mut f: impl FnMut(&mut Self, &mut [Env]) -> Lowered<()>,
    ) -> Lowered<()> {
        let width = self.width() as i32;
        let len = self.binary(BinOp::Sub, hi.clone(), lo.clone());
        let whole = matches!(len.e, Expr::Int(n) if n % width == 0);
        let end = if whole || overrun { hi.clone() } else { self.whole_registers(&lo, len.clone()) };
        let mut lanes = |l: &mut Self, base: Op| {
            give(envs, axis, Val::Affine { base, stride: 1 });
            l.spread = true;
            let result = f(l, envs);
            l.spread = false;
            result
        };
        match len.e {
            Expr::Int(n) if n == width => lanes(self, lo)?,
            _ => {
                let name = self.kernel.vars[axis.0 as usize].name.clone();
                self.each(Bind::Serial, &name, (lo, end.clone(), width), lanes)?;
            }
        }
        if !whole && !overrun {
            self.serial(axis, (end, hi), envs, f)?;
        }
        Ok(())
    }

    /// `lo` plus the largest multiple of the width that is at most `len` (`lo` where `len` is negative).
    fn whole_registers(&mut self, lo: &Op, len: Op) -> Op {
        let width = int(self.width() as i32);
        let len = self.binary(BinOp::Max, len, int(0));
        let count = self.binary(BinOp::Div, len, width.clone());
        let count = self.binary(BinOp::Mul, count, width);
        self.binary(BinOp::Add, lo.clone(), count)
    }

    pub(super) fn block(&mut self, b: &Block, envs: &mut [Env]) -> Lowered<Vec<Val>> {
        self.stmts(&b.stmts, envs)?;
        self.evals(&b.value, envs)
    }

    pub(super) fn block_ops(&mut self, b: &Block, envs: &mut [Env]) -> Lowered<Vec<Op>> {
        Ok(self.block(b, envs)?.into_iter().map(|v| self.op(v)).collect())
    }

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
            if let Some(values) = self.dot(axis, body, lo, len, envs)? {
                return Ok(values);
            }
            let strips = len / self.width();
            let whole = len.is_multiple_of(self.width()) && strips <= WRITTEN_OUT;
            if whole && self.can_spread(axis, &body.stmts, Some(&body.value)) {
                return self.isum_lanes(axis, body, lo, strips, envs);
            }
            if len <= self.schedule.unroll {
                return self.isum_unrolled(axis, body, lo, len, envs);
            }
        }
        self.isum_loop(axis, body, (lo, hi), envs)
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
        let mut sums: Vec<Val> = Vec::new();
        for i in 0..len {
            give(envs, axis.var, Val::Op(int(lo + i as i32)));
            let terms = self.block(body, envs)?;
            sums = match i {
                0 => terms,
                _ => sums.into_iter().zip(terms).map(|(s, t)| self.add(s, t)).collect(),
            };
        }
        Ok(sums)
    }

    fn add(&mut self, a: Val, b: Val) -> Val {
        match (a, b) {
            (Val::Partial(a), Val::Partial(b)) => Val::Partial(self.binary(BinOp::Add, a, b)),
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
        self.push(Stmt::For { bind: Bind::Serial, var, lo: lo.e, hi: hi.e, step: 1, body: stmts });
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
        self.spread(axis.var, (lo, hi), envs, false, step)?;
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

    pub(super) fn sum(
        &mut self,
        shape: Shape,
        axis: &Axis,
        acc: Var,
        step: &Block,
        envs: &mut [Env],
    ) -> Lowered<Vec<Val>> {
        let bounds = self.bounds(axis, envs)?;
        match shape {
            Shape::Chain => self.chain(axis, acc, step, bounds, envs),
            Shape::Segments(n) => self.segments(n as i32, axis, acc, step, bounds, envs),
            Shape::Lanes(n) if self.can_spread(axis, &step.stmts, Some(&step.value)) => {
                if n < self.width() {
                    return self.illegal(format!("a sum over {n} lanes does not fill {} lanes", self.width()));
                }
                self.lanes(n, axis, acc, step, bounds, envs)
            }
            Shape::Lanes(n) => self.lanes_in_memory(n as i32, axis, acc, step, bounds, envs),
        }
    }

    /// Folds a range of the axis into registers, in ascending order.
    fn fold(
        &mut self,
        into: &[loop_ir::Var],
        axis: &Axis,
        acc: Var,
        step: &Block,
        bounds: (Op, Op),
        envs: &mut [Env],
    ) -> Lowered<()> {
        self.serial(axis.var, bounds, envs, |l, envs| {
            for (env, var) in envs.iter_mut().zip(into) {
                env.insert(acc, Val::Op(l.read(*var)));
            }
            let values = l.block_ops(step, envs)?;
            into.iter().zip(values).for_each(|(var, value)| l.set(*var, value));
            Ok(())
        })
    }

    fn chain(&mut self, axis: &Axis, acc: Var, step: &Block, bounds: (Op, Op), envs: &mut [Env]) -> Lowered<Vec<Val>> {
        let spread = self.spread;
        let into: Vec<_> = envs.iter().map(|_| self.register("acc", float(0.0), spread)).collect();
        self.fold(&into, axis, acc, step, bounds, envs)?;
        Ok(into.into_iter().map(|v| Val::Op(self.read(v))).collect())
    }

    fn segments(
        &mut self,
        n: i32,
        axis: &Axis,
        acc: Var,
        step: &Block,
        (lo, hi): (Op, Op),
        envs: &mut [Env],
    ) -> Lowered<Vec<Val>> {
        let len = self.binary(BinOp::Sub, hi.clone(), lo.clone());
        let len = self.binary(BinOp::Max, len, int(0));
        let up = self.binary(BinOp::Add, len, int(n - 1));
        let size = self.binary(BinOp::Div, up, int(n));
        let totals: Vec<_> = envs.iter().map(|_| self.register("total", float(0.0), false)).collect();
        self.each(Bind::Serial, "segment", (int(0), int(n), 1), |l, s| {
            let offset = l.binary(BinOp::Mul, s.clone(), size.clone());
            let from = l.binary(BinOp::Add, lo, offset);
            let to = l.binary(BinOp::Add, from.clone(), size);
            let to = l.binary(BinOp::Min, to, hi);
            let into: Vec<_> = envs.iter().map(|_| l.register("acc", float(0.0), false)).collect();
            l.fold(&into, axis, acc, step, (from, to), envs)?;
            let first = l.binary(BinOp::Eq, s, int(0));
            for (total, segment) in totals.iter().zip(into) {
                let (so_far, segment) = (l.read(*total), l.read(segment));
                let sum = l.binary(BinOp::Add, so_far, segment.clone());
                let sum = l.select(first.clone(), segment, sum);
                l.set(*total, sum);
            }
            Ok(())
        })?;
        Ok(totals.into_iter().map(|v| Val::Op(self.read(v))).collect())
    }
}

/// Sets a variable for all iterations.
pub(super) fn give(envs: &mut [Env], var: Var, value: Val) {
    for env in envs {
        env.insert(var, value.clone());
    }
}
