//! A kernel's statements and expressions in the names of another one.
use super::{Axis, Block, Expr, Kind, MergeStep, Node, Place, Stmt, Var};
use std::collections::HashMap;
use std::rc::Rc;

/// New names. What is not renamed here has none: every variable and buffer that is met must be.
pub struct Rewrite<'a> {
    /// The new number of each variable.
    pub vars: &'a [Var],
    /// What stands for a variable instead.
    pub values: &'a HashMap<Var, Expr>,
    /// The new number of each buffer, where it has one.
    pub buffers: &'a [Option<usize>],
    /// What stands for a load instead, by its place in the old names.
    pub loads: &'a dyn Fn(&Place) -> Option<Expr>,
}

impl Rewrite<'_> {
    pub fn var(&self, var: Var) -> Var {
        self.vars[var.0 as usize]
    }

    pub fn expr(&self, e: &Expr) -> Expr {
        let of = |e: &Expr| self.expr(e);
        let kind = match &e.kind {
            Kind::Int(_) | Kind::Float(_) | Kind::Bool(_) => return e.clone(),
            Kind::Var(var) => match self.values.get(var) {
                Some(value) => return value.clone(),
                None => Kind::Var(self.var(*var)),
            },
            Kind::Load(place) => match (self.loads)(place) {
                Some(value) => return value,
                None => Kind::Load(self.place(place)),
            },
            Kind::At { array, index } => Kind::At { array: self.var(*array), index: of(index) },
            Kind::Unary(op, a) => Kind::Unary(*op, of(a)),
            Kind::Binary(op, a, b) => Kind::Binary(*op, of(a), of(b)),
            Kind::Fma(a, b, c) => Kind::Fma(of(a), of(b), of(c)),
            Kind::Select(a, b, c) => Kind::Select(of(a), of(b), of(c)),
            Kind::Reduce { op, axis, body } => Kind::Reduce { op: *op, axis: self.axis(axis), body: self.block(body) },
            Kind::Sum { shape, axis, acc, step } => {
                Kind::Sum { shape: *shape, axis: self.axis(axis), acc: self.var(*acc), step: self.block(step) }
            }
            Kind::Map { axis, body } => Kind::Map { axis: self.axis(axis), body: self.block(body) },
        };
        Rc::new(Node { kind, ty: e.ty, span: e.span })
    }

    pub fn stmts(&self, list: &[Stmt]) -> Vec<Stmt> {
        list.iter().map(|s| self.stmt(s)).collect()
    }

    fn stmt(&self, s: &Stmt) -> Stmt {
        match s {
            Stmt::Let { var, value } => Stmt::Let { var: self.var(*var), value: self.expr(value) },
            Stmt::Par { axis, body } => Stmt::Par { axis: self.axis(axis), body: self.stmts(body) },
            Stmt::Store { place, value } => Stmt::Store { place: self.place(place), value: self.expr(value) },
            Stmt::Merge { axis, part, state, next } => Stmt::Merge {
                axis: self.axis(axis),
                part: self.stmts(part),
                state: state.iter().map(|(var, first)| (self.var(*var), self.expr(first))).collect(),
                next: Rc::new(MergeStep {
                    stmts: self.stmts(&next.stmts),
                    values: next.values.iter().map(|e| self.expr(e)).collect(),
                }),
            },
        }
    }

    pub fn axis(&self, axis: &Axis) -> Axis {
        Axis { var: self.var(axis.var), lo: self.expr(&axis.lo), hi: self.expr(&axis.hi) }
    }

    fn block(&self, block: &Block) -> Rc<Block> {
        Rc::new(Block { stmts: self.stmts(&block.stmts), value: self.expr(&block.value) })
    }

    pub fn place(&self, place: &Place) -> Place {
        Place {
            buffer: self.buffers[place.buffer].expect("what stands for the loads of a buffer that is gone is given"),
            index: place.index.iter().map(|e| self.expr(e)).collect(),
            at: place.at.as_ref().map(|e| self.expr(e)),
            ..place.clone()
        }
    }
}
