//! The nodes of a kernel in the algorithm IR.
use super::unary;
use kgen::ir::{Axis, Block, Expr, Kernel, Kind, Place, ReduceOp, Stmt, Ty, sum_order::Shape};
use std::collections::BTreeSet;

/// The names of all nodes that are there.
pub fn nodes(kernel: &Kernel) -> BTreeSet<String> {
    let mut walk = Walk { kernel, found: BTreeSet::new() };
    walk.stmts(&kernel.body);
    walk.found
}

struct Walk<'a> {
    kernel: &'a Kernel,
    found: BTreeSet<String>,
}

fn ty(ty: Ty) -> &'static str {
    match ty {
        Ty::F32 => "f32",
        Ty::Half(_) => "half",
        Ty::Int { .. } => "int",
        Ty::Bool => "bool",
        Ty::Array { .. } => "array",
    }
}

impl Walk<'_> {
    fn see(&mut self, name: impl AsRef<str>) {
        self.found.insert(format!("ir {}", name.as_ref()));
    }

    fn stmts(&mut self, stmts: &[Stmt]) {
        for stmt in stmts {
            match stmt {
                Stmt::Let { value, .. } => {
                    self.see("let");
                    self.expr(value);
                }
                Stmt::Merge { axis, part, state, next } => {
                    self.see("merge");
                    self.axis(axis);
                    self.stmts(part);
                    state.iter().for_each(|(_, first)| self.expr(first));
                    self.stmts(&next.stmts);
                    next.values.iter().for_each(|value| self.expr(value));
                }
                Stmt::Par { axis, body } => {
                    self.see("par");
                    self.axis(axis);
                    self.stmts(body);
                }
                Stmt::Store { place, value } => {
                    self.see(format!("store {}", place.scalar.name()));
                    self.place(place);
                    self.expr(value);
                }
            }
        }
    }

    fn axis(&mut self, axis: &Axis) {
        self.expr(&axis.lo);
        self.expr(&axis.hi);
    }

    fn block(&mut self, block: &Block) {
        self.stmts(&block.stmts);
        self.expr(&block.value);
    }

    fn place(&mut self, place: &Place) {
        let buffer = &self.kernel.buffers[place.buffer];
        if buffer.scalar.is_none() {
            self.see("block");
        }
        if buffer.index_below.is_some() {
            self.see("index");
        }
        place.index.iter().chain(&place.at).for_each(|index| self.expr(index));
    }

    fn expr(&mut self, e: &Expr) {
        match &e.kind {
            Kind::Int(_) => self.see("int"),
            Kind::Float(_) => self.see("float"),
            Kind::Bool(_) => self.see("bool"),
            Kind::Var(_) => self.see("var"),
            Kind::Load(place) => {
                self.see(format!("load {}", place.scalar.name()));
                self.place(place);
            }
            Kind::At { index, .. } => {
                self.see("at");
                self.expr(index);
            }
            Kind::Unary(op, a) => {
                self.see(format!("{} {}", unary(*op), ty(a.ty)));
                self.expr(a);
            }
            Kind::Binary(op, a, b) => {
                self.see(format!("{op:?} {}", ty(a.ty)).to_lowercase());
                self.expr(a);
                self.expr(b);
            }
            Kind::Fma(a, b, c) => {
                self.see("fma");
                [a, b, c].into_iter().for_each(|e| self.expr(e));
            }
            Kind::Select(c, a, b) => {
                self.see(format!("select {}", ty(a.ty)));
                [c, a, b].into_iter().for_each(|e| self.expr(e));
            }
            Kind::Reduce { op, axis, body } => {
                self.see(match op {
                    ReduceOp::ISum => "reduce isum",
                    ReduceOp::Max => "reduce max",
                    ReduceOp::ArgMax => "reduce argmax",
                });
                self.axis(axis);
                self.block(body);
            }
            Kind::Sum { shape, axis, step, .. } => {
                self.see(match shape {
                    Shape::Chain => "sum chain",
                    Shape::Lanes(_) => "sum lanes",
                    Shape::Segments(_) => "sum segments",
                });
                self.axis(axis);
                self.block(step);
            }
            Kind::Map { axis, body } => {
                self.see("map");
                self.axis(axis);
                self.block(body);
            }
        }
    }
}
