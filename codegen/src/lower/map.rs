//! Maps: local arrays, filled by lanes or one element at a time.
use super::build::int;
use super::{Env, Lower, Lowered, Op, Val};
use crate::ir::{Axis, Block, Scalar};
use crate::loop_ir::{self, Bind};

impl Lower<'_> {
    pub(super) fn map(&mut self, axis: &Axis, body: &Block, cap: usize, envs: &mut [Env]) -> Lowered<Vec<Val>> {
        if self.spread {
            return self.illegal("a map inside lanes");
        }
        let bounds = self.bounds(axis, envs)?;
        let len = cap.next_multiple_of(self.width());
        let arrays: Vec<_> = envs.iter().map(|_| self.array("map", Scalar::F32, len)).collect();
        let fill = |l: &mut Self, envs: &mut [Env]| {
            let values = l.block(body, envs)?;
            for ((array, value), env) in arrays.iter().zip(values).zip(envs.iter()) {
                let (index, stride) = match env[&axis.var].clone() {
                    Val::Affine { base, stride } => (base, stride),
                    Val::Op(index) => (index, 0),
                    _ => unreachable!("an index is a number"),
                };
                let to = l.element(*array, index, stride);
                let value = l.op(value);
                l.store(to, value);
            }
            Ok(())
        };
        if self.can_spread(axis, &body.stmts, Some(&body.value)) {
            let overrun = self.can_overrun(axis, body, cap);
            self.spread(axis.var, bounds, envs, overrun, fill)?;
        } else {
            self.serial(axis.var, bounds, envs, fill)?;
        }
        Ok(arrays.into_iter().map(Val::Array).collect())
    }

    pub(super) fn array_len(&self, array: loop_ir::Var) -> usize {
        let declared = self.arrays.iter().find_map(|s| match s {
            loop_ir::Stmt::Array { var, len, .. } if *var == array => Some(*len),
            _ => None,
        });
        declared.expect("arrays are declared when they are made")
    }

    pub(super) fn copy(&mut self, from: loop_ir::Var, to: loop_ir::Var) -> Lowered<()> {
        self.each_element(self.array_len(from), |l, i, stride| {
            let source = l.element(from, i.clone(), stride);
            let value = l.load(source);
            let to = l.element(to, i, stride);
            l.store(to, value);
        })
    }

    /// A loop over all elements of an array, a register at a time: `f` gets the first one's index and the lanes' stride.
    pub(super) fn each_element(&mut self, len: usize, f: impl FnOnce(&mut Self, Op, i32)) -> Lowered<()> {
        let (step, stride) = if self.lane.is_some() { (self.width() as i32, 1) } else { (1, 0) };
        self.each(Bind::Serial, "i", (int(0), int(len as i32), step), |l, i| {
            f(l, i, stride);
            Ok(())
        })
    }
}
