//! No two parallel iterations write the same number: every open index is recovered from where the store goes.
use super::{Checker, bounds, range};
use crate::diagnostic::{Code, Diagnostic};
use crate::ir::{BinOp, Expr, Kind, Place, Span, Var};

/// A store, with the parallel axes around it.
pub struct Stored {
    place: Place,
    open: Vec<Var>,
    span: Span,
}

impl Checker<'_> {
    pub(super) fn record_store(&mut self, place: &Place, span: Span) {
        self.stores.push(Stored { place: place.clone(), open: self.open.clone(), span });
    }

    /// Checks every store against the other iterations and against the other stores.
    pub(super) fn check_races(&mut self) {
        let stores = std::mem::take(&mut self.stores);
        for (i, store) in stores.iter().enumerate() {
            let indices: Vec<&Expr> = store.place.index.iter().chain(&store.place.at).collect();
            let lost: Vec<String> = (store.open.iter())
                .filter(|v| !self.recovered(**v, &indices))
                .map(|v| format!("`{}`", self.vars[v.0 as usize].name))
                .collect();
            let name = self.buffers[store.place.buffer].name.clone();
            if !lost.is_empty() {
                let message =
                    format!("parallel iterations over {} write the same element of `{name}`", lost.join(", "));
                let d =
                    Diagnostic::new(Code::Race, store.span, message, "the index does not tell the iterations apart");
                self.errors
                    .push(d.help("use every parallel index in the index of the store, or reduce with `sum` or `isum`"));
            }
            for other in &stores[..i] {
                if !disjoint(&store.place, &other.place) {
                    let message = format!("two stores may write the same element of `{name}`");
                    let d = Diagnostic::new(Code::Race, store.span, message, "second store")
                        .label(other.span, "first store");
                    self.errors.push(d.help("write each element once, or make a constant index tell the stores apart"));
                }
            }
        }
    }

    /// Whether `var` can be computed from the indices (all other axes given or themselves computed from them).
    fn recovered(&self, var: Var, indices: &[&Expr]) -> bool {
        indices.iter().any(|e| self.injective(e, var))
            || indices.iter().any(|a| {
                // e / k and e % k together give e, where k is the same for all.
                let Kind::Binary(BinOp::Div, e, k) = &a.kind else { return false };
                if !matches!(k.kind, Kind::Int(_)) {
                    return false;
                }
                let rest = |b: &&Expr| match &b.kind {
                    Kind::Binary(BinOp::Rem, f, m) => bounds::same(e, f) && bounds::same(k, m),
                    _ => false,
                };
                indices.iter().any(rest) && self.injective(e, var)
            })
    }

    /// Whether distinct values of `var`, and of the other parallel axes in `e`, give distinct values of `e`: it is a sum of
    /// multiples of axes in which each factor is larger than all that the smaller ones can add up to.
    fn injective(&self, e: &Expr, var: Var) -> bool {
        let mut terms = Vec::new();
        if !self.radix(e, 1, &mut terms) || !terms.iter().any(|(v, _)| *v == var) {
            return false;
        }
        terms.sort_by_key(|(_, f)| *f);
        let mut reach = 0;
        for (v, factor) in &terms {
            if *factor <= reach {
                return false;
            }
            let axis = &self.axes[v];
            reach += factor * (range::of(&axis.hi).1 - range::of(&axis.lo).0 - 1).max(0);
        }
        true
    }

    /// Collects `factor * axis` terms; terms without an axis shift all iterations alike.
    fn radix(&self, e: &Expr, factor: i64, terms: &mut Vec<(Var, i64)>) -> bool {
        match &e.kind {
            Kind::Var(v) if self.axes.contains_key(v) => {
                terms.push((*v, factor));
                factor > 0
            }
            Kind::Int(_) => true,
            // Parameters; any other value may differ from one iteration to the next.
            Kind::Var(v) => (v.0 as usize) < self.parameters,
            Kind::Binary(BinOp::Add, a, b) => self.radix(a, factor, terms) && self.radix(b, factor, terms),
            Kind::Binary(BinOp::Mul, a, b) => match (&a.kind, &b.kind) {
                (Kind::Int(n), _) => self.radix(b, factor * n, terms),
                (_, Kind::Int(n)) => self.radix(a, factor * n, terms),
                _ => false,
            },
            _ => false,
        }
    }
}

/// Other buffers, other numbers of a block, or constants that differ at the same index.
fn disjoint(a: &Place, b: &Place) -> bool {
    if a.buffer != b.buffer || a.offset != b.offset {
        return true;
    }
    let constant = |e: &Expr| if let Kind::Int(n) = e.kind { Some(n) } else { None };
    let mut pairs = a.index.iter().zip(&b.index).chain(a.at.iter().zip(&b.at));
    pairs.any(|(x, y)| matches!((constant(x), constant(y)), (Some(m), Some(n)) if m != n))
}
