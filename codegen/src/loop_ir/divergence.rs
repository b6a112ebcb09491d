//! Exchanges between lanes where only some lanes may be. On a GPU these would wait for lanes that never come.
use super::{Expr, Func, Stmt, print};

impl Func {
    /// An exchange that not all lanes are sure to compute, as text: in a side of a choice, or in an address, which one lane
    /// computes where one lane stores.
    pub fn misplaced_exchange(&self) -> Option<String> {
        if self.width == 1 {
            return None;
        }
        let mut found = None;
        let mut note = |e: &Expr| {
            let mut exchanges = false;
            e.visit(&mut |e| exchanges |= e.across_lanes());
            if exchanges && found.is_none() {
                found = Some(print::expr(self, e));
            }
        };
        places(&self.body, &mut note);
        found
    }
}

/// Calls `f` for every expression that only some lanes may compute.
fn places(stmts: &[Stmt], f: &mut impl FnMut(&Expr)) {
    for s in stmts {
        match s {
            Stmt::Store { to, .. } => to.exprs().for_each(&mut *f),
            Stmt::Copy { to, from, .. } => to.exprs().chain(from.exprs()).for_each(&mut *f),
            _ => {}
        }
        for e in s.exprs() {
            e.visit(&mut |e| match e {
                Expr::Select(_, a, b) => [a, b].into_iter().for_each(|side| f(side)),
                Expr::Load(a) | Expr::LoadPack(a) => a.exprs().for_each(&mut *f),
                _ => {}
            });
        }
        s.lists().into_iter().for_each(|list| places(list, f));
    }
}
