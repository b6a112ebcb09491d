//! Proofs that an index lies inside its extent, for extents that are known only at run time.
//!
//! What must not be negative is written as a linear form over sizes, index variables and opaque terms (quotients, minima);
//! index variables are replaced by their bounds, quotients by theirs, until only sizes are left.
use super::{Checked, Checker, Elem, int, range};
use crate::diagnostic::{Code, Diagnostic};
use crate::ir::{Axis, BinOp, Expr, Kind, Span, Ty, UnOp, Var};
use crate::text;
use std::cell::Cell;
use std::collections::HashMap;

/// Most replacements in one proof.
const STEPS: usize = 24;

/// Most forms that one proof looks at.
const ATTEMPTS: usize = 4000;

impl Checker<'_> {
    /// `0 <= index < extent`.
    pub(super) fn in_bounds(&mut self, index: &Expr, extent: &Expr, span: Span) -> Checked<()> {
        if !matches!(index.ty, Ty::Int { .. }) {
            let message = format!("an index is an integer, not {}", text::ty(index.ty));
            return self.error(Code::Type, span, message, text::ty(index.ty));
        }
        if self.unverified(index) {
            let message = "this index rests on the declared range of what it is loaded from, which no launch checks";
            let d = Diagnostic::new(Code::Bounds, span, message, "an index from memory");
            return self.fail(
                d.help("declare it `Index<N>`, or declare it without a range and bound it with `min` and `max`"),
            );
        }
        let (axes, facts, elems) = (&self.axes, &self.facts, &self.elems);
        let prover = Prover { axes, facts, elems, attempts: Cell::new(ATTEMPTS) };
        if prover.not_negative(index) && prover.less(index, extent) {
            return Ok(());
        }
        let size = match extent.kind {
            Kind::Int(n) => format!("{n}"),
            _ => format!("`{}`", crate::ir::print::expr(extent, &self.vars)),
        };
        let message = format!("this index is not proved to be below the extent {size}");
        let d = Diagnostic::new(Code::Bounds, span, message, format!("is {}", text::range(range::of(index))));
        self.fail(d.help("loop over the extent itself, bound the index with `min`, or state a `#[require(a <= b)]`"))
    }
}

/// What is known about index variables and sizes.
struct Prover<'a> {
    axes: &'a HashMap<Var, Axis>,
    /// Expressions that are not negative.
    facts: &'a [Expr],
    /// Element types of the buffers.
    elems: &'a [Elem],
    /// How many forms may still be looked at.
    attempts: Cell<usize>,
}

impl Prover<'_> {
    /// `a < b`.
    fn less(&self, a: &Expr, b: &Expr) -> bool {
        if range::of(a).1 < range::of(b).0 {
            return true;
        }
        let mut form = Linear::of(b);
        form.add(&Linear::of(a), -1);
        form.constant -= 1;
        self.prove(form, 0, STEPS)
    }

    /// `a >= 0`.
    fn not_negative(&self, a: &Expr) -> bool {
        range::of(a).0 >= 0 || self.prove(Linear::of(a), 0, STEPS)
    }

    /// `form >= -slack`, for all values of what it mentions.
    fn prove(&self, form: Linear, slack: i64, steps: usize) -> bool {
        if form.overflow {
            return false;
        }
        if form.least() >= -(slack as i128) {
            return true;
        }
        if steps == 0 || self.attempts.get() == 0 {
            return false;
        }
        self.attempts.set(self.attempts.get() - 1);
        // Inner index variables first: their bounds speak of outer ones.
        let order = |(a, _): &&(Expr, i64)| if let Kind::Var(v) = a.kind { v.0 + 1 } else { 0 };
        let Some((atom, factor)) = form.terms.iter().filter(|(a, _)| self.replaceable(a)).max_by_key(order).cloned()
        else {
            return self.by_fact(&form, slack, steps);
        };
        let mut rest = form;
        rest.terms.retain(|(a, _)| !same(a, &atom));
        let bounded = |lo: &Expr, hi: &Expr| {
            let bound = if factor < 0 { hi } else { lo };
            let sides = if is_choice(bound) { alternatives(bound, factor < 0) } else { Vec::new() };
            [bound].into_iter().chain(&sides).any(|bound| {
                let mut form = rest.clone();
                form.add(&Linear::of(bound), factor);
                form.plus(factor.min(0), -1);
                self.prove(form, slack, steps - 1)
            })
        };
        match &atom.kind {
            Kind::Var(v) => bounded(&self.axes[v].lo, &self.axes[v].hi),
            Kind::Load(p) => match &self.elems[p.buffer] {
                Elem::Index(below) => bounded(&int(0, atom.span), below),
                _ => unreachable!("only indices are replaceable"),
            },
            Kind::Binary(BinOp::Div, a, k) => {
                // k * (a / k) lies in a - (k - 1) ..= a.
                let k = range::of(k).0;
                let mut form = Linear::default();
                form.add(&rest, k);
                form.add(&Linear::of(a), factor);
                if factor > 0 {
                    form.plus(factor, 1 - k);
                }
                let slack = k.checked_mul(slack).and_then(|s| s.checked_add(k - 1));
                slack.is_some_and(|slack| self.prove(form, slack, steps - 1))
            }
            _ => alternatives(&atom, factor < 0).iter().any(|a| {
                let mut form = rest.clone();
                form.add(&Linear::of(a), factor);
                self.prove(form, slack, steps - 1)
            }),
        }
    }

    fn replaceable(&self, atom: &Expr) -> bool {
        match &atom.kind {
            Kind::Var(v) => self.axes.contains_key(v),
            Kind::Load(p) => matches!(self.elems[p.buffer], Elem::Index(_)),
            Kind::Binary(BinOp::Div, _, k) => matches!(k.kind, Kind::Int(_)),
            _ => is_choice(atom),
        }
    }

    /// Subtracts a multiple of a fact that cancels a term.
    fn by_fact(&self, form: &Linear, slack: i64, steps: usize) -> bool {
        self.facts.iter().any(|fact| {
            let fact = Linear::of(fact);
            form.terms.iter().any(|(atom, factor)| {
                let Some((_, theirs)) = fact.terms.iter().find(|(a, _)| same(a, atom)) else { return false };
                if factor % theirs != 0 || factor / theirs <= 0 {
                    return false;
                }
                let mut form = form.clone();
                form.add(&fact, -(factor / theirs));
                self.prove(form, slack, steps.min(4) - 1)
            })
        })
    }
}

/// Whether it is a minimum or maximum.
fn is_choice(e: &Expr) -> bool {
    matches!(e.kind, Kind::Binary(BinOp::Min | BinOp::Max, ..))
}

/// Bounds of a minimum (asked from above) or maximum (from below): either side will do.
fn alternatives(e: &Expr, above: bool) -> Vec<Expr> {
    match &e.kind {
        Kind::Binary(BinOp::Min, a, b) if above => vec![a.clone(), b.clone()],
        Kind::Binary(BinOp::Max, a, b) if !above => vec![a.clone(), b.clone()],
        _ if is_choice(e) => Vec::new(),
        _ => vec![e.clone()],
    }
}

/// `constant + sum of factor * term`.
#[derive(Clone, Default)]
struct Linear {
    constant: i64,
    terms: Vec<(Expr, i64)>,
    /// A factor left i64, so that the form says nothing.
    overflow: bool,
}

impl Linear {
    fn of(e: &Expr) -> Linear {
        let mut form = Linear::default();
        form.collect(e, 1);
        form
    }

    fn collect(&mut self, e: &Expr, factor: i64) {
        match &e.kind {
            Kind::Int(n) => self.plus(factor, *n),
            Kind::Binary(BinOp::Add, a, b) => {
                self.collect(a, factor);
                self.collect(b, factor);
            }
            Kind::Binary(BinOp::Sub, a, b) => {
                self.collect(a, factor);
                self.collect(b, -factor);
            }
            Kind::Unary(UnOp::Neg, a) => self.collect(a, -factor),
            Kind::Binary(BinOp::Mul, a, b) => match (&a.kind, &b.kind) {
                (Kind::Int(n), _) => self.scaled(b, factor, *n),
                (_, Kind::Int(n)) => self.scaled(a, factor, *n),
                _ => self.term(e, factor),
            },
            _ => self.term(e, factor),
        }
    }

    fn scaled(&mut self, e: &Expr, a: i64, b: i64) {
        match a.checked_mul(b) {
            Some(factor) => self.collect(e, factor),
            None => self.overflow = true,
        }
    }

    fn term(&mut self, e: &Expr, factor: i64) {
        let old = self.terms.iter().position(|(a, _)| same(a, e));
        match old.map_or(Some(factor), |i| self.terms[i].1.checked_add(factor)) {
            None => self.overflow = true,
            Some(sum) => {
                old.map(|i| self.terms.remove(i));
                if sum != 0 {
                    self.terms.push((e.clone(), sum));
                }
            }
        }
    }

    /// Adds `a * b`.
    fn plus(&mut self, a: i64, b: i64) {
        match a.checked_mul(b).and_then(|p| self.constant.checked_add(p)) {
            Some(sum) => self.constant = sum,
            None => self.overflow = true,
        }
    }

    fn add(&mut self, other: &Linear, factor: i64) {
        self.overflow |= other.overflow;
        self.plus(factor, other.constant);
        for (e, f) in &other.terms {
            match f.checked_mul(factor) {
                Some(f) => self.term(e, f),
                None => self.overflow = true,
            }
        }
    }

    /// A lower bound from the ranges of the terms.
    fn least(&self) -> i128 {
        let bound = |(e, f): &(Expr, i64)| {
            let (lo, hi) = range::of(e);
            *f as i128 * if *f > 0 { lo } else { hi } as i128
        };
        self.constant as i128 + self.terms.iter().map(bound).sum::<i128>()
    }
}

/// Whether two index expressions are the same by their structure.
pub fn same(a: &Expr, b: &Expr) -> bool {
    if std::rc::Rc::ptr_eq(a, b) {
        return true;
    }
    match (&a.kind, &b.kind) {
        (Kind::Int(x), Kind::Int(y)) => x == y,
        (Kind::Var(x), Kind::Var(y)) => x == y,
        (Kind::Unary(o, x), Kind::Unary(p, y)) => o == p && same(x, y),
        (Kind::Binary(o, x, y), Kind::Binary(p, z, w)) => o == p && same(x, z) && same(y, w),
        (Kind::Load(p), Kind::Load(q)) => {
            let both = p.index.iter().chain(&p.at).zip(q.index.iter().chain(&q.at));
            (p.buffer, p.offset, p.at.is_some()) == (q.buffer, q.offset, q.at.is_some())
                && both.into_iter().all(|(x, y)| same(x, y))
                && matches!(a.ty, Ty::Int { .. })
        }
        _ => false,
    }
}
