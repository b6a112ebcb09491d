//! Statements inside the nest: values, stores, inner parallel axes, maps and merges.
use super::build::int;
use super::{Env, Lower, Lowered, Op, Val};
use crate::ir::{Axis, Block, Expr, MergeStep, Scalar, Stmt, Var};
use crate::loop_ir::{self, Bind};

impl Lower<'_> {
    pub(super) fn stmts(&mut self, stmts: &[Stmt], envs: &mut [Env]) -> Lowered<()> {
        for s in stmts {
            match s {
                Stmt::Let { var, value } => {
                    let values = self.evals(value, envs)?;
                    envs.iter_mut().zip(values).for_each(|(env, value)| {
                        env.insert(*var, value);
                    });
                }
                Stmt::Store { place, value } => {
                    self.span = value.span;
                    let values = self.ops(value, envs)?;
                    for (env, value) in envs.iter_mut().zip(values) {
                        let to = self.access(place, env)?;
                        if value.varying && to.lane_stride == 0 {
                            return self.illegal("all lanes store to one place");
                        }
                        self.store(to, value);
                    }
                }
                Stmt::Par { axis, body } => self.par(axis, body, envs)?,
                Stmt::Merge { axis, part, state, next } => self.merge(axis, part, state, next, envs)?,
            }
        }
        Ok(())
    }

    pub(super) fn par(&mut self, axis: &Axis, body: &[Stmt], envs: &mut [Env]) -> Lowered<()> {
        let bounds = self.bounds(axis, envs)?;
        if self.can_spread(axis, body, None) {
            return self.spread(axis.var, bounds, envs, false, |l, envs| l.stmts(body, envs));
        }
        self.serial(axis.var, bounds, envs, |l, envs| l.stmts(body, envs))
    }

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

    fn merge(
        &mut self,
        axis: &Axis,
        part: &[Stmt],
        state: &[(Var, Expr)],
        next: &MergeStep,
        envs: &mut [Env],
    ) -> Lowered<()> {
        if self.spread {
            return self.illegal("a merge inside lanes");
        }
        let bounds = self.bounds(axis, envs)?;
        for (var, init) in state {
            self.span = init.span;
            let inits = self.evals(init, envs)?;
            for (env, init) in envs.iter_mut().zip(inits) {
                let value = self.state(*var, init)?;
                env.insert(*var, value);
            }
        }
        self.serial(axis.var, bounds, envs, |l, envs| {
            l.stmts(part, envs)?;
            l.stmts(&next.stmts, envs)?;
            // All new values are known before any old one is replaced.
            let mut values = Vec::new();
            for value in &next.values {
                values.push(l.evals(value, envs)?);
            }
            let mut pairs = Vec::new();
            for ((var, _), values) in state.iter().zip(values) {
                for (env, value) in envs.iter().zip(values) {
                    pairs.push((env[var].clone(), l.kept(value)?));
                }
            }
            pairs.into_iter().try_for_each(|(old, new)| l.replace(old, new))
        })
    }

    /// A value that stays what it is while the state is replaced: one that is a state variable itself is copied.
    fn kept(&mut self, value: Val) -> Lowered<Val> {
        match value {
            Val::Array(from) if self.states.contains(&from) => {
                let array = self.array("kept", Scalar::F32, self.array_len(from));
                self.copy(from, array)?;
                Ok(Val::Array(array))
            }
            Val::Op(op) if matches!(op.e, loop_ir::Expr::Var(v) if self.registers.contains(&v)) => {
                Ok(Val::Op(self.emit(op.e, op.ty, op.varying)))
            }
            value => Ok(value),
        }
    }

    /// A state variable with its first value: a register, or an array of its own.
    fn state(&mut self, var: Var, init: Val) -> Lowered<Val> {
        let name = self.kernel.vars[var.0 as usize].name.clone();
        match init {
            Val::Array(from) => {
                let array = self.array(&name, Scalar::F32, self.array_len(from));
                self.states.insert(array);
                self.copy(from, array)?;
                Ok(Val::Array(array))
            }
            init => {
                let init = self.op(init);
                let register = self.register(&name, init, false);
                Ok(Val::Op(self.read(register)))
            }
        }
    }

    fn replace(&mut self, old: Val, new: Val) -> Lowered<()> {
        match (old, new) {
            (Val::Array(to), Val::Array(from)) => self.copy(from, to),
            (Val::Op(Op { e: loop_ir::Expr::Var(register), .. }), new) => {
                let new = self.op(new);
                self.set(register, new);
                Ok(())
            }
            _ => unreachable!("a state variable is an array or a register"),
        }
    }

    fn array_len(&self, array: loop_ir::Var) -> usize {
        let declared = self.arrays.iter().find_map(|s| match s {
            loop_ir::Stmt::Array { var, len, .. } if *var == array => Some(*len),
            _ => None,
        });
        declared.expect("arrays are declared when they are made")
    }

    fn copy(&mut self, from: loop_ir::Var, to: loop_ir::Var) -> Lowered<()> {
        let len = self.array_len(from) as i32;
        let (step, stride) = if self.lane.is_some() { (self.width() as i32, 1) } else { (1, 0) };
        self.each(Bind::Serial, "i", (int(0), int(len), step), |l, i| {
            let source = l.element(from, i.clone(), stride);
            let value = l.load(source);
            let to = l.element(to, i, stride);
            l.store(to, value);
            Ok(())
        })
    }
}
