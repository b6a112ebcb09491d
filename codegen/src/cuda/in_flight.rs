//! Innermost loops that wait for memory: some iterations are written out, so that their loads are under way at once.
use super::stmt::{Printed, Printer};
use super::text::Text;
use crate::loop_ir::{Expr, Mem, Stmt, Var};

/// Iterations of an innermost loop over arrays which are written out.
pub(super) const OF_ARRAYS: usize = 16;

/// Whether an innermost loop computes from several numbers of arrays of the group or the team in each iteration, and from no other
/// memory.
pub(super) fn reads_arrays(body: &[Stmt]) -> bool {
    let (arrays, memory): (Vec<usize>, Vec<usize>) = body.iter().map(reads).unzip();
    body.iter().all(computes) && arrays.iter().sum::<usize>() > 1 && memory.iter().sum::<usize>() == 0
}

/// How many loads from device memory a loop with this body begins in each iteration, where it spends its time on them and they can
/// be under way at once: it has no loops of its own, and nothing in it keeps later loads from being begun, as lanes do that meet
/// around stores to an array (`apart` says that they do not).
pub(super) fn loads(body: &[Stmt], apart: bool) -> usize {
    let stores = |s: &Stmt| matches!(s, Stmt::Store { to, .. } if apart || matches!(to.mem, Mem::Buffer(_)));
    let goes_on = body.iter().all(|s| computes(s) || stores(s));
    if goes_on { body.iter().map(|s| reads(s).1).sum() } else { 0 }
}

/// Whether a statement does nothing but compute a value.
fn computes(s: &Stmt) -> bool {
    matches!(s, Stmt::Let { .. } | Stmt::Reg { .. } | Stmt::Set { .. })
}

/// How many numbers a statement itself loads: from arrays of the group or the team, and from device memory.
fn reads(s: &Stmt) -> (usize, usize) {
    let (mut arrays, mut memory) = (0, 0);
    let mut note = |e: &Expr| {
        if let Expr::Load(a) | Expr::LoadPack(a) = e {
            match a.mem {
                Mem::Local(_) | Mem::Shared(_) => arrays += 1,
                Mem::Buffer(_) | Mem::Scratch => memory += 1,
            }
        }
    };
    s.exprs().into_iter().for_each(|e| e.visit(&mut note));
    (arrays, memory)
}

impl Printer<'_> {
    /// The loop with as many iterations written out as have the loads that the function says, then for what is left with half as
    /// many, and so on: also the last iterations wait for memory only a few times.
    pub(super) fn in_flight(
        &self,
        loads: usize,
        (var, step): (Var, i32),
        (lo, hi): (&Expr, &Expr),
        body: &[Stmt],
        depth: usize,
        out: &mut Text,
    ) -> Printed<()> {
        // A loop over indices from 0 on has no more iterations than that.
        let most = if let Expr::Int(end) = hi { (end + step - 1) / step } else { i32::MAX };
        let (name, lo, hi) = (self.var(var), self.text(lo)?, self.text(hi)?);
        out.line(depth, "{");
        out.line(depth + 1, &format!("int next_{name} = {lo};"));
        out.line(depth + 1, &format!("const int end_{name} = {hi};"));
        let wanted = (self.func.in_flight / loads).min(most.max(1) as usize).max(1);
        let (mut count, mut before) = (1 << wanted.ilog2(), 1);
        while count > 0 {
            let (last, all) = ((count - 1) * step, count * step);
            let there = format!("next_{name} + {last} < end_{name}");
            // Half of an even number is left once at most.
            let head = if before % 2 == 0 { format!("if ({there}) {{") } else { format!("while ({there}) {{") };
            out.line(depth + 1, &head);
            out.bare(depth + 2, "#pragma unroll");
            let head = format!("for (int {name} = next_{name}; {name} < next_{name} + {all}; {name} += {step}) {{");
            out.line(depth + 2, &head);
            self.stmts(body, depth + 3, out)?;
            out.bare(depth + 2, "}");
            out.line(depth + 2, &format!("next_{name} += {all};"));
            out.bare(depth + 1, "}");
            (before, count) = (count, count / 2);
        }
        out.bare(depth, "}");
        Ok(())
    }
}
