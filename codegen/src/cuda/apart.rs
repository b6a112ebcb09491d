//! Loops whose iterations store to an array of a group, each to elements of its own: the lanes meet before and after the loop,
//! not around every store.
use super::stmt::Printer;
use crate::ir::BinOp;
use crate::loop_ir::{Access, Expr, Mem, Stmt, Var};
use std::collections::HashMap;

impl Printer<'_> {
    /// Whether no element of an array that the loop stores to is touched by two of its iterations, nor by two lanes.
    pub(super) fn keeps_apart(&self, (var, step): (Var, i32), body: &[Stmt]) -> bool {
        let mut found: Vec<Mem> = Vec::new();
        let names = Names { loop_var: var, body: names(body), offsets: &self.offsets };
        for s in body {
            match s {
                s if meets(s) => return false,
                Stmt::Store { to, .. } if is_array(to) => {
                    let own = to.offset.is_none() && i64::from(to.lane_stride) == to.scalar.bytes() as i64;
                    let far = names.growth(&to.addr).and_then(|bytes| bytes.checked_mul(step.into()));
                    let lanes = self.func.width as i64 * i64::from(to.lane_stride);
                    if !own || far.is_none_or(|far| far < lanes) || found.contains(&to.mem) {
                        return false;
                    }
                    found.push(to.mem);
                }
                _ => {}
            }
        }
        !found.is_empty() && !body.iter().any(|s| touches(s, &found))
    }
}

/// Whether lanes meet others in a statement, or copy.
fn meets(s: &Stmt) -> bool {
    matches!(s, Stmt::Barrier | Stmt::Copy { .. } | Stmt::Await | Stmt::Arrive { .. } | Stmt::AwaitArrivals { .. })
}

fn is_array(access: &Access) -> bool {
    matches!(access.mem, Mem::Local(_) | Mem::Shared(_))
}

/// Whether a statement loads from one of these, or stores to any array inside of a loop or a branch.
fn touches(s: &Stmt, arrays: &[Mem]) -> bool {
    let mut loads = false;
    let mut note = |e: &Expr| loads |= matches!(e, Expr::Load(a) | Expr::LoadPack(a) if arrays.contains(&a.mem));
    s.exprs().into_iter().for_each(|e| e.visit(&mut note));
    let deeper = |s: &Stmt| {
        let stores = matches!(s, Stmt::Store { to, .. } if is_array(to));
        stores || meets(s) || touches(s, arrays)
    };
    loads || s.lists().into_iter().flatten().any(deeper)
}

/// What the statements of a list themselves name; nothing for registers, which change.
fn names(body: &[Stmt]) -> HashMap<Var, Option<&Expr>> {
    let mut names = HashMap::new();
    for s in body {
        match s {
            Stmt::Let { var, value } => {
                names.insert(*var, Some(value));
            }
            Stmt::Reg { var, .. } => {
                names.insert(*var, None);
            }
            _ => {}
        }
    }
    body.iter().for_each(|s| forget_changed(s, &mut names));
    names
}

fn forget_changed(s: &Stmt, names: &mut HashMap<Var, Option<&Expr>>) {
    if let Stmt::Set { var, .. } = s {
        names.insert(*var, None);
    }
    s.lists().into_iter().flatten().for_each(|s| forget_changed(s, names));
}

/// What variables stand for in the body of a loop.
struct Names<'p> {
    loop_var: Var,
    body: HashMap<Var, Option<&'p Expr>>,
    offsets: &'p HashMap<Var, &'p Expr>,
}

impl Names<'_> {
    /// By how much an address grows when the loop's variable grows by 1, where that is a constant.
    fn growth(&self, e: &Expr) -> Option<i64> {
        match e {
            Expr::Int(_) | Expr::Long(_) => Some(0),
            Expr::Var(var) if *var == self.loop_var => Some(1),
            Expr::Var(var) => match (self.body.get(var), self.offsets.get(var)) {
                (Some(value), _) => self.growth((*value)?),
                (None, Some(value)) => self.growth(value),
                // It was there before the loop.
                (None, None) => Some(0),
            },
            Expr::Widen(a) => self.growth(a),
            Expr::Binary(BinOp::Add, a, b) => self.growth(a)?.checked_add(self.growth(b)?),
            Expr::Binary(BinOp::Sub, a, b) => self.growth(a)?.checked_sub(self.growth(b)?),
            Expr::Binary(BinOp::Mul, a, b) => {
                let (x, y) = (self.growth(a)?, self.growth(b)?);
                match (constant(a), constant(b)) {
                    (Some(n), _) => y.checked_mul(n),
                    (_, Some(n)) => x.checked_mul(n),
                    _ if (x, y) == (0, 0) => Some(0),
                    _ => None,
                }
            }
            _ => None,
        }
    }
}

fn constant(e: &Expr) -> Option<i64> {
    match e {
        Expr::Int(n) => Some((*n).into()),
        Expr::Long(n) => Some(*n),
        _ => None,
    }
}
