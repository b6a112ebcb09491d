//! Prints expressions.
use super::stmt::{Printed, Printer};
use crate::instructions::instruction;
use crate::ir::{BinOp, Buffer, Kind, Scalar, UnOp};
use crate::loop_ir::{Access, Expr, Mem, Ty, lanes};

impl Printer<'_> {
    /// An expression and its type.
    pub(super) fn expr(&self, e: &Expr) -> Printed<(String, Ty)> {
        Ok(match e {
            Expr::Int(v) => (format!("{v}"), Ty::I32),
            Expr::Long(v) => (format!("{v}ll"), Ty::I64),
            Expr::Float(v) => (format!("__uint_as_float(0x{:08x}u)", crate::float::bits(*v)), Ty::F32),
            Expr::Bool(v) => (v.to_string(), Ty::Bool),
            Expr::Var(v) => (self.var(*v), self.func.vars[v.0 as usize].ty),
            Expr::Load(a) => {
                let ty = if a.scalar.range().is_some() { Ty::I32 } else { Ty::F32 };
                (format!("load_{}({})", self.how(a), self.address(a)?), ty)
            }
            Expr::LoadPack(a) => {
                let ty = match a.scalar {
                    Scalar::U8 => Ty::U8x4,
                    Scalar::I8 => Ty::I8x4,
                    _ => Ty::I16x2,
                };
                (format!("load_pack{}({})", self.place_alignment(a).min(4), self.address(a)?), ty)
            }
            Expr::Widen(a) => (format!("(i64){}", self.operand(a)?), Ty::I64),
            Expr::Splat4(a) => (format!("(0x01010101u * (u32){})", self.operand(a)?), Ty::U8x4),
            Expr::Bytes(parts) => {
                let parts: Vec<String> = parts.iter().map(|part| self.text(part)).collect::<Printed<_>>()?;
                let text = match &parts[..] {
                    [a, b, c, d] if a == b && c == d => format!("bytes_twice({a}, {c})"),
                    parts => format!("bytes({})", parts.join(", ")),
                };
                (text, Ty::U8x4)
            }
            Expr::Pair(a, b) => {
                (format!("(((u32){} & 0xffffu) | (u32){} << 16)", self.operand(a)?, self.operand(b)?), Ty::I16x2)
            }
            Expr::Unary(op, a) => self.unary(*op, a)?,
            Expr::Binary(op, a, b) => self.binary(*op, a, b)?,
            Expr::Fma(a, b, c) => {
                (format!("__fmaf_rn({}, {}, {})", self.text(a)?, self.text(b)?, self.text(c)?), Ty::F32)
            }
            Expr::Select(c, a, b) => {
                let (text, ty) = self.expr(a)?;
                if ty == Ty::U8x4 {
                    return Ok((format!("choose({}, {text}, {})", self.text(c)?, self.text(b)?), ty));
                }
                (format!("({} ? {text} : {})", self.text(c)?, self.text(b)?), ty)
            }
            Expr::Shuffle { mask, value } => {
                let (text, ty) = self.expr(value)?;
                (format!("__shfl_xor_sync(mask, {text}, {mask}, {})", self.func.width), ty)
            }
            Expr::First(value) => {
                let (text, ty) = self.expr(value)?;
                (format!("__shfl_sync(mask, {text}, 0, {})", self.func.width), ty)
            }
            Expr::Call { intrinsic, args, .. } => {
                let known = instruction(intrinsic).and_then(|i| Some((i.cuda?, lanes::ty(i.result)?)));
                let Some((template, ty)) = known else {
                    return Err(format!("CUDA has no `{intrinsic}`"));
                };
                let mut text = template.replace("{mask}", "mask");
                for arg in args {
                    text = text.replacen("{}", &self.text(arg)?, 1);
                }
                (text, ty)
            }
        })
    }

    pub(super) fn text(&self, e: &Expr) -> Printed<String> {
        Ok(self.expr(e)?.0)
    }

    /// In parentheses where it is more than a name or a call.
    fn operand(&self, e: &Expr) -> Printed<String> {
        Ok(closed(e, self.text(e)?))
    }

    /// The address that this thread touches.
    pub(super) fn address(&self, a: &Access) -> Printed<String> {
        let base = match a.mem {
            Mem::Buffer(i) => format!("{}_", self.func.buffers[i].name),
            Mem::Local(v) | Mem::Shared(v) => self.var(v),
            Mem::Scratch => "scratch".into(),
        };
        let addr = self.operand(&a.addr)?;
        let offset = match &a.offset {
            Some(offset) => format!(" + {}", self.operand(offset)?),
            None => String::new(),
        };
        Ok(match (a.lane_stride, self.func.width) {
            (0, _) | (_, 1) => format!("{base} + {addr}{offset}"),
            (stride, _) => format!("{base} + {addr} + lane * {stride}{offset}"),
        })
    }

    /// The name of a number's loads and stores: at a place that may not be aligned, they go byte by byte.
    pub(super) fn how(&self, a: &Access) -> String {
        let size = a.scalar.bytes() as i64;
        let bytes = if self.place_alignment(a) < size { "_bytes" } else { "" };
        format!("{}{bytes}", a.scalar.name())
    }

    fn unary(&self, op: UnOp, a: &Expr) -> Printed<(String, Ty)> {
        let (x, ty) = self.expr(a)?;
        Ok(match (op, ty) {
            (UnOp::Neg, _) => (format!("(-{})", closed(a, x)), ty),
            (UnOp::Abs, Ty::F32) => (format!("fabsf({x})"), ty),
            (UnOp::Abs, _) => (format!("abs({x})"), ty),
            (UnOp::Sqrt, _) => (format!("__fsqrt_rn({x})"), ty),
            (UnOp::Rint, _) => (format!("rintf({x})"), ty),
            (UnOp::ToInt { lo, hi }, _) => (format!("to_int({x}, {lo}, {hi})"), Ty::I32),
            (UnOp::ToF32, _) => (format!("__int2float_rn({x})"), Ty::F32),
            (UnOp::Bits, _) => (format!("bits({x})"), Ty::I32),
            (UnOp::FromBits, _) => (format!("__int_as_float({x})"), Ty::F32),
            (UnOp::Not, _) => (format!("(!{})", closed(a, x)), ty),
            (UnOp::FromHalf | UnOp::ToHalf(_), _) => return Err("halves are converted by loads and stores".into()),
        })
    }

    fn binary(&self, op: BinOp, a: &Expr, b: &Expr) -> Printed<(String, Ty)> {
        let (x, ty) = self.expr(a)?;
        let y = self.text(b)?;
        let function = match (op, ty) {
            (BinOp::Add, Ty::F32) => "__fadd_rn",
            (BinOp::Sub, Ty::F32) => "__fsub_rn",
            (BinOp::Mul, Ty::F32) => "__fmul_rn",
            (BinOp::Div, Ty::F32) => "__fdiv_rn",
            (BinOp::Min, Ty::F32) => "fmin_total",
            (BinOp::Max, Ty::F32) => "fmax_total",
            (BinOp::Min, _) => "min",
            (BinOp::Max, _) => "max",
            (BinOp::Shr, Ty::U8x4) => "pack_shr",
            (BinOp::Shr, Ty::I32) => "shr",
            (BinOp::Shl, Ty::U8x4) => "pack_shl",
            _ => {
                let result = if matches!(op, BinOp::Lt | BinOp::Le | BinOp::Eq | BinOp::Ne) { Ty::Bool } else { ty };
                let (x, y) = (closed(a, x), closed(b, y));
                return Ok((format!("({x} {} {y})", crate::text::binary(op)), result));
            }
        };
        Ok((format!("{function}({x}, {y})"), ty))
    }

    /// What a buffer certainly begins at a multiple of, at most 16. Memory begins at a multiple of 256 bytes, and a part of it with
    /// one of the first extent's iterations; of packed weights there are no parts.
    pub(super) fn begins_at(&self, buffer: usize) -> i64 {
        if self.func.layouts.get(buffer).is_some_and(Option::is_some) {
            return 16;
        }
        let Buffer { elem_bytes, shape, .. } = &self.func.buffers[buffer];
        let constants = shape.iter().skip(1).filter_map(|e| if let Kind::Int(n) = e.kind { Some(n) } else { None });
        constants.fold(power(*elem_bytes as i64), |bytes, extent| (bytes * power(extent)).min(16))
    }

    /// What the places of all lanes are certainly multiples of.
    pub(super) fn access_alignment(&self, a: &Access) -> i64 {
        let begin = if let Mem::Buffer(i) = a.mem { self.begins_at(i) } else { 16 };
        begin.min(self.place_alignment(a)).min(power(a.lane_stride as i64))
    }

    /// What a place is certainly a multiple of, from the beginning of its memory on, and before lanes that lie evenly.
    fn place_alignment(&self, a: &Access) -> i64 {
        a.exprs().map(|e| self.alignment(e)).min().unwrap_or(1)
    }

    /// What an address is certainly a multiple of (a power of two, at most 16).
    fn alignment(&self, e: &Expr) -> i64 {
        match e {
            Expr::Long(v) => power(*v),
            Expr::Int(v) => power(*v as i64),
            Expr::Var(v) => self.offsets.get(v).map_or(1, |value| self.alignment(value)),
            Expr::Widen(a) => self.alignment(a),
            Expr::Binary(BinOp::Add | BinOp::Rem, a, b) => self.alignment(a).min(self.alignment(b)),
            Expr::Binary(BinOp::Mul, a, b) => (self.alignment(a) * self.alignment(b)).min(16),
            _ => 1,
        }
    }
}

/// The largest power of two, at most 16, of which a number is a multiple.
fn power(v: i64) -> i64 {
    if v == 0 { 16 } else { (v & -v).min(16) }
}

/// The text of an expression, in parentheses where it is more than a name or a call.
fn closed(e: &Expr, text: String) -> String {
    let plain = matches!(e, Expr::Var(_) | Expr::Load(_) | Expr::Call { .. }) || text.starts_with('(');
    if plain { text } else { format!("({text})") }
}
