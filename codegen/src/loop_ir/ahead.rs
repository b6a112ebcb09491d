//! Loads that are an iteration ahead: what a loop reads of weights in its next iteration is under way while it computes this one.
use super::{Access, Bind, Expr, Func, Mem, Stmt, Ty, Var, VarInfo};
use crate::ir::BinOp;
use std::collections::{HashMap, HashSet};

/// Changes every innermost loop that loads numbers of packed weights, one a lane, in each iteration. A loop stays as it is where
/// what it loads, or from where, depends on what it changes itself.
pub fn load_ahead(func: &mut Func) {
    let packed = |buffer| func.layouts.get(buffer).is_some_and(Option::is_some);
    let packed = (0..func.buffers.len()).map(packed).collect();
    let constant = func.buffers.iter().map(|buffer| !buffer.written).collect();
    let mut pass = Pass { vars: std::mem::take(&mut func.vars), packed, constant };
    pass.list(&mut func.body);
    func.vars = pass.vars;
}

struct Pass {
    vars: Vec<VarInfo>,
    /// Whether each buffer is packed weights,
    packed: Vec<bool>,
    /// and whether it is only read.
    constant: Vec<bool>,
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
        let weights: Vec<(Var, Expr)> = l.body.iter().filter_map(|s| self.weights(s)).collect();
        let slice = slice(&l.body, weights.iter().map(|(var, _)| *var).collect());
        if weights.is_empty() || !self.is_constant(&l, &slice) {
            let Loop { var, lo, hi, body } = l;
            return vec![Stmt::For { bind: Bind::Serial, var, lo, hi, step: 1, body }];
        }
        let mut registers: HashMap<Var, Var> = HashMap::new();
        let mut out = Vec::new();
        for (var, zero) in weights {
            let info = self.vars[var.0 as usize].clone();
            let register = self.var(VarInfo { name: "next".into(), ..info });
            registers.insert(var, register);
            out.push(Stmt::Reg { var: register, init: zero });
        }
        let index = self.vars[l.var.0 as usize].clone();
        let (first, next) = (self.var(index.clone()), self.var(index));
        let fill = |pass: &mut Pass, index: Var, value: Expr| {
            let mut then = vec![Stmt::Let { var: index, value: value.clone() }];
            then.extend(pass.loads(&slice, (l.var, index), &registers));
            Stmt::If { cond: binary(BinOp::Lt, value, l.hi.clone()), then, other: Vec::new() }
        };
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

    /// Whether a slice of the loop, and its end, give the same an iteration early: they depend on no register that the loop
    /// changes, and on no memory that anything changes.
    fn is_constant(&self, l: &Loop, slice: &[(Var, Expr)]) -> bool {
        let changed = |var: &Var| l.body.iter().any(|s| matches!(s, Stmt::Set { var: set, .. } if set == var));
        slice.iter().map(|(_, value)| value).chain([&l.hi]).all(|e| {
            let mut same = true;
            e.visit(&mut |e| match e {
                Expr::Var(var) => same &= !changed(var),
                Expr::Load(a) | Expr::LoadPack(a) => {
                    same &= matches!(a.mem, Mem::Buffer(buffer) if self.constant[buffer]);
                }
                _ => {}
            });
            same
        })
    }

    /// A slice of a loop for another index: it loads numbers into the registers.
    fn loads(&mut self, slice: &[(Var, Expr)], (var, index): (Var, Var), registers: &HashMap<Var, Var>) -> Vec<Stmt> {
        let mut names = HashMap::from([(var, index)]);
        let mut out = Vec::new();
        for (var, value) in slice {
            let mut value = value.clone();
            rename(&mut value, &names);
            let name = match registers.get(var) {
                Some(register) => {
                    out.push(Stmt::Set { var: *register, value });
                    *register
                }
                None => {
                    let copy = self.var(self.vars[var.0 as usize].clone());
                    out.push(Stmt::Let { var: copy, value });
                    copy
                }
            };
            names.insert(*var, name);
        }
        out
    }
}

/// The values in a loop's body that these are computed from, and they themselves, in their order.
fn slice(body: &[Stmt], mut needed: HashSet<Var>) -> Vec<(Var, Expr)> {
    let mut slice = Vec::new();
    for s in body.iter().rev() {
        if let Stmt::Let { var, value } = s
            && needed.contains(var)
        {
            value.visit(&mut |e| needed.extend(if let Expr::Var(var) = e { Some(*var) } else { None }));
            slice.push((*var, value.clone()));
        }
    }
    slice.reverse();
    slice
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
