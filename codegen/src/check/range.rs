//! Interval arithmetic: the range that an integer expression is proved to lie in.
use crate::ir::{BinOp, Expr, Ty};

/// The range of an integer expression.
pub fn of(e: &Expr) -> (i64, i64) {
    match e.ty {
        Ty::Int { lo, hi } => (lo, hi),
        _ => unreachable!("asked for the range of what is no integer"),
    }
}

/// The range of `a op b`; `None` where a divisor may not be positive, a dividend negative, or a shift out of 0..=31.
pub fn binary(op: BinOp, a: (i64, i64), b: (i64, i64)) -> Option<(i64, i64)> {
    let corners = |f: fn(i64, i64) -> i64| {
        let all = [f(a.0, b.0), f(a.0, b.1), f(a.1, b.0), f(a.1, b.1)];
        (*all.iter().min().expect("four"), *all.iter().max().expect("four"))
    };
    Some(match op {
        BinOp::Add => (a.0 + b.0, a.1 + b.1),
        BinOp::Sub => (a.0 - b.1, a.1 - b.0),
        BinOp::Mul => corners(|x, y| x * y),
        BinOp::Div if b.0 > 0 && a.0 >= 0 => (a.0 / b.1, a.1 / b.0),
        BinOp::Rem if b.0 > 0 && a.0 >= 0 => (if a.1 < b.0 { a.0 } else { 0 }, a.1.min(b.1 - 1)),
        BinOp::Min => (a.0.min(b.0), a.1.min(b.1)),
        BinOp::Max => (a.0.max(b.0), a.1.max(b.1)),
        BinOp::And if a.0 >= 0 && b.0 >= 0 => (0, a.1.min(b.1)),
        BinOp::And if b.0 >= 0 => (0, b.1),
        BinOp::And if a.0 >= 0 => (0, a.1),
        BinOp::Or | BinOp::Xor if a.0 >= 0 && b.0 >= 0 => (0, ones(a.1 | b.1)),
        BinOp::And | BinOp::Or | BinOp::Xor => (i32::MIN as i64, i32::MAX as i64),
        BinOp::Shl if b.0 >= 0 && b.1 < 32 => corners(|x, y| x << y),
        BinOp::Shr if b.0 >= 0 && b.1 < 32 => corners(|x, y| x >> y),
        _ => return None,
    })
}

/// The smallest 2^k - 1 that is at least `x`.
fn ones(x: i64) -> i64 {
    (x as u64 + 1).next_power_of_two() as i64 - 1
}

/// Whether the range lies inside `i32`.
pub fn fits(range: (i64, i64)) -> bool {
    range.0 >= i32::MIN as i64 && range.1 <= i32::MAX as i64
}
