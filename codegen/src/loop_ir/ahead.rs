//! Loads that are an iteration ahead: what a loop reads of weights in its next iteration is under way while it computes this one.
use super::{Access, Bind, Expr, Func, Mem, Stmt, Ty, Var, VarInfo};
use crate::ir::BinOp;
use std::collections::HashMap;

/// Changes every innermost loop that loads numbers of packed weights, one a lane, in each iteration.
pub fn load_ahead(func: &mut Func) {
    let packed = func.layouts.iter().map(Option::is_some).collect();
    let mut pass = Pass { vars: std::mem::take(&mut func.vars), packed };
    pass.list(&mut func.body);
    func.vars = pass.vars;
}

struct Pass {
    vars: Vec<VarInfo>,
    /// Whether each buffer is packed weights.
    packed: Vec<bool>,
}

/// A loop, taken apart.
struct Loop {
    var: Var,
    lo: Expr,
    hi: Expr,
    body: Vec<Stmt>,
}

impl Pass {
    fn list(&mut self, stmts: &mut Vec<Stmt>) {
        for mut s in std::mem::take(stmts) {
            s.lists_mut().into_iter().for_each(|list| self.list(list));
            match s {
                Stmt::For { bind: Bind::Serial, var, lo, hi, step: 1, body } if body.iter().all(plain) => {
                    stmts.extend(self.rotated(Loop { var, lo, hi, body }));
                }
                s => stmts.push(s),
            }
        }
    }

    /// The loop with its loads in registers that are filled before it and, for the next iteration, in it.
    fn rotated(&mut self, mut l: Loop) -> Vec<Stmt> {
        let mut registers: HashMap<Var, Var> = HashMap::new();
        let mut out = Vec::new();
        for s in &l.body {
            if let Some((var, zero)) = self.weights(s) {
                let info = self.vars[var.0 as usize].clone();
                let register = self.var(VarInfo { name: "next".into(), ..info });
                registers.insert(var, register);
                out.push(Stmt::Reg { var: register, init: zero });
            }
        }
        let index = self.vars[l.var.0 as usize].clone();
        let (first, next) = (self.var(index.clone()), self.var(index));
        let below = |a: Expr| binary(BinOp::Lt, a, l.hi.clone());
        let fill = |pass: &mut Pass, index: Var, value: Expr| {
            let mut then = vec![Stmt::Let { var: index, value: value.clone() }];
            then.extend(pass.loads(&l, index, &registers));
            Stmt::If { cond: below(value), then, other: Vec::new() }
        };
        if registers.is_empty() {
            let Loop { var, lo, hi, body } = l;
            return vec![Stmt::For { bind: Bind::Serial, var, lo, hi, step: 1, body }];
        }
        out.push(fill(self, first, l.lo.clone()));
        let ahead = fill(self, next, binary(BinOp::Add, Expr::Var(l.var), Expr::Int(1)));
        let mut body: Vec<Stmt> = Vec::new();
        for s in &mut l.body {
            if let Stmt::Let { var, value } = s
                && let Some(register) = registers.get(var)
            {
                *value = Expr::Var(*register);
                body.push(s.clone());
            }
        }
        body.push(ahead);
        body.extend(l.body.drain(..).filter(|s| !matches!(s, Stmt::Let { var, .. } if registers.contains_key(var))));
        out.push(Stmt::For { bind: Bind::Serial, var: l.var, lo: l.lo, hi: l.hi, step: 1, body });
        out
    }

    fn var(&mut self, info: VarInfo) -> Var {
        self.vars.push(info);
        Var(self.vars.len() as u32 - 1)
    }

    /// The variable of a statement that loads one number of weights a lane, and a zero of its type.
    fn weights(&self, s: &Stmt) -> Option<(Var, Expr)> {
        let Stmt::Let { var, value: Expr::Load(from) | Expr::LoadPack(from) } = s else { return None };
        let Access { mem: Mem::Buffer(buffer), lane_stride: 1.., .. } = from else { return None };
        let zero = match self.vars[var.0 as usize].ty {
            Ty::F32 => Expr::Float(0.0),
            Ty::I32 => Expr::Int(0),
            Ty::U8x4 => Expr::Splat4(Box::new(Expr::Int(0))),
            _ => return None,
        };
        self.packed[*buffer].then_some((*var, zero))
    }

    /// What loads the numbers of another iteration into the registers, and what its places are computed by.
    fn loads(&mut self, l: &Loop, index: Var, registers: &HashMap<Var, Var>) -> Vec<Stmt> {
        let mut needed: Vec<Var> = Vec::new();
        let mut slice: Vec<&Stmt> = Vec::new();
        for s in l.body.iter().rev() {
            let Stmt::Let { var, value } = s else { continue };
            if registers.contains_key(var) || needed.contains(var) {
                value.visit(&mut |e| needed.extend(if let Expr::Var(v) = e { Some(*v) } else { None }));
                slice.push(s);
            }
        }
        let mut names = HashMap::from([(l.var, index)]);
        let mut out = Vec::new();
        for s in slice.into_iter().rev() {
            let Stmt::Let { var, value } = s else { unreachable!("selected above") };
            let mut value = value.clone();
            rename(&mut value, &names);
            out.push(match registers.get(var) {
                Some(register) => Stmt::Set { var: *register, value },
                None => {
                    let copy = self.var(self.vars[var.0 as usize].clone());
                    names.insert(*var, copy);
                    Stmt::Let { var: copy, value }
                }
            });
        }
        out
    }
}

/// Whether a statement may stand in a loop that is changed.
fn plain(s: &Stmt) -> bool {
    matches!(s, Stmt::Let { .. } | Stmt::Set { .. } | Stmt::Store { .. })
}

fn rename(e: &mut Expr, names: &HashMap<Var, Var>) {
    if let Expr::Var(var) = e
        && let Some(name) = names.get(var)
    {
        *var = *name;
    }
    e.children_mut().into_iter().for_each(|child| rename(child, names));
}

fn binary(op: BinOp, a: Expr, b: Expr) -> Expr {
    Expr::Binary(op, Box::new(a), Box::new(b))
}
