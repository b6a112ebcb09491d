//! Functions that do every operation once, for registers and for single values.
use crate::build::*;
use kgen::ir::{BinOp, Scalar, UnOp};
use kgen::loop_ir::{Bind, Expr, Func, Mem, Stmt, Ty, Var};

/// Every kind of number in memory.
pub const SCALARS: [Scalar; 8] =
    [Scalar::F32, Scalar::F16, Scalar::Bf16, Scalar::I32, Scalar::I16, Scalar::U16, Scalar::I8, Scalar::U8];

/// Inputs of [`arithmetic`], with their types; `w` lanes of each for an item.
pub const INPUTS: [(&str, Ty); 8] = [
    ("x", Ty::F32),
    ("y", Ty::F32),
    ("z", Ty::F32),
    ("i", Ty::I32),
    ("j", Ty::I32),
    ("bits", Ty::I32),
    ("u", Ty::U8x4),
    ("s", Ty::I8x4),
];

/// Every operation on numbers. Where `mixed`, the second operands are single values. Needs |i|, |j| < 2^14, bytes of `u`
/// in 0..=63 and of `s` in -32..=31.
pub fn arithmetic(width: usize, unit: &'static str, mixed: bool) -> Func {
    let mut b = Build::new(&format!("arithmetic_{unit}_{mixed}"), width);
    let mems: Vec<Mem> = INPUTS.iter().map(|(name, ty)| b.buffer(name, stored_as(*ty), false)).collect();
    let item = b.one("item", Ty::I32);
    let mut body = Vec::new();
    let vars: Vec<Var> = INPUTS
        .iter()
        .zip(mems)
        .map(|((name, ty), mem)| {
            let single = width == 1 || mixed && ["y", "j"].contains(name);
            let place = at(mem, offset(var(item), 4 * width as i64, 0), if single { 0 } else { 4 }, stored_as(*ty));
            let value = if stored_as(*ty) == Scalar::U8 || stored_as(*ty) == Scalar::I8 {
                Expr::LoadPack(place)
            } else {
                Expr::Load(place)
            };
            let v = if single { b.one(name, *ty) } else { b.each(name, *ty) };
            body.push(let_(v, value));
            v
        })
        .collect();
    let reversed = b.each("reversed", Ty::U8x4);
    let last = offset(var(item), 4 * width as i64, 4 * (width as i64 - 1));
    body.push(let_(reversed, Expr::LoadPack(at(Mem::Buffer(6), last, -4, Scalar::U8))));
    let mut results = float_results(&vars);
    results.push((Ty::I32, halves_result(&vars, width, unit)));
    results.push((Ty::I32, call(unit, vec![var(vars[3]), var(reversed), var(vars[7])])));
    results.extend(int_results(&vars, width));
    results.extend(byte_results(&vars, width, unit));
    let slots = results.len() as i64;
    for ty in [Ty::F32, Ty::I32] {
        let out = b.buffer(if ty == Ty::F32 { "floats" } else { "ints" }, stored_as(ty), true);
        for (slot, (_, value)) in results.iter().enumerate().filter(|(_, (t, _))| *t == ty) {
            let w = 4 * width as i64;
            let place = at(out, offset(var(item), slots * w, slot as i64 * w), 4, stored_as(ty));
            body.push(store(place, value.clone()));
        }
    }
    b.items(item, body)
}

/// The number of slots that [`arithmetic`] stores an item.
pub fn slots(func: &Func) -> usize {
    fn count(stmts: &[Stmt]) -> usize {
        stmts
            .iter()
            .map(|s| match s {
                Stmt::For { body, .. } => count(body),
                Stmt::Store { .. } => 1,
                _ => 0,
            })
            .sum()
    }
    count(&func.body)
}

fn stored_as(ty: Ty) -> Scalar {
    match ty {
        Ty::F32 => Scalar::F32,
        Ty::U8x4 => Scalar::U8,
        Ty::I8x4 => Scalar::I8,
        _ => Scalar::I32,
    }
}

fn float_results(vars: &[Var]) -> Vec<(Ty, Expr)> {
    let [x, y, z] = [0, 1, 2].map(|i| var(vars[i]));
    let mut out = Vec::new();
    for op in [BinOp::Add, BinOp::Sub, BinOp::Mul, BinOp::Div, BinOp::Min, BinOp::Max] {
        out.push((Ty::F32, bin(op, x.clone(), y.clone())));
    }
    for op in [UnOp::Neg, UnOp::Abs, UnOp::Sqrt, UnOp::Rint] {
        out.push((Ty::F32, un(op, x.clone())));
    }
    out.push((Ty::F32, fma(x.clone(), y.clone(), z.clone())));
    for op in [BinOp::Lt, BinOp::Le, BinOp::Eq, BinOp::Ne] {
        out.push((Ty::F32, select(bin(op, x.clone(), y.clone()), x.clone(), Expr::Float(-0.5))));
    }
    let (lt, le) = (bin(BinOp::Lt, x.clone(), y.clone()), bin(BinOp::Le, z.clone(), x.clone()));
    for op in [BinOp::And, BinOp::Or, BinOp::Xor] {
        out.push((Ty::F32, select(bin(op, lt.clone(), un(UnOp::Not, le.clone())), y.clone(), z.clone())));
    }
    out.push((Ty::F32, select(bin(BinOp::And, lt, Expr::Bool(true)), y, Expr::Float(f32::NEG_INFINITY))));
    for (lo, hi) in [(i32::MIN, i32::MAX), (-127, 127), (0, 255)] {
        out.push((Ty::I32, un(UnOp::ToInt { lo, hi }, x.clone())));
    }
    out.push((Ty::I32, un(UnOp::Bits, x)));
    out
}

fn int_results(vars: &[Var], width: usize) -> Vec<(Ty, Expr)> {
    let [i, j, bits] = [3, 4, 5].map(|i| var(vars[i]));
    let mut out = Vec::new();
    for op in [BinOp::Add, BinOp::Sub, BinOp::Mul, BinOp::Min, BinOp::Max, BinOp::And, BinOp::Or, BinOp::Xor] {
        out.push((Ty::I32, bin(op, i.clone(), j.clone())));
    }
    let by = bin(BinOp::And, j.clone(), int(15));
    out.push((Ty::I32, bin(BinOp::Shl, i.clone(), by.clone())));
    out.push((Ty::I32, bin(BinOp::Shr, bits.clone(), by)));
    out.push((Ty::I32, un(UnOp::Neg, i.clone())));
    out.push((Ty::I32, un(UnOp::Abs, j.clone())));
    for op in [BinOp::Lt, BinOp::Le, BinOp::Eq, BinOp::Ne] {
        out.push((
            Ty::I32,
            select(bin(op, bin(BinOp::And, i.clone(), int(7)), bin(BinOp::And, j.clone(), int(7))), i.clone(), int(-5)),
        ));
    }
    out.push((Ty::F32, un(UnOp::ToF32, bits.clone())));
    out.push((Ty::F32, un(UnOp::FromBits, bits.clone())));
    if width > 1 {
        let mut mask = 1;
        while mask < width as u32 {
            out.push((Ty::I32, shuffle(mask, bits.clone())));
            out.push((Ty::F32, shuffle(mask | 1, var(vars[0]))));
            mask *= 2;
        }
        out.push((Ty::I32, call("hsum", vec![i.clone()])));
        out.push((Ty::I32, Expr::First(Box::new(bits))));
        let first = Expr::First(Box::new(bin(BinOp::Lt, i.clone(), int(0))));
        out.push((Ty::I32, select(first, i, int(3))));
    } else {
        let positive = |e: Expr| bin(BinOp::And, e, int(0xfff));
        out.push((Ty::I32, bin(BinOp::Div, positive(i.clone()), bin(BinOp::Add, positive(j.clone()), int(1)))));
        out.push((Ty::I32, bin(BinOp::Rem, positive(i), bin(BinOp::Add, positive(j), int(1)))));
    }
    out
}

/// The instructions for halves of a register of so many lanes.
fn of_halves(width: usize) -> (&'static str, &'static str) {
    if width == 1 { ("pairs_scalar", "dot2_scalar") } else { ("pairs_maddubs", "dot2_madd") }
}

/// Dots of halves in memory: neighbours, and every third one, in a loop that stays a loop. `x` has 6 halves a lane and item.
pub fn pairs(width: usize) -> Func {
    let mut b = Build::new("pairs", width);
    let (x, y) = (b.buffer("x", Scalar::I16, false), b.buffer("y", Scalar::I32, true));
    let [item, k] = ["item", "k"].map(|name| b.one(name, Ty::I32));
    let acc = b.each("acc", Ty::I32);
    let w = width as i64;
    let pack = |stride| Expr::LoadPack(at(x, offset(var(item), 12 * w, 0), stride, Scalar::I16));
    let factors = |a, b| Expr::Pair(Box::new(a), Box::new(b));
    let dot = |numbers, factors| call(of_halves(width).1, vec![var(acc), numbers, factors]);
    let set = |value| Stmt::Set { var: acc, value };
    let both = vec![set(dot(pack(4), factors(var(k), int(3)))), set(dot(pack(12), factors(int(-2), var(k))))];
    let body = vec![
        Stmt::Reg { var: acc, init: int(7) },
        for_(Bind::Rolled, k, int(0), int(3), both),
        store(at(y, offset(var(item), 4 * w, 0), 4, Scalar::I32), var(acc)),
    ];
    b.items(item, body)
}

/// Two halves a lane, made of numbers and of bytes, and their dot.
fn halves_result(vars: &[Var], width: usize, unit: &str) -> Expr {
    let [i, j, u, s] = [3, 4, 6, 7].map(|n| var(vars[n]));
    let pair = |a: Expr, b: Expr| Expr::Pair(Box::new(a), Box::new(b));
    let (pairs, dot2) = of_halves(width);
    let dot2 = if unit == "dot4_vpdpbusd" { "dot2_vpdpwssd" } else { dot2 };
    let sums = call(pairs, vec![pair(i.clone(), j.clone()), u, s]);
    let factors = pair(bin(BinOp::Shr, j, int(1)), bin(BinOp::Sub, int(5), bin(BinOp::Shr, i.clone(), int(2))));
    call(dot2, vec![i, sums, factors])
}

/// Packs are seen through a dot product.
fn byte_results(vars: &[Var], width: usize, unit: &'static str) -> Vec<(Ty, Expr)> {
    let [i, u, s] = [3, 6, 7].map(|i| var(vars[i]));
    let splat = |v: i32| Expr::Splat4(Box::new(int(v)));
    let spread = Expr::Splat4(Box::new(bin(BinOp::And, i.clone(), int(63))));
    let unsigned = [
        u.clone(),
        spread.clone(),
        bin(BinOp::And, u.clone(), splat(15)),
        bin(BinOp::Or, u.clone(), splat(32)),
        bin(BinOp::Xor, u.clone(), spread),
        bin(BinOp::Add, u.clone(), splat(60)),
        bin(BinOp::Sub, splat(63), u.clone()),
        bin(BinOp::Shl, u.clone(), int(1)),
        bin(BinOp::Shr, bin(BinOp::Shl, u.clone(), int(2)), int(5)),
        select(bin(BinOp::Lt, i.clone(), int(0)), u.clone(), splat(9)),
        if width > 1 { shuffle(2, u.clone()) } else { u.clone() },
    ];
    let signed = [
        bin(BinOp::Shl, s.clone(), int(2)),
        bin(BinOp::Shr, s.clone(), int(2)),
        bin(BinOp::Add, s.clone(), s.clone()),
        bin(BinOp::Sub, bin(BinOp::Shr, s.clone(), int(1)), s.clone()),
        Expr::First(Box::new(s.clone())),
    ];
    let dot = |a: Expr, b: Expr| (Ty::I32, call(unit, vec![i.clone(), a, b]));
    unsigned.into_iter().map(|a| dot(a, s.clone())).chain(signed.into_iter().map(|b| dot(u.clone(), b))).collect()
}

/// Copies one register of every kind of number: neighbours, and every third one. Buffers: inputs in the order of
/// [`SCALARS`], outputs in the same; an item has `3 * width` numbers of each.
pub fn copies(width: usize) -> Func {
    let mut b = Build::new("copies", width);
    let from = SCALARS.map(|s| b.buffer(s.name(), s, false));
    let near = SCALARS.map(|s| b.buffer(&format!("{}_near", s.name()), s, true));
    let far = SCALARS.map(|s| b.buffer(&format!("{}_far", s.name()), s, true));
    let item = b.one("item", Ty::I32);
    let mut body = Vec::new();
    for (k, scalar) in SCALARS.into_iter().enumerate() {
        let size = scalar.bytes() as i32;
        let place = |mem, stride| at(mem, offset(var(item), 3 * width as i64 * size as i64, 0), stride, scalar);
        // Also where nothing is.
        let ahead = at(from[k], offset(var(item), 3 * width as i64 * size as i64, 4096), 0, scalar);
        body.push(Stmt::Prefetch { from: ahead, bytes: 128 });
        body.push(store(place(near[k], size), Expr::Load(place(from[k], 3 * size))));
        body.push(store(place(far[k], 3 * size), Expr::Load(place(from[k], size))));
    }
    b.items(item, body)
}

/// Conversions of halves. Buffers: `x` (f32) gives f16 and bf16; `h` (f16, then read as bf16) gives f32 twice.
pub fn halves(width: usize) -> Func {
    let mut b = Build::new("halves", width);
    let [x, h] = [("x", Scalar::F32), ("h", Scalar::F16)].map(|(name, s)| b.buffer(name, s, false));
    let item = b.one("item", Ty::I32);
    let place = |mem, scalar: Scalar| {
        let size = scalar.bytes() as i32;
        at(mem, offset(var(item), width as i64 * size as i64, 0), size, scalar)
    };
    let mut body = Vec::new();
    for scalar in [Scalar::F16, Scalar::Bf16] {
        let name = scalar.name();
        let (narrow, wide) = (b.buffer(name, scalar, true), b.buffer(&format!("{name}_wide"), Scalar::F32, true));
        body.push(store(place(narrow, scalar), Expr::Load(place(x, Scalar::F32))));
        body.push(store(place(wide, Scalar::F32), Expr::Load(place(h, scalar))));
    }
    b.items(item, body)
}
