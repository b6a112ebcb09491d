//! Statements inside the nest.
use super::{Env, Lower, Lowered};
use crate::ir::{Axis, Stmt};

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
                    let mut stores = Vec::new();
                    for (env, value) in envs.iter_mut().zip(values) {
                        let to = self.access(place, place.scalar.bytes(), env)?;
                        if value.varying && !to.varies() {
                            return self.illegal("all lanes store to one place");
                        }
                        stores.push((to, value));
                    }
                    self.by_one_member(|l| {
                        let mut stores = stores.into_iter().zip(envs.iter());
                        stores.try_for_each(|((to, value), env)| l.store_rows(to, value, env))
                    })?;
                }
                Stmt::Par { axis, body } => match self.member() {
                    Some(member) => self.team_par(axis, body, member, envs)?,
                    None => self.par(axis, body, envs)?,
                },
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
}
