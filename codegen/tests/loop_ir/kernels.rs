//! Small kernels as a lowering would make them, for any width.
use crate::build::*;
use kgen::ir::{BinOp, Scalar, UnOp};
use kgen::loop_ir::{Bind, Expr, Func, Mem, Owner, Stmt, Ty, Var};

/// `y[i] = a[i] + b[i]` over `n` elements: registers first, then one by one.
pub fn add(width: usize) -> Func {
    let mut b = Build::new("add", width);
    b.func.work = int(1);
    let [x, y, z] = [("x", false), ("y", false), ("z", true)].map(|(name, w)| b.buffer(name, Scalar::F32, w));
    let item = b.one("item", Ty::I32);
    let [i, lane, rest] = [b.one("i", Ty::I32), b.each("lane", Ty::I32), b.one("rest", Ty::I32)];
    let whole = b.one("whole", Ty::I32);
    let sum = |i: Var, stride: i32| {
        let place = |mem: Mem| at(mem, offset(var(i), 4, 0), stride, Scalar::F32);
        store(place(z), bin(BinOp::Add, Expr::Load(place(x)), Expr::Load(place(y))))
    };
    let w = width as i32;
    let simd = for_(Bind::Simd, lane, int(0), int(w), vec![sum(i, 4)]);
    let body = vec![
        let_(whole, bin(BinOp::Mul, bin(BinOp::Div, var(Var(0)), int(w)), int(w))),
        Stmt::For { bind: Bind::Serial, var: i, lo: int(0), hi: var(whole), step: w, body: vec![simd] },
        for_(Bind::Serial, rest, var(whole), var(Var(0)), vec![sum(rest, 0)]),
    ];
    b.func.body.push(for_(Bind::Work, item, int(0), int(1), body));
    b.func
}

/// Bytes of a row of [`dot`].
pub const ROW: usize = 256;

/// `y[n] = (the integer dot of rows n) * 0.5`: nibbles of `w` (low half, then high half) against signed bytes of `x`.
pub fn dot(width: usize, unit: &'static str) -> Func {
    let mut b = Build::new(&format!("dot_{unit}"), width);
    let [w, x, y] = [("w", Scalar::U8, false), ("x", Scalar::I8, false), ("y", Scalar::F32, true)]
        .map(|(name, scalar, written)| b.buffer(name, scalar, written));
    let [row, c, total] = ["row", "c", "total"].map(|name| b.one(name, Ty::I32));
    let acc = b.each("acc", Ty::I32);
    let q = b.each("q", Ty::U8x4);
    let step = 4 * width as i64;
    let stride = if width == 1 { 0 } else { 4 };
    let addr = |base: i64| bin(BinOp::Add, offset(var(row), base, 0), offset(var(c), step, 0));
    let half = |high: bool| {
        let x =
            Expr::LoadPack(at(x, bin(BinOp::Add, addr(ROW as i64), Expr::Long(128 * high as i64)), stride, Scalar::I8));
        let mask = Expr::Splat4(Box::new(int(15)));
        let w = if high { bin(BinOp::Shr, var(q), int(4)) } else { bin(BinOp::And, var(q), mask) };
        Stmt::Set { var: acc, value: call(unit, vec![var(acc), w, x]) }
    };
    let pack = Expr::LoadPack(at(w, addr(ROW as i64 / 2), stride, Scalar::U8));
    let body = vec![
        Stmt::Reg { var: acc, init: int(0) },
        for_(Bind::Serial, c, int(0), int(128 / step as i32), vec![let_(q, pack), half(false), half(true)]),
        let_(total, call("hsum", vec![var(acc)])),
        store(
            at(y, offset(var(row), 4, 0), 0, Scalar::F32),
            bin(BinOp::Mul, un(UnOp::ToF32, var(total)), Expr::Float(0.5)),
        ),
    ];
    b.items(row, body)
}

/// `y[n]` = sum of row `n` of 64 halves, squared: lane `i mod 32`, then an xor tree. Registers of `width` lanes share it;
/// with one lane the 32 lanes are an array.
pub fn tree(width: usize) -> Func {
    let mut b = Build::new("tree", width);
    let [x, y] = [("x", Scalar::F16, false), ("y", Scalar::Bf16, true)].map(|(n, s, w)| b.buffer(n, s, w));
    let [row, i, j] = ["row", "i", "j"].map(|name| b.one(name, Ty::I32));
    let lanes = b.one("lanes", Ty::F32);
    let v = b.each("v", Ty::F32);
    b.func.body.push(Stmt::Array { var: lanes, scalar: Scalar::F32, len: 32, of: Owner::Worker });
    let stride = |bytes: i32| if width == 1 { 0 } else { bytes };
    let w = width as i64;
    let local = |index: Var, plus: i64| at(Mem::Local(lanes), offset(var(index), 4 * w, plus), stride(4), Scalar::F32);
    let half = |plus: i64| {
        let addr = bin(BinOp::Add, offset(var(row), 128, plus), offset(var(i), 2 * w, 0));
        Expr::Load(at(x, addr, stride(2), Scalar::F16))
    };
    let fold = |plus: i64, acc: Expr| fma(half(plus), half(plus), acc);
    let groups = 32 / width as i32;
    let mut body =
        vec![for_(Bind::Serial, i, int(0), int(groups), vec![store(local(i, 0), fold(64, fold(0, Expr::Float(0.0))))])];
    let mut m = 16;
    while m >= width as i32 {
        let add = bin(BinOp::Add, Expr::Load(local(j, 0)), Expr::Load(local(j, 4 * m as i64)));
        body.push(for_(Bind::Serial, j, int(0), int(m / width as i32), vec![store(local(j, 0), add)]));
        m /= 2;
    }
    body.push(Stmt::Reg { var: v, init: Expr::Load(at(Mem::Local(lanes), Expr::Long(0), stride(4), Scalar::F32)) });
    while m > 0 {
        body.push(Stmt::Set { var: v, value: bin(BinOp::Add, var(v), shuffle(m as u32, var(v))) });
        m /= 2;
    }
    body.push(store(at(y, offset(var(row), 2, 0), 0, Scalar::Bf16), Expr::First(Box::new(var(v)))));
    b.items(row, body)
}

/// Uniform control: `y[n]` is the sum of `f(k)` over odd `k < n`, at most 100, where `f` changes at 10.
pub fn control() -> Func {
    let mut b = Build::new("control", 1);
    let y = b.buffer("y", Scalar::I32, true);
    let [item, k, acc] = ["item", "k", "acc"].map(|name| b.one(name, Ty::I32));
    let add = |value: Expr| vec![Stmt::Set { var: acc, value: bin(BinOp::Add, var(acc), value) }];
    let odd = bin(BinOp::Eq, bin(BinOp::Rem, var(k), int(2)), int(1));
    let branch = Stmt::If {
        cond: bin(BinOp::And, odd, un(UnOp::Not, bin(BinOp::Le, int(100), var(acc)))),
        then: vec![Stmt::If {
            cond: bin(BinOp::Lt, var(k), int(10)),
            then: add(var(k)),
            other: add(bin(BinOp::Shl, un(UnOp::Neg, var(k)), int(1))),
        }],
        other: Vec::new(),
    };
    let value = select(bin(BinOp::Ne, var(item), int(3)), bin(BinOp::Min, var(acc), int(100)), un(UnOp::Abs, int(-7)));
    let body = vec![
        Stmt::Reg { var: acc, init: int(0) },
        Stmt::For { bind: Bind::Serial, var: k, lo: int(0), hi: var(item), step: 1, body: vec![branch] },
        store(at(y, offset(var(item), 4, 0), 0, Scalar::I32), value),
    ];
    b.items(item, body)
}
