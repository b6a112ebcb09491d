//! Integers as sums of halves of 16 bits: added up by one instruction, which multiplies by a scale on the way.
use super::axis::give;
use super::build::int;
use super::{Env, Lower, Lowered, Op, Val};
use crate::instructions::SMALL;
use crate::ir::{Axis, BinOp, Block, Kind, Scalar, Ty};
use crate::loop_ir::{self, Expr};

/// Whether an integer can be the second factor of a `dot2_` instruction.
pub(super) fn small(ty: Ty) -> bool {
    matches!(ty, Ty::Int { lo, hi } if lo >= -SMALL && hi <= SMALL)
}

impl Lower<'_> {
    /// `acc + scale * (all halves)`.
    pub(super) fn add_halves(&mut self, acc: Op, scale: Op, halves: Vec<Op>) -> Op {
        let scale = self.pair(scale.clone(), scale);
        halves.into_iter().fold(acc, |acc, half| self.dot2_call(acc, half, scale.clone()))
    }

    pub(super) fn pair(&mut self, low: Op, high: Op) -> Op {
        let varying = low.varying || high.varying;
        self.emit(Expr::Pair(Box::new(low.e), Box::new(high.e)), loop_ir::Ty::I16x2, varying)
    }

    fn dot2_call(&mut self, acc: Op, a: Op, b: Op) -> Op {
        let name = self.schedule.dot2.as_deref().expect("there are halves only where there is `dot2`");
        let intrinsic = crate::instructions::instruction(name).expect("legal asks the table first").name;
        let varying = acc.varying || a.varying || b.varying;
        let call = Expr::Call { intrinsic, args: vec![acc.e, a.e, b.e], span: self.span };
        self.emit(call, loop_ir::Ty::I32, varying)
    }

    /// `isum(lo..lo + len, |i| a(i) * b[i])` with numbers of 16 bits in memory, two neighbours at a time; `None` where it is no
    /// such dot.
    pub(super) fn dot_of_halves(
        &mut self,
        axis: &Axis,
        body: &Block,
        lo: i32,
        len: usize,
        envs: &mut [Env],
    ) -> Lowered<Option<Vec<Val>>> {
        let inside = self.lane.is_some() || self.width() == 1;
        let plain = self.schedule.dot2.is_none() || self.is_rolled(axis) || !len.is_multiple_of(2);
        if plain || !inside || self.lanes_are_free() {
            return Ok(None);
        }
        let Some(value) = super::pack::written_out(body) else { return Ok(None) };
        let Kind::Binary(BinOp::Mul, a, b) = &value.kind else { return Ok(None) };
        let stored = |e: &crate::ir::Expr| matches!(&e.kind, Kind::Load(p) if p.scalar == Scalar::I16);
        let operands = [(a, b), (b, a)].into_iter();
        let mut operands = operands.filter(|(_, b)| stored(b) && self.neighbours(b, axis.var));
        let Some((factor, load)) = operands.find(|(a, _)| small(a.ty)) else { return Ok(None) };
        let mut sums = vec![int(0); envs.len()];
        for start in (0..len).step_by(2) {
            give(envs, axis.var, Val::Op(int(lo + start as i32 + 1)));
            let second = self.ops(factor, envs)?;
            give(envs, axis.var, Val::Op(int(lo + start as i32)));
            let first = self.ops(factor, envs)?;
            for (((sum, env), first), second) in sums.iter_mut().zip(envs.iter_mut()).zip(first).zip(second) {
                let (numbers, factors) = (self.pack(load, axis.var, env)?, self.pair(first, second));
                *sum = self.dot2_call(sum.clone(), numbers, factors);
            }
        }
        Ok(Some(sums.into_iter().map(Val::Op).collect()))
    }
}

/// Whether halves have no scale yet.
pub(super) fn is_one(scale: &Op) -> bool {
    matches!(scale.e, Expr::Int(1))
}
