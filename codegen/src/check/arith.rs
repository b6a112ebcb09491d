//! Typed construction of operations: what may be combined, integer ranges, constant folding.
use super::{Checked, Checker, int, node, range};
use crate::diagnostic::{Code, Diagnostic};
use crate::ir::{BinOp, Expr, Kind, Span, Ty, UnOp};
use crate::text;

impl Checker<'_> {
    pub(super) fn binary(&mut self, op: BinOp, a: Expr, b: Expr, span: Span) -> Checked<Expr> {
        use BinOp::*;
        match (a.ty, b.ty) {
            (Ty::Int { .. }, Ty::Int { .. }) => self.int_binary(op, a, b, span),
            (Ty::F32, Ty::F32) => match op {
                Add | Sub | Mul | Div | Min | Max => Ok(node(Kind::Binary(op, a, b), Ty::F32, span)),
                Lt | Le | Eq | Ne => Ok(node(Kind::Binary(op, a, b), Ty::Bool, span)),
                _ => self.error(Code::Type, span, format!("`{}` does not work on floats", text::binary(op)), "on f32"),
            },
            (Ty::Bool, Ty::Bool) if matches!(op, And | Or | Xor | Eq | Ne) => {
                Ok(node(Kind::Binary(op, a, b), Ty::Bool, span))
            }
            (x, y) => {
                let message = format!("`{}` between {} and {}", text::binary(op), text::ty(x), text::ty(y));
                let d = operands(Code::Type, span, message, (&a, text::ty(x)), (&b, text::ty(y)));
                self.fail(d.help("convert with `.f32()` or `.int(lo, hi)`; nothing is converted silently"))
            }
        }
    }

    fn int_binary(&mut self, op: BinOp, a: Expr, b: Expr, span: Span) -> Checked<Expr> {
        use BinOp::*;
        if matches!(op, Lt | Le | Eq | Ne) {
            return Ok(node(Kind::Binary(op, a, b), Ty::Bool, span));
        }
        let (ra, rb) = (range::of(&a), range::of(&b));
        let Some(result) = range::binary(op, ra, rb) else {
            let message = format!("`{}` needs {}", text::binary(op), operands_of(op));
            let d = operands(Code::Divisor, span, message, (&a, text::range(ra)), (&b, text::range(rb)));
            return self.fail(d.help("narrow the operands, or reorder the arithmetic"));
        };
        self.in_i32(result, span)?;
        if result.0 == result.1 {
            return Ok(int(result.0, span));
        }
        Ok(match (op, ra, rb) {
            (Add | Or | Xor, (0, 0), _) | (Mul, (1, 1), _) => b,
            (Add | Sub | Or | Xor | Shl | Shr, _, (0, 0)) | (Mul | Div, _, (1, 1)) => a,
            (Rem, (lo, hi), (m, _)) if lo >= 0 && hi < m => a,
            (Min, (_, hi), (lo, _)) if hi <= lo => a,
            (Min, (lo, _), (_, hi)) if hi <= lo => b,
            _ => node(Kind::Binary(op, a, b), Ty::Int { lo: result.0, hi: result.1 }, span),
        })
    }

    /// Reports a range that leaves `i32`.
    pub(super) fn in_i32(&mut self, range: (i64, i64), span: Span) -> Checked<()> {
        if range::fits(range) {
            return Ok(());
        }
        let label = format!("may be anywhere in {}..={}", range.0, range.1);
        let d = Diagnostic::new(Code::Range, span, "this integer may leave i32", label);
        self.fail(d.help("integers are exact: declare narrower fields, or split the sum before it is converted to f32"))
    }

    pub(super) fn unary(&mut self, op: UnOp, a: Expr, span: Span) -> Checked<Expr> {
        let ty = match (op, a.ty) {
            (UnOp::Neg, Ty::Int { lo, hi }) => {
                self.in_i32((-hi, -lo), span)?;
                if let Kind::Int(v) = a.kind {
                    return Ok(int(-v, span));
                }
                Ty::Int { lo: -hi, hi: -lo }
            }
            (UnOp::Neg, Ty::F32) => match a.kind {
                Kind::Float(x) => return Ok(super::float(-x, span)),
                _ => Ty::F32,
            },
            (UnOp::Abs, Ty::Int { lo, hi }) => {
                self.in_i32((0, lo.abs().max(hi.abs())), span)?;
                Ty::Int { lo: 0, hi: lo.abs().max(hi.abs()) }
            }
            (UnOp::Abs | UnOp::Sqrt | UnOp::Rint, Ty::F32) => Ty::F32,
            (UnOp::ToInt { lo, hi }, Ty::F32) => Ty::Int { lo: lo as i64, hi: hi as i64 },
            (UnOp::ToF32, Ty::Int { .. }) => Ty::F32,
            (UnOp::FromHalf, Ty::Half(_)) => Ty::F32,
            (UnOp::ToHalf(s), Ty::F32) => Ty::Half(s),
            (UnOp::Bits, Ty::F32) => Ty::Int { lo: i32::MIN as i64, hi: i32::MAX as i64 },
            (UnOp::FromBits, Ty::Int { .. }) => Ty::F32,
            (UnOp::Not, Ty::Bool) => Ty::Bool,
            (_, ty) => {
                let message = format!("`{}` does not work on {}", text::unary(op), text::ty(ty));
                return self.error(Code::Type, a.span, message, text::ty(ty));
            }
        };
        Ok(node(Kind::Unary(op, a), ty, span))
    }
}

/// An error of an operation at `span`, with what its operands are where both can be pointed at.
fn operands(code: Code, span: Span, message: String, a: (&Expr, String), b: (&Expr, String)) -> Diagnostic {
    let inside = |s: Span| s.file == span.file && span.lo <= s.lo && s.hi <= span.hi;
    let (at, other) = (a.0.span, b.0.span);
    if inside(at) && inside(other) && (at.hi <= other.lo || other.hi <= at.lo) {
        Diagnostic::new(code, at, message, a.1).label(other, b.1)
    } else {
        Diagnostic::new(code, span, message, format!("{} and {}", a.1, b.1))
    }
}

fn operands_of(op: BinOp) -> &'static str {
    match op {
        BinOp::Shl | BinOp::Shr => "a shift in 0..=31",
        _ => "a positive divisor and a dividend that is not negative",
    }
}
