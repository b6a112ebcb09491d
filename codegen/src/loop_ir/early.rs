//! What a worker may do in front of its items, where it does not wait for the launch before: ask for memory, and read none.
use super::{Bind, Expr, Func, Stmt, print};

impl Func {
    /// What may not stand in a `First` loop but does, as text: a statement besides values, loops and the asking, one that loads,
    /// or one with an integer scalar, which lies in memory.
    pub fn misplaced_in_front(&self) -> Option<String> {
        self.look(&self.body, false)
    }

    fn look(&self, stmts: &[Stmt], in_front: bool) -> Option<String> {
        stmts.iter().find_map(|s| {
            if in_front && !self.may_be_in_front(s) {
                return Some(print::head(self, s));
            }
            let first = matches!(s, Stmt::For { bind: Bind::First, .. });
            if first && self.reads_memory(s) {
                return Some(print::head(self, s));
            }
            s.lists().into_iter().find_map(|list| self.look(list, in_front || first))
        })
    }

    fn may_be_in_front(&self, s: &Stmt) -> bool {
        let asks = match s {
            Stmt::Let { .. } | Stmt::Prefetch { .. } => true,
            Stmt::For { bind, .. } => matches!(bind, Bind::Team | Bind::Simd | Bind::Serial),
            _ => false,
        };
        asks && !self.reads_memory(s)
    }

    fn reads_memory(&self, s: &Stmt) -> bool {
        let mut reads = false;
        let mut note = |e: &Expr| match e {
            Expr::Load(_) | Expr::LoadPack(_) => reads = true,
            Expr::Var(var) => reads |= (self.dims..self.ints).contains(&(var.0 as usize)),
            _ => {}
        };
        s.exprs().into_iter().for_each(|e| e.visit(&mut note));
        reads
    }
}
