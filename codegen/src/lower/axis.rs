//! Axes as loops: one iteration after the other, or lanes side by side. The iterations of a tile share them.
use super::build::int;
use super::{Env, Lower, Lowered, Op, Val};
use crate::ir::{Axis, BinOp, Block, Var};
use crate::loop_ir::{Bind, Expr};

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
    pub(super) fn whole_registers(&mut self, lo: &Op, len: Op) -> Op {
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
}

/// Sets a variable for all iterations.
pub(super) fn give(envs: &mut [Env], var: Var, value: Val) {
    for env in envs {
        env.insert(var, value.clone());
    }
}
