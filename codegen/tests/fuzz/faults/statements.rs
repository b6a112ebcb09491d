//! Faults in statements: loops that are too short, registers that keep what they had, stores that go wrong.
use super::{Fault, inner_first, statements};
use kgen::ir::{BinOp, Scalar, UnOp};
use kgen::loop_ir::{Bind, Expr, Func, Mem, Owner, Stmt, Ty, Var};
use std::collections::HashMap;

pub const FAULTS: &[Fault] = &[
    Fault { name: "a loop ends one early", plant: short_loop },
    Fault { name: "what is left after whole registers is not done", plant: missing_tail },
    Fault { name: "a loop runs backwards", plant: backwards },
    Fault { name: "the edge of a tile is not guarded", plant: unguarded_tile },
    Fault { name: "a running value is not reset for the next round", plant: not_reset },
    Fault { name: "a maximum starts at 0", plant: maximum_from_zero },
    Fault { name: "a store takes the neighbour's lane", plant: wrong_lane },
    Fault { name: "a half is truncated when it is stored", plant: truncated_half },
    Fault { name: "a value is taken for another that looks alike", plant: stale_value },
    Fault { name: "the state of a merge is replaced one by one", plant: not_at_once },
    Fault { name: "the last update of a round is lost", plant: lost_update },
    Fault { name: "a branch takes the other side", plant: swapped_branch },
    Fault { name: "the members of a team do not meet", plant: no_barrier },
    Fault { name: "a copy is not waited for", plant: no_await },
    Fault { name: "every member of a team stores", plant: all_store },
    Fault { name: "a merge does not wait for its parts", plant: no_arrivals },
    Fault { name: "every member of a team arrives", plant: all_arrive },
    Fault { name: "what a map of the team had is overwritten too early", plant: no_first_barrier },
];

fn each(func: &mut Func, mut f: impl FnMut(&mut Stmt) -> bool) -> usize {
    statements(&mut func.body, &mut |list| list.iter_mut().map(|s| usize::from(f(s))).sum())
}

fn short_loop(func: &mut Func) -> usize {
    each(func, |s| match s {
        Stmt::For { bind: Bind::Serial, hi, step: 1, .. } => {
            *hi = Expr::Binary(BinOp::Sub, Box::new(hi.clone()), Box::new(Expr::Int(1)));
            true
        }
        _ => false,
    })
}

/// A loop over whole registers is followed by one that begins where it ends.
fn missing_tail(func: &mut Func) -> usize {
    statements(&mut func.body, &mut |list| {
        let before = list.len();
        let follows = |a: &Stmt, b: &Stmt| match (a, b) {
            (Stmt::For { hi, step: 2.., .. }, Stmt::For { lo, step: 1, .. }) => format!("{hi:?}") == format!("{lo:?}"),
            _ => false,
        };
        for i in (1..list.len()).rev() {
            if follows(&list[i - 1], &list[i]) {
                list.remove(i);
            }
        }
        before - list.len()
    })
}

fn backwards(func: &mut Func) -> usize {
    each(func, |s| {
        let Stmt::For { bind: Bind::Serial, var, lo, hi, step: 1, body } = s else { return false };
        let last = Expr::Binary(BinOp::Sub, Box::new(hi.clone()), Box::new(Expr::Int(1)));
        let sum = Expr::Binary(BinOp::Add, Box::new(lo.clone()), Box::new(last));
        let mirrored = Expr::Binary(BinOp::Sub, Box::new(sum), Box::new(Expr::Var(*var)));
        statements(body, &mut |list| {
            list.iter_mut().flat_map(Stmt::exprs_mut).for_each(|e| replace(e, *var, &mirrored));
            0
        });
        true
    })
}

/// Puts `by` where `var` is used.
fn replace(e: &mut Expr, var: Var, by: &Expr) {
    inner_first(e, &mut |e| {
        if matches!(e, Expr::Var(v) if *v == var) {
            *e = by.clone();
        }
    });
}

/// A branch that asks whether a whole tile is left.
fn unguarded_tile(func: &mut Func) -> usize {
    each(func, |s| match s {
        Stmt::If { cond: cond @ Expr::Binary(BinOp::Le, ..), other, .. } if !other.is_empty() => {
            *cond = Expr::Bool(true);
            true
        }
        _ => false,
    })
}

fn not_reset(func: &mut Func) -> usize {
    statements(&mut func.body, &mut |list| {
        let mut moved = 0;
        for i in (0..list.len()).rev() {
            let Stmt::For { bind: Bind::Serial, body, .. } = &mut list[i] else { continue };
            let constant = |s: &Stmt| matches!(s, Stmt::Reg { init: Expr::Int(_) | Expr::Float(_), .. });
            let (registers, rest): (Vec<Stmt>, Vec<Stmt>) = body.drain(..).partition(constant);
            *body = rest;
            moved += registers.len();
            list.splice(i..i, registers);
        }
        moved
    })
}

fn maximum_from_zero(func: &mut Func) -> usize {
    each(func, |s| match s {
        Stmt::Reg { init: Expr::Float(first), .. } if *first == f32::NEG_INFINITY => {
            *first = 0.0;
            true
        }
        _ => false,
    })
}

fn wrong_lane(func: &mut Func) -> usize {
    each(func, |s| match s {
        Stmt::Store { to, value, .. } if to.lane_stride != 0 => {
            *value = Expr::Shuffle { mask: 1, value: Box::new(value.clone()) };
            true
        }
        _ => false,
    })
}

fn truncated_half(func: &mut Func) -> usize {
    each(func, |s| match s {
        Stmt::Store { to, value, .. } if to.scalar == Scalar::F16 => {
            let bits = Box::new(Expr::Unary(UnOp::Bits, Box::new(value.clone())));
            let kept = Expr::Binary(BinOp::And, bits, Box::new(Expr::Int(!0x1fff)));
            *value = Expr::Unary(UnOp::FromBits, Box::new(kept));
            true
        }
        _ => false,
    })
}

/// Of two loads of one memory in a list, the second is not done.
fn stale_value(func: &mut Func) -> usize {
    let (mut replaced, vars) = (0, func.vars.clone());
    statements(&mut func.body, &mut |list| {
        let mut seen: HashMap<(Mem, Ty, bool), Var> = HashMap::new();
        for s in list.iter_mut() {
            let Stmt::Let { var, value } = s else { continue };
            let Expr::Load(access) = &*value else { continue };
            let info = &vars[var.0 as usize];
            match seen.get(&(access.mem, info.ty, info.varying)) {
                Some(other) => {
                    *value = Expr::Var(*other);
                    replaced += 1;
                }
                None => drop(seen.insert((access.mem, info.ty, info.varying), *var)),
            }
        }
        0
    });
    replaced
}

/// A copy of a register is taken for the register itself.
fn not_at_once(func: &mut Func) -> usize {
    let mut registers = Vec::new();
    each(func, |s| {
        if let Stmt::Reg { var, .. } = s {
            registers.push(*var);
        }
        false
    });
    statements(&mut func.body, &mut |list| {
        let copy = |s: &Stmt| match s {
            Stmt::Let { var, value: Expr::Var(of) } if registers.contains(of) => Some((*var, *of)),
            _ => None,
        };
        let copies: Vec<(Var, Var)> = list.iter().filter_map(copy).collect();
        for (var, of) in &copies {
            list.iter_mut().flat_map(Stmt::exprs_mut).for_each(|e| replace(e, *var, &Expr::Var(*of)));
        }
        copies.len()
    })
}

fn lost_update(func: &mut Func) -> usize {
    each(func, |s| match s {
        Stmt::For { body, .. } if matches!(body.last(), Some(Stmt::Set { .. })) => {
            body.pop();
            true
        }
        _ => false,
    })
}

fn swapped_branch(func: &mut Func) -> usize {
    each(func, |s| match s {
        Stmt::If { then, other, .. } if !other.is_empty() => {
            std::mem::swap(then, other);
            true
        }
        _ => false,
    })
}

fn no_barrier(func: &mut Func) -> usize {
    without(func, |s| matches!(s, Stmt::Barrier))
}

fn no_arrivals(func: &mut Func) -> usize {
    each(func, |s| match s {
        Stmt::AwaitArrivals { arrivals, .. } => {
            *arrivals = Expr::Int(0);
            true
        }
        _ => false,
    })
}

fn no_await(func: &mut Func) -> usize {
    without(func, |s| matches!(s, Stmt::Await))
}

fn without(func: &mut Func, which: impl Fn(&Stmt) -> bool) -> usize {
    statements(&mut func.body, &mut |list| {
        let before = list.len();
        list.retain(|s| !which(s));
        before - list.len()
    })
}

/// A branch that only the first member takes.
fn all_store(func: &mut Func) -> usize {
    let mut member = None;
    each(func, |s| {
        if let Stmt::For { bind: Bind::Team, var, .. } = s {
            member = Some(*var);
        }
        false
    });
    let asks_who = |cond: &Expr| match cond {
        Expr::Binary(BinOp::Eq, a, _) => matches!(**a, Expr::Var(v) if Some(v) == member),
        _ => false,
    };
    each(func, |s| match s {
        Stmt::If { cond, .. } if asks_who(cond) => {
            *cond = Expr::Bool(true);
            true
        }
        _ => false,
    })
}

fn all_arrive(func: &mut Func) -> usize {
    each(func, |s| match s {
        Stmt::Arrive { by: by @ Owner::Team, .. } => {
            *by = Owner::Worker;
            true
        }
        _ => false,
    })
}

/// The barriers before loops that a barrier follows.
fn no_first_barrier(func: &mut Func) -> usize {
    statements(&mut func.body, &mut |list| {
        let before = list.len();
        for i in (2..list.len()).rev() {
            let around = matches!((&list[i - 2], &list[i]), (Stmt::Barrier, Stmt::Barrier));
            if around && matches!(list[i - 1], Stmt::For { .. }) {
                list.remove(i - 2);
            }
        }
        before - list.len()
    })
}
