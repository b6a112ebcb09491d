//! Which variables expressions and statements mention.
use super::{Axis, Block, Expr, Kind, Stmt, Var};
use std::collections::HashSet;

/// Adds the variables that an expression mentions.
pub fn expr(e: &Expr, out: &mut HashSet<Var>) {
    let mut all = |es: &[&Expr]| es.iter().for_each(|e| expr(e, out));
    match &e.kind {
        Kind::Int(_) | Kind::Float(_) | Kind::Bool(_) => {}
        Kind::Var(v) => {
            out.insert(*v);
        }
        Kind::Load(place) => place.index.iter().chain(&place.at).for_each(|e| expr(e, out)),
        Kind::At { array, index } => {
            out.insert(*array);
            expr(index, out);
        }
        Kind::Unary(_, a) => all(&[a]),
        Kind::Binary(_, a, b) => all(&[a, b]),
        Kind::Fma(a, b, c) | Kind::Select(a, b, c) => all(&[a, b, c]),
        Kind::Reduce { axis, body, .. } | Kind::Map { axis, body } => over(axis, body, out),
        Kind::Sum { axis, step, .. } => over(axis, step, out),
    }
}

/// Adds the variables that a statement mentions.
pub fn stmt(s: &Stmt, out: &mut HashSet<Var>) {
    match s {
        Stmt::Let { value, .. } => expr(value, out),
        Stmt::Store { place, value } => {
            place.index.iter().chain(&place.at).chain([value]).for_each(|e| expr(e, out));
        }
        Stmt::Par { axis, body } => {
            [&axis.lo, &axis.hi].into_iter().for_each(|e| expr(e, out));
            body.iter().for_each(|s| stmt(s, out));
        }
        Stmt::Merge { axis, part, state, next } => {
            let starts = state.iter().map(|(_, e)| e);
            [&axis.lo, &axis.hi].into_iter().chain(starts).chain(&next.values).for_each(|e| expr(e, out));
            part.iter().chain(&next.stmts).for_each(|s| stmt(s, out));
        }
    }
}

fn over(axis: &Axis, body: &Block, out: &mut HashSet<Var>) {
    [&axis.lo, &axis.hi, &body.value].into_iter().for_each(|e| expr(e, out));
    body.stmts.iter().for_each(|s| stmt(s, out));
}
