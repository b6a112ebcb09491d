//! Float sums: chains and segments. Their order is the kernel's own, see [`crate::ir::sum_order`]; here it is only placed.
use super::axis::give;
use super::build::{float, int};
use super::{Env, Lower, Lowered, Op, Val};
use crate::ir::sum_order::Shape;
use crate::ir::{Axis, BinOp, Block, Kind, Var, walk};
use crate::loop_ir::{self, Bind, Expr, Stmt};

/// How a running value takes up an element.
pub(super) struct Fold<'k> {
    pub axis: &'k Axis,
    /// The running value, as `step` sees it.
    pub acc: Var,
    pub step: &'k Block,
}

impl Fold<'_> {
    /// What is added to the running value, where that is all that is done with it and takes work to compute.
    fn term(&self) -> Option<Block> {
        let Kind::Binary(BinOp::Add, acc, term) = &self.step.value.kind else { return None };
        let block = Block { stmts: self.step.stmts.clone(), value: term.clone() };
        let alone = matches!(acc.kind, Kind::Var(v) if v == self.acc);
        // To read a number costs less than to hear of it from another member.
        if matches!(term.kind, Kind::Load(_)) && block.stmts.is_empty() {
            return None;
        }
        (alone && !walk::mentioned(&block.stmts, [&block.value]).contains(&self.acc)).then_some(block)
    }
}

impl Lower<'_> {
    pub(super) fn sum(&mut self, shape: Shape, fold: &Fold, envs: &mut [Env]) -> Lowered<Vec<Val>> {
        let bounds = self.bounds(fold.axis, envs)?;
        match shape {
            Shape::Chain => match (self.member(), fold.term()) {
                (Some(member), Some(term)) => self.team_terms(member, fold, &term, bounds, envs),
                _ => self.chain(fold, bounds, envs),
            },
            Shape::Segments(n) => self.segments(n as i32, fold, bounds, envs),
            Shape::Lanes(n) if self.can_spread(fold.axis, &fold.step.stmts, Some(&fold.step.value)) => {
                if n < self.width() {
                    return self.illegal(format!("a sum over {n} lanes does not fill {} lanes", self.width()));
                }
                self.lanes(n, fold, bounds, envs)
            }
            Shape::Lanes(n) => self.lanes_in_memory(n as i32, fold, bounds, envs),
        }
    }

    /// Folds a range of the axis into registers, in ascending order.
    fn fold(&mut self, into: &[loop_ir::Var], fold: &Fold, bounds: (Op, Op), envs: &mut [Env]) -> Lowered<()> {
        self.terms(fold.axis, bounds, envs, |l, envs, _| l.step(into, fold, envs))
    }

    /// An element into registers.
    fn step(&mut self, into: &[loop_ir::Var], fold: &Fold, envs: &mut [Env]) -> Lowered<()> {
        for turn in self.abreast(envs) {
            let mut own: Vec<Env> = turn.iter().map(|i| envs[*i].clone()).collect();
            for (env, i) in own.iter_mut().zip(&turn) {
                env.insert(fold.acc, Val::Op(self.read(into[*i])));
            }
            let values = self.block_ops(fold.step, &mut own)?;
            turn.iter().zip(values).for_each(|(i, value)| self.set(into[*i], value));
        }
        Ok(())
    }

    fn chain(&mut self, fold: &Fold, bounds: (Op, Op), envs: &mut [Env]) -> Lowered<Vec<Val>> {
        let spread = self.spread;
        let into: Vec<_> = envs.iter().map(|_| self.register("acc", float(0.0), spread)).collect();
        self.fold(&into, fold, bounds, envs)?;
        Ok(into.into_iter().map(|v| Val::Op(self.read(v))).collect())
    }

    fn segments(&mut self, n: i32, fold: &Fold, (lo, hi): (Op, Op), envs: &mut [Env]) -> Lowered<Vec<Val>> {
        let len = self.binary(BinOp::Sub, hi.clone(), lo.clone());
        let len = self.binary(BinOp::Max, len, int(0));
        let up = self.binary(BinOp::Add, len, int(n - 1));
        let size = if self.at_most(fold.axis, n) { int(1) } else { self.binary(BinOp::Div, up, int(n)) };
        if let Some(member) = self.member() {
            return self.team_segments((n, size, member), fold, (lo, hi), envs);
        }
        if !self.schedule.members.is_empty() {
            return self.segments_in_one((n, size), fold, (lo, hi), envs);
        }
        let spread = self.spread;
        let totals: Vec<_> = envs.iter().map(|_| self.register("total", float(0.0), spread)).collect();
        self.each(Bind::Serial, "segment", (int(0), int(n), 1), |l, s| {
            let segments = l.segment(s.clone(), size, fold, (lo, hi), envs)?;
            let first = l.binary(BinOp::Eq, s, int(0));
            for (total, segment) in totals.iter().zip(segments) {
                let so_far = l.read(*total);
                let sum = l.binary(BinOp::Add, so_far, segment.clone());
                let sum = l.select(first.clone(), segment, sum);
                l.set(*total, sum);
            }
            Ok(())
        })?;
        Ok(totals.into_iter().map(|v| Val::Op(self.read(v))).collect())
    }

    /// Whether the schedule allows no more than `n` iterations.
    fn at_most(&self, axis: &Axis, n: i32) -> bool {
        let from_zero = matches!(axis.lo.kind, Kind::Int(0));
        from_zero && self.most_of(&axis.hi).is_some_and(|most| most <= n as usize)
    }

    /// The same in one loop over all elements, so that what is copied for the first of a segment can be under way before.
    fn segments_in_one(
        &mut self,
        (n, size): (i32, Op),
        fold: &Fold,
        (lo, hi): (Op, Op),
        envs: &mut [Env],
    ) -> Lowered<Vec<Val>> {
        let spread = self.spread;
        // -0 and a number are that number, so that the first segment is no exception.
        let totals: Vec<_> = envs.iter().map(|_| self.register("total", float(-0.0), spread)).collect();
        let into: Vec<_> = envs.iter().map(|_| self.register("acc", float(0.0), spread)).collect();
        self.terms(fold.axis, (lo.clone(), hi.clone()), envs, |l, envs, index| {
            l.step(&into, fold, envs)?;
            let before = l.binary(BinOp::Sub, index, lo.clone());
            let done = l.binary(BinOp::Add, before, int(1));
            let len = l.binary(BinOp::Sub, hi.clone(), lo.clone());
            let last = l.binary(BinOp::Eq, done.clone(), len);
            let over = l.binary(BinOp::Rem, done.clone(), size.clone());
            let whole = l.binary(BinOp::Eq, over, int(0));
            let ends = l.binary(BinOp::Or, whole, last);
            let (then, ()) = l.inside(|l| {
                for (total, acc) in totals.iter().zip(&into) {
                    let (so_far, segment) = (l.read(*total), l.read(*acc));
                    let sum = l.binary(BinOp::Add, so_far, segment);
                    l.set(*total, sum);
                    l.set(*acc, float(0.0));
                }
                Ok(())
            })?;
            l.push(Stmt::If { cond: ends.e, then, other: Vec::new() });
            Ok(())
        })?;
        // Behind the last element there may be segments that are empty: adding one of them is adding all.
        let len = self.binary(BinOp::Sub, hi, lo);
        let most = self.binary(BinOp::Mul, size, int(n - 1));
        let some = self.binary(BinOp::Le, len, most);
        let (then, ()) = self.inside(|l| {
            for total in &totals {
                let so_far = l.read(*total);
                let sum = l.binary(BinOp::Add, so_far, float(0.0));
                l.set(*total, sum);
            }
            Ok(())
        })?;
        self.push(Stmt::If { cond: some.e, then, other: Vec::new() });
        Ok(totals.into_iter().map(|total| Val::Op(self.read(total))).collect())
    }

    /// The sum of segment `s`, of `size` elements at most.
    pub(super) fn segment(
        &mut self,
        s: Op,
        size: Op,
        fold: &Fold,
        (lo, hi): (Op, Op),
        envs: &mut [Env],
    ) -> Lowered<Vec<Op>> {
        let offset = self.binary(BinOp::Mul, s, size.clone());
        let from = self.binary(BinOp::Add, lo, offset);
        let to = self.binary(BinOp::Add, from.clone(), size.clone());
        let to = self.binary(BinOp::Min, to, hi);
        let spread = self.spread;
        let into: Vec<_> = envs.iter().map(|_| self.register("acc", float(0.0), spread)).collect();
        if matches!(size.e, Expr::Int(1)) {
            let there = self.binary(BinOp::Lt, from.clone(), to);
            give(envs, fold.axis.var, Val::Op(from));
            let (then, ()) = self.inside(|l| l.step(&into, fold, envs))?;
            self.push(Stmt::If { cond: there.e, then, other: Vec::new() });
        } else {
            self.fold(&into, fold, (from, to), envs)?;
        }
        Ok(into.into_iter().map(|segment| self.read(segment)).collect())
    }
}
