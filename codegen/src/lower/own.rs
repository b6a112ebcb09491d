//! Loops in which no member of a team touches what another has written: they need no barriers.
use super::Lower;
use crate::ir::BinOp;
use crate::loop_ir::{Access, Expr, Mem, Owner, Stmt, Var};
use std::collections::HashSet;

impl Lower<'_> {
    /// Takes the barriers out of a loop that was just lowered, where each member touches none but its own elements of the arrays
    /// that are written in it; whether there were any. The members still have to meet after the loop.
    pub(super) fn without_barriers(&self, body: &mut Vec<Stmt>) -> bool {
        let (mut written, before) = (HashSet::new(), body.len());
        if plain(body, &mut written) && self.touches_own(body, None, &written) {
            body.retain(|s| !matches!(s, Stmt::Barrier));
        }
        body.len() < before
    }

    /// Whether all touches of these arrays are of elements that only this member touches. `turns` is the variable of the loop in
    /// which members take turns by registers.
    fn touches_own(&self, stmts: &[Stmt], turns: Option<Var>, written: &HashSet<Var>) -> bool {
        let own = |a: &Access| match a.mem {
            Mem::Shared(array) if written.contains(&array) => turns.is_some_and(|i| self.is_register(a, i)),
            _ => true,
        };
        stmts.iter().all(|s| {
            let mut fine = !matches!(s, Stmt::Store { to, .. } if !own(to));
            let mut note = |e: &Expr| fine &= !matches!(e, Expr::Load(a) | Expr::LoadPack(a) if !own(a));
            s.exprs().into_iter().for_each(|e| e.visit(&mut note));
            let inside = match s {
                Stmt::For { var, lo, step, .. } if self.is_first_turn(lo, *step) => Some(*var),
                _ => turns,
            };
            fine && s.lists().into_iter().all(|list| self.touches_own(list, inside, written))
        })
    }

    /// Whether a loop from here on, by this step, takes the member's registers and no others: the first, and then one in each
    /// round of the team.
    fn is_first_turn(&self, lo: &Expr, step: i32) -> bool {
        let (width, team) = (self.width() as i32, self.schedule.team as i32);
        let first = Expr::Binary(BinOp::Mul, Box::new(self.team_member()), Box::new(Expr::Int(width)));
        step == width * team && (same(self.defined(lo), &first) || width == 1 && same(lo, &self.team_member()))
    }

    /// Whether an access is to register `i` of an array of floats, each lane to its own.
    fn is_register(&self, a: &Access, i: Var) -> bool {
        let Expr::Binary(BinOp::Mul, index, size) = self.defined(&a.addr) else { return false };
        let index = matches!(self.defined(index), Expr::Widen(index) if matches!(**index, Expr::Var(v) if v == i));
        let stride = if self.width() > 1 { 4 } else { 0 };
        index && matches!(**size, Expr::Long(4)) && a.lane_stride == stride
    }

    /// What a name stands for.
    fn defined<'e>(&'e self, e: &'e Expr) -> &'e Expr {
        match e {
            Expr::Var(v) => self.definitions.get(v).unwrap_or(e),
            e => e,
        }
    }
}

/// Whether members meet only at barriers right inside of the loop, and copy nothing; the arrays that they write.
fn plain(stmts: &[Stmt], written: &mut HashSet<Var>) -> bool {
    stmts.iter().all(|s| {
        if let Stmt::Store { to: Access { mem: Mem::Shared(array), .. }, .. } = s {
            written.insert(*array);
        }
        let other = matches!(
            s,
            Stmt::Copy { .. } | Stmt::Await | Stmt::Arrive { by: Owner::Team, .. } | Stmt::AwaitArrivals { .. }
        );
        !other
            && s.lists()
                .into_iter()
                .all(|list| !list.iter().any(|s| matches!(s, Stmt::Barrier)) && plain(list, written))
    })
}

fn same(a: &Expr, b: &Expr) -> bool {
    format!("{a:?}") == format!("{b:?}")
}
