//! The index of the largest float: lanes keep a best of their own, which an xor tree combines.
use super::build::{float, int};
use super::team::Turns;
use super::{Env, Lower, Lowered, Op, Val};
use crate::ir::{Axis, BinOp, Block, Scalar};
use crate::loop_ir::{self, Access, Bind, Expr, Stmt};

/// The index where nothing has been seen: larger than every index.
const NOWHERE: i32 = i32::MAX;

impl Lower<'_> {
    pub(super) fn argmax(
        &mut self,
        axis: &Axis,
        body: &Block,
        (lo, hi): (Op, Op),
        envs: &mut [Env],
    ) -> Lowered<Vec<Val>> {
        if self.spread {
            return self.illegal("an index of the largest inside lanes");
        }
        let lanes = self.can_spread(axis, &body.stmts, Some(&body.value));
        let start = |l: &mut Self, n: usize, varying: bool| -> Vec<(loop_ir::Var, loop_ir::Var)> {
            let begin = |l: &mut Self| {
                (l.register("most", float(f32::NEG_INFINITY), varying), l.register("at", int(NOWHERE), varying))
            };
            (0..n).map(|_| begin(l)).collect()
        };
        let single = start(self, envs.len(), false);
        let spread = if lanes { start(self, envs.len(), true) } else { Vec::new() };
        let step = |l: &mut Self, envs: &mut [Env]| {
            let values = l.block_ops(body, envs)?;
            let into = if lanes && l.spread { &spread } else { &single };
            for ((value, (most, at)), env) in values.into_iter().zip(into).zip(envs.iter()) {
                let index = l.op(env[&axis.var].clone());
                let best = (l.read(*most), l.read(*at));
                let (value, index) = l.larger(best, (value, index));
                l.set(*most, value);
                l.set(*at, index);
            }
            Ok(())
        };
        let member = self.member();
        match &member {
            // What is left when the members have had their turns, all of them do: to see a number again changes nothing.
            Some(member) => {
                let turns = |l: &mut Self, base: Op, stride: i32| l.iterations(axis.var, (base, stride), envs, step);
                let (name, by) = (self.axis_name(axis), Turns::of(lanes));
                if let Some(end) = self.in_turns(name, member.clone(), (lo, hi.clone()), by, turns)? {
                    self.serial(axis.var, (end, hi), envs, step)?;
                }
            }
            None if lanes => self.spread(axis.var, (lo, hi), envs, false, step)?,
            None => self.serial(axis.var, (lo, hi), envs, step)?,
        }
        let mut out = Vec::new();
        for (i, (most, at)) in single.into_iter().enumerate() {
            let mut best = (self.read(most), self.read(at));
            if let Some((most, at)) = spread.get(i) {
                let all = (self.read(*most), self.read(*at));
                let all = self.larger_of_lanes(all);
                best = self.larger(all, best);
            }
            if let Some(member) = &member {
                best = self.larger_of_team(member.clone(), best)?;
            }
            let none = self.binary(BinOp::Eq, best.1.clone(), int(NOWHERE));
            out.push(Val::Op(self.select(none, int(0), best.1)));
        }
        Ok(out)
    }

    /// The best of all members of a team.
    fn larger_of_team(&mut self, member: Op, best: (Op, Op)) -> Lowered<(Op, Op)> {
        let team = self.schedule.team;
        let arrays = [("most", Scalar::F32), ("at", Scalar::I32)];
        let [values, places] = arrays.map(|(name, scalar)| (self.team_array(name, scalar, team), scalar));
        let slot = |l: &mut Self, (array, scalar): (loop_ir::Var, Scalar), index: Op| Access {
            scalar,
            ..l.element(array, index, 0)
        };
        for (array, value) in [(values, best.0.clone()), (places, best.1.clone())] {
            let to = slot(self, array, member.clone());
            self.store(to, value);
        }
        self.push(Stmt::Barrier);
        let (most, at) = (self.register("most", best.0, false), self.register("at", best.1, false));
        self.each(Bind::Serial, "other", (int(0), int(team as i32), 1), |l, other| {
            let (value, place) = (slot(l, values, other.clone()), slot(l, places, other));
            let (value, place) = (l.load(value), l.load(place));
            let so_far = (l.read(most), l.read(at));
            let (value, place) = l.larger(so_far, (value, place));
            l.set(most, value);
            l.set(at, place);
            Ok(())
        })?;
        self.release([values, places].map(|(array, scalar)| (array, scalar, team)));
        Ok((self.read(most), self.read(at)))
    }

    /// The best of all lanes, by an xor tree.
    fn larger_of_lanes(&mut self, mut best: (Op, Op)) -> (Op, Op) {
        let mut distance = self.width() / 2;
        while distance > 0 {
            let mut other = |op: &Op| {
                let shuffle = Expr::Shuffle { mask: distance as u32, value: Box::new(op.e.clone()) };
                self.emit(shuffle, op.ty, true)
            };
            let other = (other(&best.0), other(&best.1));
            best = self.larger(best, other);
            distance /= 2;
        }
        let first = |l: &mut Self, op: Op| l.emit(Expr::First(Box::new(op.e)), op.ty, false);
        (first(self, best.0), first(self, best.1))
    }

    /// The pair with the larger value; NaN is larger than everything, and of equals the lower index counts.
    fn larger(&mut self, a: (Op, Op), b: (Op, Op)) -> (Op, Op) {
        let nan = |l: &mut Self, x: &Op| l.binary(BinOp::Ne, x.clone(), x.clone());
        let (a_nan, b_nan) = (nan(self, &a.0), nan(self, &b.0));
        let greater = self.binary(BinOp::Lt, a.0.clone(), b.0.clone());
        let equal = self.binary(BinOp::Eq, a.0.clone(), b.0.clone());
        let both = self.binary(BinOp::And, a_nan.clone(), b_nan.clone());
        let equal = self.binary(BinOp::Or, equal, both);
        let lower = self.binary(BinOp::Lt, b.1.clone(), a.1.clone());
        let earlier = self.binary(BinOp::And, equal, lower);
        let number = self.unary(crate::ir::UnOp::Not, a_nan);
        let new_nan = self.binary(BinOp::And, b_nan, number);
        let better = self.binary(BinOp::Or, greater, new_nan);
        let better = self.binary(BinOp::Or, better, earlier);
        (self.select(better.clone(), b.0, a.0), self.select(better, b.1, a.1))
    }
}
