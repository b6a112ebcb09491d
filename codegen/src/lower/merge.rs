//! Merges: a state of registers and arrays that every part replaces, in ascending order.
use super::{Env, Lower, Lowered, Op, Val};
use crate::ir::{Axis, Expr, MergeStep, Stmt, Var};
use crate::loop_ir;

impl Lower<'_> {
    pub(super) fn merge(
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
        self.merge_with(axis, bounds, (state, next), envs, |l, envs| l.stmts(part, envs))
    }

    /// A merge whose parts `part` gives, in ascending order.
    pub(super) fn merge_with(
        &mut self,
        axis: &Axis,
        bounds: (Op, Op),
        (state, next): (&[(Var, Expr)], &MergeStep),
        envs: &mut [Env],
        part: impl FnOnce(&mut Self, &mut [Env]) -> Lowered<()>,
    ) -> Lowered<()> {
        self.begin_states(state, envs)?;
        self.serial(axis.var, bounds, envs, |l, envs| {
            part(l, envs)?;
            l.stmts(&next.stmts, envs)?;
            let states: Vec<Var> = state.iter().map(|(var, _)| *var).collect();
            l.next_states(&states, &next.values.iter().collect::<Vec<_>>(), envs)
        })?;
        self.meet_once();
        Ok(())
    }

    /// The states before the first part.
    pub(super) fn begin_states(&mut self, state: &[(Var, Expr)], envs: &mut [Env]) -> Lowered<()> {
        for (var, init) in state {
            self.span = init.span;
            let inits = self.evals(init, envs)?;
            for (env, init) in envs.iter_mut().zip(inits) {
                let value = self.state(*var, init)?;
                env.insert(*var, value);
            }
        }
        Ok(())
    }

    /// Replaces states. All new values are known before any old one is replaced.
    pub(super) fn next_states(&mut self, states: &[Var], next: &[&Expr], envs: &mut [Env]) -> Lowered<()> {
        let mut values = Vec::new();
        for value in next {
            values.push(self.evals(value, envs)?);
        }
        let mut pairs = Vec::new();
        for (var, values) in states.iter().zip(values) {
            for (env, value) in envs.iter().zip(values) {
                pairs.push((env[var].clone(), self.kept(value)?));
            }
        }
        pairs.into_iter().try_for_each(|(old, new)| self.replace(old, new))
    }

    /// After a merge by a team: its members meet once, where they need not after every part.
    pub(super) fn meet_once(&mut self) {
        if self.member().is_none() {
            return;
        }
        let stmts = &mut self.blocks.last_mut().expect("a block is open").stmts;
        let Some(loop_ir::Stmt::For { bind, var, lo, hi, step, mut body }) = stmts.pop() else {
            unreachable!("a merge is a loop")
        };
        let apart = self.without_barriers(&mut body);
        self.push(loop_ir::Stmt::For { bind, var, lo, hi, step, body });
        if apart {
            self.push(loop_ir::Stmt::Barrier);
        }
    }

    /// A value that stays what it is while the state is replaced: one that is a state variable itself is copied.
    fn kept(&mut self, value: Val) -> Lowered<Val> {
        match value {
            Val::Array(array) if self.states.contains(&array) => Ok(Val::Array(self.copied_array("kept", &value)?)),
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
            from @ (Val::Array(_) | Val::Left { .. }) => {
                let array = self.copied_array(&name, &from)?;
                self.states.insert(array);
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
            (Val::Array(to), from @ (Val::Array(_) | Val::Left { .. })) => self.copy(&from, to),
            (Val::Op(Op { e: loop_ir::Expr::Var(register), .. }), new) => {
                let new = self.op(new);
                self.set(register, new);
                Ok(())
            }
            _ => unreachable!("a state variable is an array or a register"),
        }
    }
}
