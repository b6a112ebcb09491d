//! Loads that are iterations ahead: what a loop reads of weights in its next iterations is under way while it computes this one, and
//! what is computed once at most has its weights loaded before.
use super::{Access, Bind, Expr, Func, Mem, Stmt, Ty, Var, VarInfo};
use crate::ir::BinOp;
use std::collections::{HashMap, HashSet};

/// Changes every innermost loop, and every branch that has no other side, that loads numbers of packed weights, one a lane, in each iteration: they are loaded `depth`
/// iterations before they are needed, the first ones before members of a team copy rows and meet. A loop stays as it is where
/// what it loads, or from where, depends on what it changes itself.
pub fn load_ahead(func: &mut Func, depth: usize) {
    let packed = |buffer| func.layouts.get(buffer).is_some_and(Option::is_some);
    let packed = (0..func.buffers.len()).map(packed).collect();
    let constant = func.buffers.iter().map(|buffer| !buffer.written).collect();
    let mut pass = Pass { vars: std::mem::take(&mut func.vars), packed, constant, depth: depth as i32 };
    pass.list(&mut func.body);
    func.vars = pass.vars;
}

struct Pass {
    vars: Vec<VarInfo>,
    /// Whether each buffer is packed weights,
    packed: Vec<bool>,
    /// and whether it is only read.
    constant: Vec<bool>,
    depth: i32,
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
                    let (first, rotated) = self.rotated(Loop { var, lo, hi, body });
                    begin_early(stmts, first);
                    stmts.push(rotated);
                }
                Stmt::If { cond, then, other } if other.is_empty() && then.iter().all(plain) => {
                    let (first, then) = self.lifted(&cond, then);
                    begin_early(stmts, first);
                    stmts.push(Stmt::If { cond, then, other });
                }
                s => stmts.push(s),
            }
        }
    }

    /// What fills registers with the loads of the first iterations, and the loop, which fills them for later ones. Each set of
    /// registers is filled again as soon as it was read.
    fn rotated(&mut self, l: Loop) -> (Vec<Stmt>, Stmt) {
        let weights: Vec<(Var, Expr)> = l.body.iter().filter_map(|s| self.weights(s)).collect();
        let slice = slice(&l.body, weights.iter().map(|(var, _)| *var).collect());
        if weights.is_empty() || !self.is_constant(&l.body, slice.iter().map(|(_, value)| value).chain([&l.hi])) {
            let Loop { var, lo, hi, body } = l;
            return (Vec::new(), Stmt::For { bind: Bind::Serial, var, lo, hi, step: 1, body });
        }
        let (mut first, mut body) = (Vec::new(), Vec::new());
        let base = self.like(l.var);
        for k in 0..self.depth {
            let (new, registers) = self.registers(&weights);
            first.extend(new);
            first.push(self.fill(&l, &slice, &registers, plus(l.lo.clone(), k)));
            let index = plus(Expr::Var(base), k);
            let iteration = self.iteration(&l, &slice, &registers, index.clone());
            match k {
                0 => body = iteration,
                _ => body.push(Stmt::If { cond: below(index, &l.hi), then: iteration, other: Vec::new() }),
            }
        }
        (first, Stmt::For { bind: Bind::Serial, var: base, lo: l.lo, hi: l.hi, step: self.depth, body })
    }

    /// What fills registers with the loads of a branch, under its condition, and the branch, which uses them.
    fn lifted(&mut self, cond: &Expr, mut then: Vec<Stmt>) -> (Vec<Stmt>, Vec<Stmt>) {
        let weights: Vec<(Var, Expr)> = then.iter().filter_map(|s| self.weights(s)).collect();
        let slice = slice(&then, weights.iter().map(|(var, _)| *var).collect());
        if weights.is_empty() || !self.is_constant(&then, slice.iter().map(|(_, value)| value).chain([cond])) {
            return (Vec::new(), then);
        }
        let (mut first, registers) = self.registers(&weights);
        let loads = self.loads(&slice, HashMap::new(), &registers);
        first.push(Stmt::If { cond: cond.clone(), then: loads, other: Vec::new() });
        for s in &mut then {
            if let Stmt::Let { var, value } = s
                && let Some(register) = registers.get(var)
            {
                *value = Expr::Var(*register);
            }
        }
        (first, then)
    }

    /// A register for each load, by the variable that it is loaded into.
    fn registers(&mut self, weights: &[(Var, Expr)]) -> (Vec<Stmt>, HashMap<Var, Var>) {
        let (mut first, mut registers) = (Vec::new(), HashMap::new());
        for (var, zero) in weights {
            let info = self.vars[var.0 as usize].clone();
            let register = self.var(VarInfo { name: "next".into(), ..info });
            registers.insert(*var, register);
            first.push(Stmt::Reg { var: register, init: zero.clone() });
        }
        (first, registers)
    }

    /// Loads for the iteration of an index, where there is one.
    fn fill(&mut self, l: &Loop, slice: &[(Var, Expr)], registers: &HashMap<Var, Var>, index: Expr) -> Stmt {
        let var = self.like(l.var);
        let mut then = vec![Stmt::Let { var, value: index.clone() }];
        then.extend(self.loads(slice, HashMap::from([(l.var, var)]), registers));
        Stmt::If { cond: below(index, &l.hi), then, other: Vec::new() }
    }

    /// An iteration with what is in the registers, which fills them again.
    fn iteration(&mut self, l: &Loop, slice: &[(Var, Expr)], registers: &HashMap<Var, Var>, index: Expr) -> Vec<Stmt> {
        let var = self.like(l.var);
        let mut names = HashMap::from([(l.var, var)]);
        let (mut loaded, mut rest) = (vec![Stmt::Let { var, value: index }], Vec::new());
        for s in &l.body {
            let mut s = s.clone();
            s.exprs_mut().into_iter().for_each(|e| rename(e, &names));
            let Stmt::Let { var: old, value } = s else {
                rest.push(s);
                continue;
            };
            let new = self.like(old);
            names.insert(old, new);
            match registers.get(&old) {
                Some(register) => loaded.push(Stmt::Let { var: new, value: Expr::Var(*register) }),
                None => rest.push(Stmt::Let { var: new, value }),
            }
        }
        loaded.push(self.fill(l, slice, registers, plus(Expr::Var(var), self.depth)));
        loaded.extend(rest);
        loaded
    }

    /// A variable like another one.
    fn like(&mut self, var: Var) -> Var {
        self.var(self.vars[var.0 as usize].clone())
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

    /// Whether these give the same before statements: they depend on no register that those change, and on no memory that
    /// anything changes.
    fn is_constant<'e>(&self, stmts: &[Stmt], mut exprs: impl Iterator<Item = &'e Expr>) -> bool {
        let changed = |var: &Var| stmts.iter().any(|s| matches!(s, Stmt::Set { var: set, .. } if set == var));
        exprs.all(|e| {
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

    /// A slice under other names, such as that of another index: it loads numbers into the registers.
    fn loads(
        &mut self,
        slice: &[(Var, Expr)],
        mut names: HashMap<Var, Var>,
        registers: &HashMap<Var, Var>,
    ) -> Vec<Stmt> {
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

fn plus(e: Expr, n: i32) -> Expr {
    if n == 0 { e } else { binary(BinOp::Add, e, Expr::Int(n)) }
}

fn below(index: Expr, hi: &Expr) -> Expr {
    binary(BinOp::Lt, index, hi.clone())
}

/// Puts the first loads of a loop at the end of a list, or in front of the first copy or meeting there, with the names that they
/// are made of: it takes a while until those are done.
fn begin_early(stmts: &mut Vec<Stmt>, first: Vec<Stmt>) {
    let mut needed = HashSet::new();
    first.iter().for_each(|s| uses(s, &mut needed));
    let (mut place, mut moved, mut left) = (None, Vec::new(), Vec::new());
    for (i, s) in stmts.iter().enumerate().rev() {
        match s {
            Stmt::Let { var, value } if needed.contains(var) => {
                let mut pure = true;
                value.visit(&mut |e| {
                    pure &= !matches!(e, Expr::Load(_) | Expr::LoadPack(_) | Expr::Shuffle { .. } | Expr::First(_))
                });
                if !pure {
                    break;
                }
                value.visit(&mut |e| needed.extend(if let Expr::Var(var) = e { Some(*var) } else { None }));
                moved.push(s.clone());
                continue;
            }
            Stmt::Reg { var, .. } | Stmt::Set { var, .. } if needed.contains(var) => break,
            s if sets(s, &needed) => break,
            _ => {}
        }
        left.push(s.clone());
        if waits(s) {
            place = Some((i, moved.len(), left.len()));
        }
    }
    let Some((place, moved_then, left_then)) = place else {
        stmts.extend(first);
        return;
    };
    moved.truncate(moved_then);
    left.truncate(left_then);
    stmts.truncate(place);
    stmts.extend(moved.into_iter().rev());
    stmts.extend(first);
    stmts.extend(left.into_iter().rev());
}

/// The variables that a statement reads.
fn uses(s: &Stmt, found: &mut HashSet<Var>) {
    let mut note = |e: &Expr| found.extend(if let Expr::Var(var) = e { Some(*var) } else { None });
    s.exprs().into_iter().for_each(|e| e.visit(&mut note));
    s.lists().into_iter().flatten().for_each(|s| uses(s, found));
}

/// Whether a statement changes one of these inside.
fn sets(s: &Stmt, vars: &HashSet<Var>) -> bool {
    let set = |s: &Stmt| matches!(s, Stmt::Set { var, .. } if vars.contains(var));
    s.lists().into_iter().flatten().any(|s| set(s) || sets(s, vars))
}

/// Whether members copy or meet in a statement.
fn waits(s: &Stmt) -> bool {
    let own = matches!(s, Stmt::Copy { .. } | Stmt::Await | Stmt::Barrier);
    own || s.lists().into_iter().flatten().any(waits)
}
