//! What a worker does in front of its items: it asks for memory that is there, and does nothing else.
use crate::build::*;
use kgen::cuda;
use kgen::ir::{BinOp, Scalar};
use kgen::loop_ir::{Access, Bind, Expr, Func, Mem, Stmt, Ty, Var, interp};

const ITEMS: i32 = 3;
const BYTES: usize = 8;

/// What the statements in front may name.
struct Parts {
    x: Mem,
    first: Var,
    /// Numbers that they may give a value.
    value: Var,
    column: Var,
}

impl Parts {
    fn row(&self) -> Access {
        at(self.x, offset(var(self.first), BYTES as i64, 0), 0, Scalar::U8)
    }

    fn ask(&self) -> Stmt {
        Stmt::Prefetch { from: self.row(), bytes: BYTES }
    }
}

/// `first for first in 0..n { front }`, then items that each ask for the row after theirs.
fn func(front: impl Fn(&Parts) -> Vec<Stmt>) -> Func {
    let mut b = Build::new("f", 1);
    let x = b.buffer("x", Scalar::U8, false);
    let [first, value, column, item] = ["first", "v", "column", "item"].map(|name| b.one(name, Ty::I32));
    let p = Parts { x, first, value, column };
    let after = Stmt::Prefetch { from: at(p.x, offset(var(item), BYTES as i64, 8), 0, Scalar::U8), bytes: BYTES };
    let early = for_(Bind::First, p.first, int(0), var(Var(0)), front(&p));
    b.func.body = vec![early, for_(Bind::Work, item, int(0), var(Var(0)), vec![after])];
    b.func
}

/// What one or several workers say of it.
fn run(func: &Func) -> Vec<Result<(), String>> {
    let ints: Vec<i32> = vec![ITEMS; func.ints];
    let x = || vec![vec![7; BYTES * ITEMS as usize]];
    let mut all = vec![interp::run(func, &ints, &[], &mut x(), 0, ITEMS)];
    all.extend((1..6).map(|workers| interp::run_at_once(func, &ints, &[], &mut x(), workers, |n| n - 1)));
    all.into_iter().map(|done| done.map_err(|fault| fault.to_string())).collect()
}

/// The items do not stop at the end of the memory, what is in front of them does.
#[test]
fn what_is_asked_for_early_is_there() {
    assert!(run(&func(|p| vec![p.ask()])).iter().all(Result::is_ok));
    let fault = |front: fn(&Parts) -> Vec<Stmt>, by_one: &str| {
        let results = run(&func(front));
        assert!(results.iter().any(|result| result.as_ref().is_err_and(|fault| fault.contains(by_one))), "{results:?}");
    };
    // Only a worker whose first item is the last one asks for too much.
    fault(|p| vec![Stmt::Prefetch { from: p.row(), bytes: BYTES + 1 }], "9 bytes at 16 + 0 * 0 leave the 24 bytes");
    let before = |p: &Parts| at(p.x, offset(var(p.first), BYTES as i64, -1), 0, Scalar::U8);
    fault(|p| vec![Stmt::Prefetch { from: p.row(), bytes: 25 }], "25 bytes at 0 + 0 * 0 leave the 24 bytes");
    let early = run(&func(|p| vec![Stmt::Prefetch { from: before(p), bytes: 1 }]));
    assert!(
        early.iter().all(|result| result.as_ref().is_err_and(|fault| fault.contains("1 bytes at -1"))),
        "{early:?}"
    );
}

/// Both the interpreter and the printer refuse it, and name it.
#[track_caller]
fn refused(func: &Func, other: &str) {
    let reason = "in front of the items, memory is only asked for";
    for result in run(func) {
        assert_eq!(result, Err(format!("{reason}, at `{other}`")));
    }
    let printed = cuda::emit(func, 32, &Default::default()).unwrap_err();
    assert_eq!(printed.reason, format!("{reason}: `{other}`"));
}

#[test]
fn nothing_else_is_done_in_front() {
    let mut fine = func(|p| {
        let double = let_(p.value, bin(BinOp::Mul, var(p.first), int(2)));
        vec![double, for_(Bind::Serial, p.column, int(0), int(2), vec![p.ask()])]
    });
    assert!(run(&fine).iter().all(Result::is_ok));
    // A GPU does not ask for memory in its items.
    fine.body.truncate(1);
    cuda::emit(&fine, 32, &Default::default()).unwrap_or_else(|e| panic!("{e}"));
    let load = |p: &Parts| Expr::Load(p.row());
    refused(&func(|p| vec![let_(p.value, load(p))]), "let v.2: i32 = x[(long(first.1) * 8) + 0].u8");
    refused(&func(|p| vec![Stmt::Reg { var: p.value, init: int(1) }]), "reg v.2: i32 = 1");
    refused(&func(|p| vec![for_(Bind::Serial, p.value, int(0), int(2), vec![Stmt::Barrier])]), "barrier 0");
    refused(&func(|p| vec![for_(Bind::Rolled, p.value, int(0), int(2), vec![p.ask()])]), "rolled for v.2 in 0..2");
    refused(&func(|p| vec![store(p.row(), int(1))]), "x[(long(first.1) * 8) + 0].u8 = 1");
    refused(&func(|_| vec![Stmt::Await]), "await copies");
    let cond = |p: &Parts| bin(BinOp::Lt, var(p.first), int(1));
    refused(&func(|p| vec![Stmt::If { cond: cond(p), then: vec![p.ask()], other: vec![] }]), "if first.1 < 1");
    // An integer scalar lies in memory that a launch before may write.
    let mut scalar = func(|p| vec![p.ask()]);
    scalar.dims = 0;
    refused(&scalar, "first for first.1 in 0..n.0");
}
