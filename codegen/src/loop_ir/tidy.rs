//! Puts values that are used once where they are used, so that generated code reads like code.
//!
//! A value moves only within its statement list, and only if nothing in between can change it: buffers that are read are
//! never written (functions are fused afterwards), but registers, local arrays and scratch memory change. An operation that
//! rounds stays a statement of its own: by the places of statements, the audit of compiled code knows what came from where.
use super::{Expr, Func, Mem, Stmt, Ty, Var, VarInfo};
use crate::ir::UnOp;
use std::collections::{HashMap, HashSet};

/// Moves every value that is used once and can move.
pub fn tidy(func: &mut Func) {
    let mut uses = HashMap::new();
    let mut registers = HashSet::new();
    count(&func.body, &mut uses, &mut registers);
    let tidier = Tidier { uses, registers, vars: &func.vars };
    tidier.list(&mut func.body);
}

fn count(stmts: &[Stmt], uses: &mut HashMap<Var, usize>, registers: &mut HashSet<Var>) {
    for s in stmts {
        if let Stmt::Reg { var, .. } = s {
            registers.insert(*var);
        }
        for e in s.exprs() {
            e.visit(&mut |e| {
                if let Expr::Var(v) = e {
                    *uses.entry(*v).or_default() += 1;
                }
            });
        }
        s.lists().into_iter().for_each(|list| count(list, uses, registers));
    }
}

struct Tidier<'f> {
    uses: HashMap<Var, usize>,
    registers: HashSet<Var>,
    vars: &'f [VarInfo],
}

impl Tidier<'_> {
    fn list(&self, stmts: &mut Vec<Stmt>) {
        let mut pending: HashMap<Var, Expr> = HashMap::new();
        let mut out = Vec::with_capacity(stmts.len());
        for mut s in stmts.drain(..) {
            s.exprs_mut().into_iter().for_each(|e| place(e, &mut pending));
            match s {
                Stmt::Let { var, value } if self.uses.get(&var) == Some(&1) && self.movable(var, &value) => {
                    pending.insert(var, value);
                }
                mut s => {
                    // What is used inside a loop or branch stays in front of it.
                    let mut inside = HashSet::new();
                    s.lists().into_iter().for_each(|list| mentioned(list, &mut inside));
                    let mut stay: Vec<Var> = pending.keys().copied().filter(|v| inside.contains(v)).collect();
                    stay.sort();
                    out.extend(
                        stay.into_iter().map(|var| Stmt::Let { var, value: pending.remove(&var).expect("a key") }),
                    );
                    s.lists_mut().into_iter().for_each(|list| self.list(list));
                    out.push(s);
                }
            }
        }
        *stmts = out;
    }

    fn movable(&self, var: Var, e: &Expr) -> bool {
        let mut ok = self.vars[var.0 as usize].ty != Ty::F32 || !rounds(e);
        e.visit(&mut |e| match e {
            Expr::Var(v) => ok &= !self.registers.contains(v),
            Expr::Load(a) => ok &= matches!(a.mem, Mem::Buffer(_)),
            // Loads that stay side by side can become one.
            Expr::LoadPack(_) => ok = false,
            // All lanes take part, so it may not come to where only some are.
            e => ok &= !e.across_lanes(),
        });
        ok
    }
}

/// Whether a float is computed here, and not only chosen, moved or negated.
fn rounds(e: &Expr) -> bool {
    matches!(e, Expr::Binary(..) | Expr::Fma(..) | Expr::Unary(UnOp::Sqrt | UnOp::Rint | UnOp::ToF32, _))
}

fn mentioned(stmts: &[Stmt], vars: &mut HashSet<Var>) {
    for s in stmts {
        for e in s.exprs() {
            e.visit(&mut |e| {
                if let Expr::Var(v) = e {
                    vars.insert(*v);
                }
            });
        }
        s.lists().into_iter().for_each(|list| mentioned(list, vars));
    }
}

/// Replaces the variables of pending values by the values.
fn place(e: &mut Expr, pending: &mut HashMap<Var, Expr>) {
    if let Expr::Var(v) = e
        && let Some(value) = pending.remove(v)
    {
        *e = value;
        return;
    }
    e.children_mut().into_iter().for_each(|child| place(child, pending));
}
