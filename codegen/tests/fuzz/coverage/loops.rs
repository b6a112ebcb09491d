//! The nodes of a lowered kernel.
use super::unary;
use kgen::ir::{BinOp, Scalar, UnOp};
use kgen::loop_ir::{Access, Bind, Expr, Func, Mem, Owner, Stmt, Ty, Var, memory};
use std::collections::BTreeSet;

/// The names of all nodes that are there.
pub fn nodes(func: &Func) -> BTreeSet<String> {
    let mut walk = Walk { func, found: BTreeSet::from([format!("loop lanes {}", func.width)]) };
    walk.stmts(&func.body);
    walk.found
}

struct Walk<'a> {
    func: &'a Func,
    found: BTreeSet<String>,
}

/// The type of an expression, given those of variables.
pub fn ty(of: &impl Fn(Var) -> Ty, e: &Expr) -> Ty {
    match e {
        Expr::Call { intrinsic, .. } if intrinsic.starts_with("pairs_") => Ty::I16x2,
        Expr::Int(_) | Expr::Call { .. } => Ty::I32,
        Expr::Pair(..) => Ty::I16x2,
        Expr::Long(_) | Expr::Widen(_) => Ty::I64,
        Expr::Float(_) | Expr::Fma(..) => Ty::F32,
        Expr::Bool(_) => Ty::Bool,
        Expr::Var(v) => of(*v),
        Expr::Load(access) => memory::loaded(access.scalar),
        Expr::LoadPack(access) if access.scalar == Scalar::I8 => Ty::I8x4,
        Expr::LoadPack(access) if access.scalar == Scalar::I16 => Ty::I16x2,
        Expr::LoadPack(_) | Expr::Splat4(_) | Expr::Bytes(_) => Ty::U8x4,
        Expr::Unary(UnOp::ToInt { .. } | UnOp::Bits, _) => Ty::I32,
        Expr::Unary(UnOp::ToF32 | UnOp::FromBits, _) => Ty::F32,
        Expr::Binary(BinOp::Lt | BinOp::Le | BinOp::Eq | BinOp::Ne, ..) => Ty::Bool,
        Expr::Unary(_, a) | Expr::Binary(_, a, _) | Expr::Select(_, a, _) | Expr::First(a) => ty(of, a),
        Expr::Shuffle { value, .. } => ty(of, value),
    }
}

impl Walk<'_> {
    fn see(&mut self, name: impl AsRef<str>) {
        self.found.insert(format!("loop {}", name.as_ref()));
    }

    fn stmts(&mut self, stmts: &[Stmt]) {
        for stmt in stmts {
            match stmt {
                Stmt::Let { .. } => self.see("let"),
                Stmt::Reg { .. } => self.see("reg"),
                Stmt::Set { .. } => self.see("set"),
                Stmt::Array { var, of: Owner::Team, .. } => {
                    self.see("array of the team");
                    if self.func.vars[var.0 as usize].name == "map" {
                        self.see("map of the team");
                    }
                }
                Stmt::Array { scalar, .. } => self.see(format!("array {}", scalar.name())),
                Stmt::For { bind, .. } => self.see(match bind {
                    Bind::Serial => "for serial",
                    Bind::Rolled => "for rolled",
                    Bind::Work => "for work",
                    Bind::First => "for first",
                    Bind::Team => "for team",
                    Bind::Simd => "for simd",
                }),
                Stmt::If { other, .. } => {
                    self.see("if");
                    if !other.is_empty() {
                        self.see("else");
                    }
                }
                // Weights are asked for early, and no random kernel has any.
                Stmt::Prefetch { .. } => {}
                Stmt::Arrive { by: Owner::Worker, .. } => self.see("arrive"),
                Stmt::Arrive { by: Owner::Team, .. } => self.see("arrive as a team"),
                Stmt::AwaitArrivals { .. } => self.see("await arrivals"),
                Stmt::Barrier => self.see("barrier"),
                Stmt::Copy { .. } => self.see("copy"),
                Stmt::Await => self.see("await"),
                Stmt::Store { to, only, .. } => {
                    self.access("store", to);
                    if only.is_some() {
                        self.see("store by some lanes");
                    }
                }
                Stmt::Accumulate { intrinsic, .. } => {
                    self.found.insert(format!("instruction {intrinsic}"));
                }
            }
            stmt.exprs().into_iter().for_each(|e| e.visit(&mut |e| self.expr(e)));
            stmt.lists().into_iter().for_each(|list| self.stmts(list));
        }
    }

    fn access(&mut self, what: &str, access: &Access) {
        self.see(format!("{what} {}", access.scalar.name()));
        self.see(format!("{what} {}", if access.varies() { "varying" } else { "uniform" }));
        if access.offset.is_some() {
            self.see(format!("{what} apart"));
        }
        match access.mem {
            Mem::Buffer(_) => {}
            Mem::Local(_) => self.see(format!("{what} local")),
            Mem::Shared(_) => self.see(format!("{what} shared")),
            Mem::Scratch => self.see(format!("{what} scratch")),
        }
    }

    fn expr(&mut self, e: &Expr) {
        let declared = |v: Var| self.func.vars[v.0 as usize].ty;
        let of = |e: &Expr| format!("{:?}", ty(&declared, e)).to_lowercase();
        match e {
            Expr::Int(_) => self.see("int"),
            Expr::Long(_) => self.see("long"),
            Expr::Float(_) => self.see("float"),
            Expr::Bool(_) => self.see("bool"),
            Expr::Var(_) => self.see("var"),
            Expr::Load(access) => self.access("load", access),
            Expr::LoadPack(access) => self.see(format!("pack {}", access.scalar.name())),
            Expr::Widen(_) => self.see("widen"),
            Expr::Splat4(_) => self.see("splat4"),
            Expr::Bytes(_) => self.see("bytes"),
            Expr::Pair(..) => self.see("pair"),
            Expr::Unary(op, a) => self.see(format!("{} {}", unary(*op), of(a))),
            Expr::Binary(op, a, _) => self.see(format!("{op:?} {}", of(a)).to_lowercase()),
            Expr::Fma(..) => self.see("fma"),
            Expr::Select(..) => self.see("select"),
            Expr::Shuffle { .. } => self.see("shuffle"),
            Expr::First(_) => self.see("first"),
            Expr::Call { intrinsic, .. } => {
                self.found.insert(format!("instruction {intrinsic}"));
            }
        }
    }
}
