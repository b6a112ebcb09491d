//! The algorithm IR as text, for `kgen emit --as ir` and for messages.
use super::{Axis, Block, Expr, Kernel, Kind, Place, Stmt, UnOp, VarInfo};
use crate::text;
use std::fmt::Write;

/// A kernel in full.
pub fn kernel(k: &Kernel) -> String {
    let p = Printer { vars: &k.vars, buffers: k.buffers.iter().map(|b| b.name.clone()).collect() };
    let mut out = format!("kernel {}\n", k.name);
    for v in k.dims.iter().chain(&k.scalars) {
        let info = &k.vars[v.0 as usize];
        let _ = writeln!(out, "  param {}: {}", p.var(v.0), text::ty(info.ty));
    }
    for b in &k.buffers {
        let shape: Vec<String> = b.shape.iter().map(|e| p.expr(e)).collect();
        let access = if b.written { "write" } else { "read" };
        let _ = writeln!(out, "  {access} {}: {}[{}]", b.name, b.elem, shape.join(", "));
    }
    for (_, text) in &k.requires {
        let _ = writeln!(out, "  require {text}");
    }
    p.stmts(&k.body, 1, &mut out);
    out
}

/// An index expression.
pub fn expr(e: &Expr, vars: &[VarInfo]) -> String {
    Printer { vars, buffers: Vec::new() }.expr(e)
}

struct Printer<'a> {
    vars: &'a [VarInfo],
    buffers: Vec<String>,
}

impl Printer<'_> {
    /// The source's name, with its number where another variable has the same name.
    fn var(&self, v: u32) -> String {
        let name = &self.vars[v as usize].name;
        match self.vars.iter().filter(|o| o.name == *name).count() {
            1 => name.clone(),
            _ => format!("{name}.{v}"),
        }
    }

    fn axis(&self, a: &Axis) -> String {
        format!("{} in {}..{}", self.var(a.var.0), self.expr(&a.lo), self.expr(&a.hi))
    }

    fn place(&self, p: &Place) -> String {
        let name = self.buffers.get(p.buffer).map_or("buffer", |n| n);
        let index: String = p.index.iter().map(|e| format!("[{}]", self.expr(e))).collect();
        match &p.at {
            Some(at) => format!("{name}{index}.{}@{}[{}]", p.scalar.name(), p.offset, self.expr(at)),
            None if p.offset > 0 => format!("{name}{index}.{}@{}", p.scalar.name(), p.offset),
            None => format!("{name}{index}.{}", p.scalar.name()),
        }
    }

    fn block(&self, b: &Block) -> String {
        if b.stmts.is_empty() {
            return self.expr(&b.value);
        }
        let mut out = String::from("{\n");
        self.stmts(&b.stmts, 4, &mut out);
        let _ = write!(out, "        {} }}", self.expr(&b.value));
        out
    }

    fn expr(&self, e: &Expr) -> String {
        match &e.kind {
            Kind::Int(n) => n.to_string(),
            Kind::Float(x) => format!("{x:?}"),
            Kind::Bool(b) => b.to_string(),
            Kind::Var(v) => self.var(v.0),
            Kind::Load(p) => self.place(p),
            Kind::At { array, index } => format!("{}[{}]", self.var(array.0), self.expr(index)),
            Kind::Unary(op @ (UnOp::Neg | UnOp::Not), a) => format!("{}{}", text::unary(*op), self.expr(a)),
            Kind::Unary(op, a) => format!("{}({})", text::unary(*op), self.expr(a)),
            Kind::Binary(op, a, b) => {
                let (op, a, b) = (text::binary(*op), self.expr(a), self.expr(b));
                if op.starts_with('m') { format!("{op}({a}, {b})") } else { format!("({a} {op} {b})") }
            }
            Kind::Fma(a, b, c) => format!("fma({}, {}, {})", self.expr(a), self.expr(b), self.expr(c)),
            Kind::Select(c, a, b) => format!("if {} {{ {} }} else {{ {} }}", self.expr(c), self.expr(a), self.expr(b)),
            Kind::Reduce { op, axis, body } => {
                format!("{}({}: {})", text::reduce(*op), self.axis(axis), self.block(body))
            }
            Kind::Sum { shape, axis, acc, step } => {
                let (shape, acc) = (text::shape(*shape), self.var(acc.0));
                format!("sum {shape} ({acc}, {}: {})", self.axis(axis), self.block(step))
            }
            Kind::Map { axis, body } => format!("map({}: {})", self.axis(axis), self.block(body)),
        }
    }

    fn stmts(&self, stmts: &[Stmt], depth: usize, out: &mut String) {
        let pad = "  ".repeat(depth);
        for s in stmts {
            match s {
                Stmt::Let { var, value } => {
                    let _ = writeln!(out, "{pad}let {} = {}", self.var(var.0), self.expr(value));
                }
                Stmt::Store { place, value } => {
                    let _ = writeln!(out, "{pad}{} = {}", self.place(place), self.expr(value));
                }
                Stmt::Par { axis, body } => {
                    let _ = writeln!(out, "{pad}par {}", self.axis(axis));
                    self.stmts(body, depth + 1, out);
                }
                Stmt::Merge { axis, part, state, next } => {
                    let init: Vec<String> =
                        state.iter().map(|(v, e)| format!("{} = {}", self.var(v.0), self.expr(e))).collect();
                    let _ = writeln!(out, "{pad}merge {} from {}", self.axis(axis), init.join(", "));
                    self.stmts(part, depth + 1, out);
                    let _ = writeln!(out, "{pad}  then");
                    self.stmts(&next.stmts, depth + 2, out);
                    for ((v, _), e) in state.iter().zip(&next.values) {
                        let _ = writeln!(out, "{pad}    next {} = {}", self.var(v.0), self.expr(e));
                    }
                }
            }
        }
    }
}
