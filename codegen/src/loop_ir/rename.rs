//! Other numbers for variables and buffers, so that the statements of one function can stand in another.
use super::{Expr, Mem, Stmt, Var};

/// The new numbers, by the old ones.
pub struct Names {
    /// Of variables.
    pub vars: Vec<Var>,
    /// Of buffers.
    pub buffers: Vec<usize>,
}

impl Names {
    /// Renames all that statements mention.
    pub fn stmts(&self, list: &mut [Stmt]) {
        for s in list {
            match s {
                Stmt::Let { var, .. }
                | Stmt::Reg { var, .. }
                | Stmt::Set { var, .. }
                | Stmt::Array { var, .. }
                | Stmt::For { var, .. }
                | Stmt::Arrive { last: var, .. } => *var = self.var(*var),
                Stmt::Store { to, .. } | Stmt::Prefetch { from: to, .. } => self.mem(&mut to.mem),
                Stmt::Copy { to, from, .. } => [to, from].into_iter().for_each(|a| self.mem(&mut a.mem)),
                Stmt::Accumulate { registers, .. } => registers.iter_mut().for_each(|var| *var = self.var(*var)),
                Stmt::If { .. } | Stmt::Barrier | Stmt::Await | Stmt::AwaitArrivals { .. } => {}
            }
            s.exprs_mut().into_iter().for_each(|e| self.expr(e));
            s.lists_mut().into_iter().for_each(|list| self.stmts(list));
        }
    }

    /// Renames all that an expression mentions.
    pub fn expr(&self, e: &mut Expr) {
        match e {
            Expr::Var(var) => *var = self.var(*var),
            Expr::Load(a) | Expr::LoadPack(a) => self.mem(&mut a.mem),
            _ => {}
        }
        e.children_mut().into_iter().for_each(|child| self.expr(child));
    }

    /// The new number of a variable.
    pub fn var(&self, var: Var) -> Var {
        self.vars[var.0 as usize]
    }

    fn mem(&self, mem: &mut Mem) {
        match mem {
            Mem::Buffer(index) => *index = self.buffers[*index],
            Mem::Local(var) | Mem::Shared(var) => *var = self.var(*var),
            Mem::Scratch => {}
        }
    }
}
