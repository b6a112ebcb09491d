//! All expressions of a kernel, for passes over them.
use super::{Axis, Block, Expr, Kernel, Kind, Node, Place, Stmt, Var};
use std::collections::HashSet;

impl Kernel {
    /// The outer parallel axes, and what is inside of them.
    pub fn nest(&self) -> (Vec<&Axis>, &[Stmt]) {
        let (mut axes, mut body) = (Vec::new(), &self.body[..]);
        while let [Stmt::Par { axis, body: inner }] = body {
            axes.push(axis);
            body = inner;
        }
        (axes, body)
    }

    /// Calls `f` for every expression of the body, those inside of others too.
    pub fn visit(&self, f: &mut impl FnMut(&Node)) {
        stmts(&self.body, f);
    }

    /// Calls `f` for every place in a buffer that is read or written.
    pub fn places(&self, f: &mut impl FnMut(&Place)) {
        self.visit(&mut |node| {
            if let Kind::Load(from) = &node.kind {
                f(from);
            }
        });
        stored(&self.body, f);
    }
}

impl Block {
    /// Calls `f` for every expression of the block, those inside of others too.
    pub fn visit(&self, f: &mut impl FnMut(&Node)) {
        block(self, f);
    }
}

fn stored(list: &[Stmt], f: &mut impl FnMut(&Place)) {
    for stmt in list {
        match stmt {
            Stmt::Let { .. } => {}
            Stmt::Store { place, .. } => f(place),
            Stmt::Par { body, .. } => stored(body, f),
            Stmt::Merge { part, next, .. } => [part, &next.stmts].into_iter().for_each(|list| stored(list, f)),
        }
    }
}

/// The variables that statements and expressions mention.
pub fn mentioned<'e>(list: &[Stmt], exprs: impl IntoIterator<Item = &'e Expr>) -> HashSet<Var> {
    let mut found = HashSet::new();
    let mut note = |e: &Node| match e.kind {
        Kind::Var(var) | Kind::At { array: var, .. } => drop(found.insert(var)),
        _ => {}
    };
    stmts(list, &mut note);
    exprs.into_iter().for_each(|e| node(e, &mut note));
    found
}

fn stmts(list: &[Stmt], f: &mut impl FnMut(&Node)) {
    for stmt in list {
        match stmt {
            Stmt::Let { value, .. } => node(value, f),
            Stmt::Par { axis, body } => {
                bounds(axis, f);
                stmts(body, f);
            }
            Stmt::Store { place: to, value } => {
                place(to, f);
                node(value, f);
            }
            Stmt::Merge { axis, part, state, next } => {
                bounds(axis, f);
                stmts(part, f);
                state.iter().for_each(|(_, first)| node(first, f));
                stmts(&next.stmts, f);
                next.values.iter().for_each(|value| node(value, f));
            }
        }
    }
}

fn node(e: &Expr, f: &mut impl FnMut(&Node)) {
    f(e);
    match &e.kind {
        Kind::Int(_) | Kind::Float(_) | Kind::Bool(_) | Kind::Var(_) => {}
        Kind::Load(from) => place(from, f),
        Kind::At { index, .. } => node(index, f),
        Kind::Unary(_, a) => node(a, f),
        Kind::Binary(_, a, b) => [a, b].into_iter().for_each(|e| node(e, f)),
        Kind::Fma(a, b, c) | Kind::Select(a, b, c) => [a, b, c].into_iter().for_each(|e| node(e, f)),
        Kind::Reduce { axis, body, .. } | Kind::Map { axis, body } | Kind::Sum { axis, step: body, .. } => {
            bounds(axis, f);
            block(body, f);
        }
    }
}

fn block(block: &Block, f: &mut impl FnMut(&Node)) {
    stmts(&block.stmts, f);
    node(&block.value, f);
}

fn bounds(axis: &Axis, f: &mut impl FnMut(&Node)) {
    node(&axis.lo, f);
    node(&axis.hi, f);
}

fn place(place: &Place, f: &mut impl FnMut(&Node)) {
    place.index.iter().chain(&place.at).for_each(|index| node(index, f));
}
