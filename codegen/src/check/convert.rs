//! Conversions, which are methods of numbers.
use super::{Checked, Checker};
use crate::diagnostic::{Code, Diagnostic};
use crate::ir::{Expr, Kind, Scalar, Span, Ty, UnOp};
use crate::text;

impl Checker<'_> {
    pub(super) fn conversion(&mut self, name: &str, value: Expr, args: &[&syn::Expr], span: Span) -> Checked<Expr> {
        match (name, args, value.ty) {
            ("f32", [], Ty::F32) => Ok(value),
            ("f32", [], Ty::Half(_)) => self.unary(UnOp::FromHalf, value, span),
            ("f32", [], _) => self.unary(UnOp::ToF32, value, span),
            ("f16", [], _) => self.unary(UnOp::ToHalf(Scalar::F16), value, span),
            ("bf16", [], _) => self.unary(UnOp::ToHalf(Scalar::Bf16), value, span),
            ("int", [lo, hi], _) => {
                let (lo, hi) = (self.number(lo)?, self.number(hi)?);
                let (Kind::Int(lo), Kind::Int(hi)) = (&lo.kind, &hi.kind) else {
                    return self.error(
                        Code::Type,
                        span,
                        "`.int(lo, hi)` takes two constants",
                        "not known at compile time",
                    );
                };
                if lo > hi || *lo > 0 || *hi < 0 {
                    let message = format!("the range of `.int({lo}, {hi})` has no 0, which is where NaN goes");
                    return self.error(Code::Range, span, message, "lo <= 0 <= hi");
                }
                self.unary(UnOp::ToInt { lo: *lo as i32, hi: *hi as i32 }, value, span)
            }
            _ => {
                let message = format!(
                    "{} has no method `{name}` with {}",
                    text::ty(value.ty),
                    text::count(args.len(), "argument")
                );
                let d = Diagnostic::new(Code::UnknownName, span, message, "unknown method");
                self.fail(d.help("numbers have `.f32()`, `.f16()`, `.bf16()` and, for floats, `.int(lo, hi)`"))
            }
        }
    }
}
