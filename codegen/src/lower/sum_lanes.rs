//! Float sums over lanes: running values in registers, side by side, or in memory where the lanes cannot be spread.
//! The order of a sum is not decided here: it is the kernel's own, see [`crate::ir::sum_order`].
use super::axis::give;
use super::build::{float, int, long};
use super::sum::Fold;
use super::{Env, Lower, Lowered, Op, Val};
use crate::ir::{self, BinOp, Scalar};
use crate::loop_ir::{self, Bind, Expr, Stmt};

impl Lower<'_> {
    /// `n` lanes in `n / width` registers for each iteration of the tile.
    pub(super) fn lanes(&mut self, n: usize, fold: &Fold, (lo, hi): (Op, Op), envs: &mut [Env]) -> Lowered<Vec<Val>> {
        let count = n / self.width();
        let registers: Vec<Vec<_>> =
            envs.iter().map(|_| (0..count).map(|_| self.register("acc", float(0.0), true)).collect()).collect();
        let len = self.binary(BinOp::Sub, hi.clone(), lo.clone());
        let len = self.binary(BinOp::Max, len, int(0));
        let rounds = self.binary(BinOp::Div, len.clone(), int(n as i32));
        self.each(Bind::Serial, "round", (int(0), rounds.clone(), 1), |l, round| {
            let start = l.binary(BinOp::Mul, round, int(n as i32));
            let start = l.binary(BinOp::Add, lo.clone(), start);
            for r in 0..count {
                let base = l.binary(BinOp::Add, start.clone(), int((r * l.width()) as i32));
                give(envs, fold.axis.var, Val::Affine { base, stride: 1 });
                l.step_registers(r, &registers, fold, envs)?;
            }
            Ok(())
        })?;
        if !matches!(len.e, Expr::Int(len) if (len as usize).is_multiple_of(n)) {
            let done = self.binary(BinOp::Mul, rounds, int(n as i32));
            let from = self.binary(BinOp::Add, lo.clone(), done);
            match (&lo.e, fold.axis.hi.ty) {
                (Expr::Int(0), ir::Ty::Int { hi: most, .. })
                    if self.can_overrun(fold.axis, fold.step, (most as usize).next_multiple_of(n), envs) =>
                {
                    self.lanes_overrun(&registers, fold, (from, hi), envs)?;
                }
                _ => self.lanes_rest(n, &registers, fold, (from, hi), envs)?,
            }
        }
        registers.iter().map(|r| self.register_tree(r)).collect()
    }

    fn step_registers(
        &mut self,
        r: usize,
        registers: &[Vec<loop_ir::Var>],
        fold: &Fold,
        envs: &mut [Env],
    ) -> Lowered<()> {
        for (env, own) in envs.iter_mut().zip(registers) {
            env.insert(fold.acc, Val::Op(self.read(own[r])));
        }
        self.spread = true;
        let values = self.block(fold.step, envs);
        self.spread = false;
        for (own, value) in registers.iter().zip(values?) {
            let value = self.op(value);
            self.set(own[r], value);
        }
        Ok(())
    }

    /// The last elements, which do not fill all lanes: all lanes go on, and those that have no element keep what they have.
    fn lanes_overrun(
        &mut self,
        registers: &[Vec<loop_ir::Var>],
        fold: &Fold,
        (from, hi): (Op, Op),
        envs: &mut [Env],
    ) -> Lowered<()> {
        for r in 0..registers[0].len() {
            // Only registers that have an element are there to be read.
            let base = self.binary(BinOp::Add, from.clone(), int((r * self.width()) as i32));
            let any = self.binary(BinOp::Lt, base.clone(), hi.clone());
            let (then, ()) = self.inside(|l| l.overrun_register(r, registers, fold, (base, hi.clone()), envs))?;
            self.push(Stmt::If { cond: any.e, then, other: Vec::new() });
        }
        Ok(())
    }

    /// The elements of a register from `base` on, as far as they are below `hi`.
    fn overrun_register(
        &mut self,
        r: usize,
        registers: &[Vec<loop_ir::Var>],
        fold: &Fold,
        (base, hi): (Op, Op),
        envs: &mut [Env],
    ) -> Lowered<()> {
        let index = self.op(Val::Affine { base: base.clone(), stride: 1 });
        let there = self.binary(BinOp::Lt, index, hi);
        let copy = |l: &mut Self, own: &Vec<loop_ir::Var>| {
            let old = l.read(own[r]);
            l.emit(old.e, old.ty, true)
        };
        let before: Vec<Op> = registers.iter().map(|own| copy(self, own)).collect();
        give(envs, fold.axis.var, Val::Affine { base, stride: 1 });
        self.step_registers(r, registers, fold, envs)?;
        for (own, old) in registers.iter().zip(before) {
            let new = self.read(own[r]);
            let kept = self.select(there.clone(), new, old);
            self.set(own[r], kept);
        }
        Ok(())
    }

    /// The last elements, which do not fill all lanes: through memory, one by one.
    fn lanes_rest(
        &mut self,
        n: usize,
        registers: &[Vec<loop_ir::Var>],
        fold: &Fold,
        (from, hi): (Op, Op),
        envs: &mut [Env],
    ) -> Lowered<()> {
        let any = self.binary(BinOp::Lt, from.clone(), hi.clone());
        let (then, ()) = self.inside(|l| {
            let arrays: Vec<_> = envs.iter().map(|_| l.array("lanes", Scalar::F32, n)).collect();
            for (array, own) in arrays.iter().zip(registers) {
                for (r, register) in own.iter().enumerate() {
                    let to = l.element(*array, int((r * l.width()) as i32), 1);
                    let value = l.read(*register);
                    l.store(to, value);
                }
            }
            l.lane_elements(&arrays, n as i32, fold, (from, hi), envs)?;
            for (array, own) in arrays.iter().zip(registers) {
                for (r, register) in own.iter().enumerate() {
                    let access = l.element(*array, int((r * l.width()) as i32), 1);
                    let value = l.load(access);
                    l.set(*register, value);
                }
            }
            Ok(())
        })?;
        self.push(Stmt::If { cond: any.e, then, other: Vec::new() });
        Ok(())
    }

    /// Folds elements `lo..hi` into arrays of `n` lanes, one element at a time; `lo` belongs to lane 0.
    fn lane_elements(
        &mut self,
        arrays: &[loop_ir::Var],
        n: i32,
        fold: &Fold,
        (lo, hi): (Op, Op),
        envs: &mut [Env],
    ) -> Lowered<()> {
        self.serial(fold.axis.var, (lo.clone(), hi), envs, |l, envs| {
            let Val::Op(index) = envs[0][&fold.axis.var].clone() else { unreachable!("a serial loop gives an index") };
            let offset = l.binary(BinOp::Sub, index, lo);
            let lane = l.binary(BinOp::Rem, offset, int(n));
            for (env, array) in envs.iter_mut().zip(arrays) {
                let access = l.element(*array, lane.clone(), 0);
                let running = l.load(access);
                env.insert(fold.acc, Val::Op(running));
            }
            let values = l.block(fold.step, envs)?;
            for (array, value) in arrays.iter().zip(values) {
                let to = l.element(*array, lane.clone(), 0);
                let value = l.op(value);
                l.store(to, value);
            }
            Ok(())
        })
    }

    /// The xor tree over registers and then over the lanes of the last one.
    fn register_tree(&mut self, registers: &[loop_ir::Var]) -> Lowered<Val> {
        let mut values: Vec<Op> = registers.iter().map(|r| self.read(*r)).collect();
        while values.len() > 1 {
            let upper = values.split_off(values.len() / 2);
            values = values.into_iter().zip(upper).map(|(a, b)| self.binary(BinOp::Add, a, b)).collect();
        }
        let last = values.pop().expect("at least one register");
        Ok(Val::Op(self.lane_tree(BinOp::Add, last)))
    }

    /// `n` lanes as an array.
    pub(super) fn lanes_in_memory(
        &mut self,
        n: i32,
        fold: &Fold,
        bounds: (Op, Op),
        envs: &mut [Env],
    ) -> Lowered<Vec<Val>> {
        if self.spread {
            return self.illegal("a sum over lanes inside lanes");
        }
        let arrays: Vec<_> = envs.iter().map(|_| self.array("lanes", Scalar::F32, n as usize)).collect();
        for array in &arrays {
            let array = *array;
            self.each(Bind::Serial, "lane", (int(0), int(n), 1), |l, lane| {
                let to = l.element(array, lane, 0);
                l.store(to, float(0.0));
                Ok(())
            })?;
        }
        self.lane_elements(&arrays, n, fold, bounds, envs)?;
        arrays.into_iter().map(|array| self.memory_tree(array, n)).collect()
    }

    fn memory_tree(&mut self, array: loop_ir::Var, n: i32) -> Lowered<Val> {
        let mut half = n / 2;
        while half > 0 {
            self.each(Bind::Serial, "lane", (int(0), int(half), 1), |l, lane| {
                let other = l.binary(BinOp::Add, lane.clone(), int(half));
                let (a, b) = (l.element(array, lane.clone(), 0), l.element(array, other, 0));
                let (a, b) = (l.load(a), l.load(b));
                let sum = l.binary(BinOp::Add, a, b);
                let to = l.element(array, lane, 0);
                l.store(to, sum);
                Ok(())
            })?;
            half /= 2;
        }
        let mut first = self.element(array, int(0), 0);
        first.addr = Box::new(long(0).e);
        Ok(Val::Op(self.load(first)))
    }
}
