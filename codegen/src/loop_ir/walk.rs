//! The parts of statements and expressions, for passes over all of them.
use super::{Expr, Func, Mem, Stmt};
use crate::instructions::instruction;

/// One list of a node's parts, shared or mutable.
macro_rules! parts {
    ($stmt_exprs:ident, $stmt_lists:ident, $children:ident, $($mutable:tt)?) => {
        impl Stmt {
            /// The expressions of this statement itself.
            pub fn $stmt_exprs(& $($mutable)? self) -> Vec<& $($mutable)? Expr> {
                match self {
                    Stmt::Let { value, .. } | Stmt::Set { value, .. } => vec![value],
                    Stmt::Reg { init, .. } => vec![init],
                    Stmt::Array { .. } | Stmt::Barrier | Stmt::Await => Vec::new(),
                    Stmt::For { lo, hi, .. } => vec![lo, hi],
                    Stmt::If { cond, .. } => vec![cond],
                    Stmt::Store { to, value, only, .. } => {
                        let mut all = parts!(@place to, $($mutable)?);
                        all.push(value);
                        all.extend(only);
                        all
                    }
                    Stmt::Accumulate { args, .. } => parts!(@all args, $($mutable)?),
                    Stmt::Arrive { counter, of, .. } => vec![counter, of],
                    Stmt::AwaitArrivals { counter, arrivals, of } => vec![counter, arrivals, of],
                    Stmt::Prefetch { from, .. } => parts!(@place from, $($mutable)?),
                    Stmt::Copy { to, from, only, .. } => {
                        let mut all = parts!(@place to, $($mutable)?);
                        all.extend(parts!(@place from, $($mutable)?));
                        all.extend(only);
                        all
                    }
                }
            }

            /// The statement lists inside this statement.
            pub fn $stmt_lists(& $($mutable)? self) -> Vec<& $($mutable)? Vec<Stmt>> {
                match self {
                    Stmt::For { body, .. } => vec![body],
                    Stmt::If { then, other, .. } => vec![then, other],
                    _ => Vec::new(),
                }
            }
        }

        impl Expr {
            /// The operands.
            pub fn $children(& $($mutable)? self) -> Vec<& $($mutable)? Expr> {
                match self {
                    Expr::Int(_) | Expr::Long(_) | Expr::Float(_) | Expr::Bool(_) | Expr::Var(_) => Vec::new(),
                    Expr::Load(a) | Expr::LoadPack(a) => parts!(@place a, $($mutable)?),
                    Expr::Widen(a) | Expr::Splat4(a) | Expr::Unary(_, a) | Expr::First(a) => vec![& $($mutable)? **a],
                    Expr::Shuffle { value, .. } => vec![& $($mutable)? **value],
                    Expr::Binary(_, a, b) | Expr::Pair(a, b) => vec![& $($mutable)? **a, & $($mutable)? **b],
                    Expr::Fma(a, b, c) | Expr::Select(a, b, c) => {
                        vec![& $($mutable)? **a, & $($mutable)? **b, & $($mutable)? **c]
                    }
                    Expr::Call { args, .. } | Expr::Bytes(args) => parts!(@all args, $($mutable)?),
                }
            }
        }
    };
    (@place $a:ident, mut) => {{
        let mut all: Vec<&mut Expr> = vec![&mut *$a.addr];
        all.extend($a.offset.as_deref_mut());
        all
    }};
    (@place $a:ident,) => { $a.exprs().collect::<Vec<&Expr>>() };
    (@all $args:ident, mut) => { $args.iter_mut().collect() };
    (@all $args:ident,) => { $args.iter().collect() };
}

parts!(exprs, lists, children,);
parts!(exprs_mut, lists_mut, children_mut, mut);

impl Func {
    /// Whether workers write a buffer and load from it, too. That is so where two kernels are fused, and never in a kernel by
    /// itself. Copies do not count: they are of teams, and what was handed on is read by no team.
    pub fn hands_on(&self, buffer: usize) -> bool {
        self.buffers[buffer].written && reads(&self.body, Mem::Buffer(buffer))
    }
}

fn reads(stmts: &[Stmt], from: Mem) -> bool {
    let mut found = false;
    for s in stmts {
        let mut note = |e: &Expr| found |= matches!(e, Expr::Load(a) | Expr::LoadPack(a) if a.mem == from);
        s.exprs().into_iter().for_each(|e| e.visit(&mut note));
        found |= s.lists().into_iter().any(|list| reads(list, from));
    }
    found
}

impl Expr {
    /// Whether this expression itself takes all lanes to compute.
    pub fn across_lanes(&self) -> bool {
        match self {
            Expr::Shuffle { .. } | Expr::First(_) => true,
            Expr::Call { intrinsic, .. } => instruction(intrinsic).is_some_and(|i| i.across),
            _ => false,
        }
    }

    /// Calls `f` for this expression and all in it.
    pub fn visit(&self, f: &mut impl FnMut(&Expr)) {
        f(self);
        self.children().into_iter().for_each(|child| child.visit(f));
    }

    /// Calls `f` for this expression after all inside it have been changed.
    pub fn visit_mut(&mut self, f: &mut impl FnMut(&mut Expr)) {
        self.children_mut().into_iter().for_each(|child| child.visit_mut(f));
        f(self);
    }
}
