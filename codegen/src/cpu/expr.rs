//! Prints expressions: plain Rust for uniform values, helper functions for registers and for what Rust leaves open.
use super::names::Names;
use super::operations;
use super::support::Helper;
use super::{Isa, Unsupported};
use crate::ir::{BinOp, Scalar, UnOp};
use crate::loop_ir::{Access, Expr, Func, Mem, Ty, lanes, memory};
use proc_macro2::{Literal, TokenStream};
use quote::{format_ident, quote};
use std::collections::BTreeSet;

/// A printed expression.
#[derive(Clone)]
pub struct Out {
    pub tokens: TokenStream,
    pub ty: Ty,
    pub varying: bool,
    binds: Binds,
}

/// How tightly an expression holds together, for parentheses.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Binds {
    /// Signs, shifts, comparisons, bit operations, choices: never without parentheses.
    Loosely,
    Sum,
    /// Products and casts.
    Product,
    Atom,
}

impl Out {
    fn atom(tokens: TokenStream, ty: Ty, varying: bool) -> Out {
        Out { tokens, ty, varying, binds: Binds::Atom }
    }

    fn infix(tokens: TokenStream, ty: Ty) -> Out {
        Out { tokens, ty, varying: false, binds: Binds::Loosely }
    }

    fn cast(tokens: TokenStream, ty: Ty) -> Out {
        Out { binds: Binds::Product, ..Out::infix(tokens, ty) }
    }

    fn operand(&self) -> TokenStream {
        self.inside(Binds::Atom)
    }

    /// The tokens, in parentheses where they hold together less than `binds`.
    fn inside(&self, binds: Binds) -> TokenStream {
        let tokens = &self.tokens;
        if self.binds >= binds { quote!(#tokens) } else { quote!((#tokens)) }
    }
}

/// What a type is called in the names of helpers; packs that do not care about their sign share one name.
fn tag(ty: Ty) -> &'static str {
    match ty {
        Ty::F32 => "f32",
        Ty::I32 => "i32",
        Ty::I64 => "i64",
        Ty::Bool => "bool",
        Ty::U8x4 | Ty::I8x4 => "pack",
        Ty::I16x2 => "half",
    }
}

type Res<T> = Result<T, Unsupported>;

/// Prints one function.
pub struct Printer<'a> {
    pub func: &'a Func,
    pub isa: Isa,
    pub names: Names,
    /// The helpers called so far.
    pub helpers: BTreeSet<Helper>,
}

impl Printer<'_> {
    pub fn error<T>(&self, reason: impl std::fmt::Display) -> Res<T> {
        Err(self.isa.lacks(format!("in `{}`: {reason}", self.func.name)))
    }

    /// Prints `e`.
    pub fn expr(&mut self, e: &Expr) -> Res<Out> {
        Ok(match e {
            Expr::Int(v) if *v < 0 => Out::infix(literal(Literal::i32_unsuffixed(*v)), Ty::I32),
            Expr::Int(v) => Out::atom(literal(Literal::i32_unsuffixed(*v)), Ty::I32, false),
            Expr::Long(v) if *v < 0 => Out::infix(literal(Literal::i64_unsuffixed(*v)), Ty::I64),
            Expr::Long(v) => Out::atom(literal(Literal::i64_unsuffixed(*v)), Ty::I64, false),
            Expr::Float(v) => float(*v),
            Expr::Bool(v) => Out::atom(quote!(#v), Ty::Bool, false),
            Expr::Var(var) => {
                let Some((info, name)) = self.func.vars.get(var.0 as usize).zip(self.names.var(*var)) else {
                    return self.error(format!("there is no variable {}", var.0));
                };
                Out::atom(quote!(#name), info.ty, info.varying && self.func.width > 1)
            }
            Expr::Load(access) => self.load(access, access.scalar.name(), memory::loaded(access.scalar))?,
            Expr::LoadPack(access) => match access.scalar {
                Scalar::U8 => self.load(access, "pack", Ty::U8x4)?,
                Scalar::I8 => self.load(access, "pack", Ty::I8x4)?,
                Scalar::I16 => self.load(access, "half", Ty::I16x2)?,
                other => return self.error(format!("neighbouring {other:?} are no pack")),
            },
            Expr::Widen(v) => {
                let v = self.uniform(v, Ty::I32)?.operand();
                Out::cast(quote!(#v as i64), Ty::I64)
            }
            Expr::Splat4(v) => {
                let v = self.typed(v, Ty::I32)?;
                self.help("splat_pack", &[v], Ty::U8x4)?
            }
            Expr::Bytes(_) => {
                return self.error("a CPU has no products of matrices: leave `columns` out of the schedule");
            }
            Expr::Pair(a, b) => {
                let args = [self.typed(a, Ty::I32)?, self.typed(b, Ty::I32)?];
                self.help("pair_half", &args, Ty::I16x2)?
            }
            Expr::Unary(op, v) => self.unary(*op, v)?,
            Expr::Binary(op, a, b) => self.binary(*op, a, b)?,
            Expr::Fma(a, b, c) => {
                let args = [self.typed(a, Ty::F32)?, self.typed(b, Ty::F32)?, self.typed(c, Ty::F32)?];
                match &args {
                    args if args.iter().any(|a| a.varying) => self.help("fma_f32", args, Ty::F32)?,
                    [Out { tokens: a, .. }, Out { tokens: b, .. }, Out { tokens: c, .. }] => {
                        Out::atom(quote!(f32::mul_add(#a, #b, #c)), Ty::F32, false)
                    }
                }
            }
            Expr::Select(c, a, b) => self.select(c, a, b)?,
            Expr::Shuffle { mask, value } => self.shuffle(*mask, value)?,
            Expr::First(value) => {
                let v = self.expr(value)?;
                if !v.varying {
                    return Ok(v);
                }
                let out = self.help(&format!("first_{}", tag(v.ty)), std::slice::from_ref(&v), v.ty)?;
                Out { varying: false, ..out }
            }
            Expr::Call { intrinsic, args, .. } => self.call(intrinsic, args)?,
        })
    }

    /// Prints `e`, which must be of type `ty`.
    fn typed(&mut self, e: &Expr, ty: Ty) -> Res<Out> {
        let out = self.expr(e)?;
        if out.ty != ty {
            return self.error(format!("a value is {:?} where {ty:?} is needed", out.ty));
        }
        Ok(out)
    }

    /// Prints `e`, which must be one value of type `ty`.
    pub fn uniform(&mut self, e: &Expr, ty: Ty) -> Res<Out> {
        let out = self.typed(e, ty)?;
        if out.varying {
            return self.error(format!("a varying {ty:?} where one value is needed"));
        }
        Ok(out)
    }

    /// `out` as a register, where it is not one already and the function has registers.
    pub fn spread(&mut self, out: Out) -> Res<Out> {
        if out.varying || self.func.width == 1 {
            return Ok(out);
        }
        let tokens = out.tokens;
        let name = self.helper(&format!("broadcast_{}", tag(out.ty)), self.func.width)?;
        Ok(Out::atom(quote!(#name(#tokens)), out.ty, true))
    }

    /// The name of a helper, noted as used.
    pub fn helper(&mut self, name: &str, lanes: usize) -> Res<proc_macro2::Ident> {
        let Some(row) = operations::find(name, self.isa, lanes) else {
            return self.error(format!("there is no `{name}` on {lanes} lanes"));
        };
        let helper = Helper { name: row.name, lanes };
        self.helpers.insert(helper);
        Ok(helper.ident())
    }

    /// A call of helper `name`: on registers, where one of `args` is one.
    fn help(&mut self, name: &str, args: &[Out], ty: Ty) -> Res<Out> {
        let varying = args.iter().any(|a| a.varying);
        let ident = self.helper(name, if varying { self.func.width } else { 1 })?;
        let args = if varying {
            args.iter().map(|a| self.spread(a.clone())).collect::<Res<Vec<Out>>>()?
        } else {
            args.to_vec()
        };
        let args = args.iter().map(|a| &a.tokens);
        Ok(Out::atom(quote!(#ident(#(#args),*)), ty, varying))
    }

    fn unary(&mut self, op: UnOp, v: &Expr) -> Res<Out> {
        let v = self.expr(v)?;
        let (name, ty) = match (op, v.ty) {
            (UnOp::Neg, Ty::F32 | Ty::I32) => ("neg", v.ty),
            (UnOp::Abs, Ty::F32 | Ty::I32) => ("abs", v.ty),
            (UnOp::Sqrt, Ty::F32) => ("sqrt", Ty::F32),
            (UnOp::Rint, Ty::F32) => ("rint", Ty::F32),
            (UnOp::ToInt { lo, hi }, Ty::F32) => {
                let name = self.helper("to_int_f32", if v.varying { self.func.width } else { 1 })?;
                let (lo, hi, tokens) =
                    (literal(Literal::i32_unsuffixed(lo)), literal(Literal::i32_unsuffixed(hi)), v.tokens);
                return Ok(Out::atom(quote!(#name(#tokens, #lo, #hi)), Ty::I32, v.varying));
            }
            (UnOp::ToF32, Ty::I32) => ("to_f32", Ty::F32),
            (UnOp::Bits, Ty::F32) => return self.help("bits_f32", &[v], Ty::I32),
            (UnOp::FromBits, Ty::I32) => ("from_bits", Ty::F32),
            (UnOp::Not, Ty::Bool) => ("not", Ty::Bool),
            (op, ty) => return self.error(format!("{op:?} of {ty:?}")),
        };
        if v.varying {
            return self.help(&format!("{name}_{}", tag(v.ty)), &[v], ty);
        }
        let (x, operand) = (&v.tokens, v.operand());
        Ok(match (op, v.ty) {
            (UnOp::Neg, _) => Out::infix(quote!(-#operand), ty),
            (UnOp::Abs, Ty::I32) => Out::atom(quote!(i32::abs(#x)), ty, false),
            (UnOp::Abs, _) => Out::atom(quote!(f32::abs(#x)), ty, false),
            (UnOp::Sqrt, _) => Out::atom(quote!(f32::sqrt(#x)), ty, false),
            (UnOp::Rint, _) => Out::atom(quote!(f32::round_ties_even(#x)), ty, false),
            (UnOp::ToF32, _) => Out::cast(quote!(#operand as f32), ty),
            (UnOp::FromBits, _) => Out::atom(quote!(f32::from_bits(i32::cast_unsigned(#x))), ty, false),
            _ => Out::infix(quote!(!#operand), ty),
        })
    }

    fn binary(&mut self, op: BinOp, a: &Expr, b: &Expr) -> Res<Out> {
        let (a, b) = (self.expr(a)?, self.expr(b)?);
        let (name, symbol) = symbol(op);
        let compares = matches!(op, BinOp::Lt | BinOp::Le | BinOp::Eq | BinOp::Ne);
        let varying = a.varying || b.varying;
        let pack = matches!(a.ty, Ty::U8x4 | Ty::I8x4);
        if pack && matches!(op, BinOp::Shl | BinOp::Shr) {
            return self.shift_bytes(op, a, b);
        }
        let possible = match a.ty {
            Ty::F32 => {
                compares || matches!(op, BinOp::Add | BinOp::Sub | BinOp::Mul | BinOp::Div | BinOp::Min | BinOp::Max)
            }
            Ty::I32 => !varying || !matches!(op, BinOp::Div | BinOp::Rem),
            Ty::I64 => true,
            Ty::Bool => {
                matches!(op, BinOp::And | BinOp::Or | BinOp::Xor) || !varying && matches!(op, BinOp::Eq | BinOp::Ne)
            }
            Ty::U8x4 | Ty::I8x4 => matches!(op, BinOp::And | BinOp::Or | BinOp::Xor | BinOp::Add | BinOp::Sub),
            Ty::I16x2 => false,
        };
        if a.ty != b.ty || !possible {
            let how = if varying { "varying " } else { "" };
            return self.error(format!("{op:?} of {how}{:?} and {:?}", a.ty, b.ty));
        }
        let ty = if compares { Ty::Bool } else { a.ty };
        let called = matches!(op, BinOp::Min | BinOp::Max) && a.ty == Ty::F32;
        if varying || called || pack && matches!(op, BinOp::Add | BinOp::Sub) {
            return self.help(&format!("{name}_{}", tag(a.ty)), &[a, b], ty);
        }
        if let BinOp::Min | BinOp::Max = op {
            let (rust, name, a, b) = (format_ident!("{}", tag(ty)), format_ident!("{name}"), a.tokens, b.tokens);
            return Ok(Out::atom(quote!(#rust::#name(#a, #b)), ty, false));
        }
        let (binds, left, right) = match op {
            BinOp::Add | BinOp::Sub => (Binds::Sum, Binds::Sum, Binds::Product),
            BinOp::Mul | BinOp::Div | BinOp::Rem => (Binds::Product, Binds::Product, Binds::Atom),
            _ => (Binds::Loosely, Binds::Atom, Binds::Atom),
        };
        let (a, b) = (a.inside(left), b.inside(right));
        Ok(Out { binds, ..Out::infix(quote!(#a #symbol #b), ty) })
    }

    fn shift_bytes(&mut self, op: BinOp, a: Out, b: Out) -> Res<Out> {
        if b.ty != Ty::I32 || b.varying {
            return self.error("bytes shifted by another value than a uniform I32");
        }
        let name = match (op, a.ty) {
            (BinOp::Shl, _) => "shl_pack",
            (_, Ty::U8x4) => "shr_u8x4",
            _ => "shr_i8x4",
        };
        let name = self.helper(name, if a.varying { self.func.width } else { 1 })?;
        let (x, by) = (a.tokens, b.tokens);
        Ok(Out::atom(quote!(#name(#x, #by)), a.ty, a.varying))
    }

    fn select(&mut self, c: &Expr, a: &Expr, b: &Expr) -> Res<Out> {
        let (c, a, b) = (self.typed(c, Ty::Bool)?, self.expr(a)?, self.expr(b)?);
        if a.ty != b.ty || c.varying && matches!(a.ty, Ty::Bool | Ty::I64) {
            return self.error(format!("a choice between {:?} and {:?}", a.ty, b.ty));
        }
        let ty = a.ty;
        if c.varying {
            return self.help(&format!("select_{}", tag(ty)), &[c, a, b], ty);
        }
        let varying = a.varying || b.varying;
        let (a, b) = if varying { (self.spread(a)?, self.spread(b)?) } else { (a, b) };
        let (c, a, b) = (c.tokens, a.tokens, b.tokens);
        Ok(Out { varying, ..Out::infix(quote!(if #c { #a } else { #b }), ty) })
    }

    fn shuffle(&mut self, mask: u32, value: &Expr) -> Res<Out> {
        let v = self.expr(value)?;
        if mask as usize >= self.func.width {
            return self.error(format!("lane ^ {mask} leaves the {} lanes", self.func.width));
        }
        if !v.varying {
            return Ok(v);
        }
        let name = self.helper(&format!("shuffle_{}", tag(v.ty)), self.func.width)?;
        let (x, mask) = (v.tokens, literal(Literal::u32_unsuffixed(mask)));
        Ok(Out::atom(quote!(#name(#x, #mask)), v.ty, true))
    }

    fn call(&mut self, name: &str, args: &[Expr]) -> Res<Out> {
        self.isa.supports_call(name, self.func.width)?;
        let args = args.iter().map(|a| self.expr(a)).collect::<Res<Vec<Out>>>()?;
        let instruction = crate::instructions::instruction(name).expect("supported, so it is known");
        let expected: Vec<Ty> = instruction.args.iter().filter_map(|(_, slot, _)| lanes::ty(*slot)).collect();
        let given: Vec<Ty> = args.iter().map(|a| a.ty).collect();
        if given != expected {
            return self.error(format!("`{name}` takes {expected:?}, given {given:?}"));
        }
        if instruction.across && !args[0].varying && self.func.width > 1 {
            return self.error(format!("`{name}` of one value"));
        }
        let Some(ty) = lanes::ty(instruction.result) else { return self.error(format!("`{name}` gives no number")) };
        let out = self.help(name, &args, ty)?;
        Ok(Out { varying: out.varying && !instruction.across, ..out })
    }

    fn load(&mut self, access: &Access, what: &str, ty: Ty) -> Res<Out> {
        let address = self.address(access)?;
        let bytes = if matches!(what, "pack" | "half") { 4 } else { access.scalar.bytes() };
        if access.lane_stride == 0 || self.func.width == 1 {
            let name = self.helper(&format!("load_{what}"), 1)?;
            return Ok(Out::atom(quote!(#name(#address)), ty, false));
        }
        if access.lane_stride as i64 == bytes as i64 {
            let name = self.helper(&format!("load_{what}"), self.func.width)?;
            return Ok(Out::atom(quote!(#name(#address)), ty, true));
        }
        let name = self.helper(&format!("gather_{what}"), self.func.width)?;
        let stride = literal(Literal::i32_unsuffixed(access.lane_stride));
        Ok(Out::atom(quote!(#name(#address, #stride)), ty, true))
    }

    /// The pointer that `access` begins at.
    fn address(&mut self, access: &Access) -> Res<TokenStream> {
        if access.offset.is_some() {
            return self.error("lanes on a CPU lie evenly: leave `columns` out of the schedule");
        }
        let base = match access.mem {
            Mem::Buffer(index) => self.names.buffer(index),
            Mem::Local(var) => self.names.var(var),
            Mem::Shared(_) | Mem::Scratch => None,
        };
        let Some(base) = base.cloned() else {
            return self.error(format!("there is no memory {:?}", access.mem));
        };
        if let Expr::Long(v) = *access.addr {
            let v = literal(Literal::i64_unsuffixed(v));
            return Ok(if v.to_string() == "0" { quote!(#base) } else { quote!(#base.offset(#v)) });
        }
        let offset = self.uniform(&access.addr, Ty::I64)?.operand();
        Ok(quote!(#base.offset(#offset as isize)))
    }

    /// A statement that asks for `bytes` bytes, which may lie outside of memory.
    pub fn prefetch(&mut self, from: &Access, bytes: usize) -> Res<TokenStream> {
        let base = match from.mem {
            Mem::Buffer(index) => self.names.buffer(index).cloned(),
            _ => None,
        };
        let Some(base) = base else { return self.error("only buffers are asked for early") };
        let offset = self.uniform(&from.addr, Ty::I64)?.operand();
        let (name, bytes) = (self.helper("prefetch", 1)?, literal(Literal::usize_unsuffixed(bytes)));
        Ok(quote!(#name(#base.wrapping_offset(#offset as isize), #bytes);))
    }

    /// A statement that writes `value`.
    pub fn store(&mut self, to: &Access, value: &Expr) -> Res<TokenStream> {
        let value = self.typed(value, memory::loaded(to.scalar))?;
        let address = self.address(to)?;
        let what = to.scalar.name();
        if to.lane_stride == 0 || self.func.width == 1 {
            if value.varying {
                return self.error("a varying value stored at one address");
            }
            let (name, value) = (self.helper(&format!("store_{what}"), 1)?, value.tokens);
            return Ok(quote!(#name(#address, #value);));
        }
        let value = self.spread(value)?.tokens;
        if to.lane_stride as i64 == to.scalar.bytes() as i64 {
            let name = self.helper(&format!("store_{what}"), self.func.width)?;
            return Ok(quote!(#name(#address, #value);));
        }
        let name = self.helper(&format!("scatter_{what}"), self.func.width)?;
        let stride = literal(Literal::i32_unsuffixed(to.lane_stride));
        Ok(quote!(#name(#address, #value, #stride);))
    }
}

fn literal(value: Literal) -> TokenStream {
    quote!(#value)
}

fn float(v: f32) -> Out {
    let magnitude = match v.abs() {
        x if x.is_nan() => quote!(f32::NAN),
        f32::INFINITY => quote!(f32::INFINITY),
        x => literal(Literal::f32_unsuffixed(x)),
    };
    if v.is_sign_negative() && !v.is_nan() {
        Out::infix(quote!(-#magnitude), Ty::F32)
    } else {
        Out::atom(magnitude, Ty::F32, false)
    }
}

/// The helpers' name for an operation, and Rust's sign.
fn symbol(op: BinOp) -> (&'static str, TokenStream) {
    match op {
        BinOp::Add => ("add", quote!(+)),
        BinOp::Sub => ("sub", quote!(-)),
        BinOp::Mul => ("mul", quote!(*)),
        BinOp::Div => ("div", quote!(/)),
        BinOp::Rem => ("rem", quote!(%)),
        BinOp::Min => ("min", quote!()),
        BinOp::Max => ("max", quote!()),
        BinOp::And => ("and", quote!(&)),
        BinOp::Or => ("or", quote!(|)),
        BinOp::Xor => ("xor", quote!(^)),
        BinOp::Shl => ("shl", quote!(<<)),
        BinOp::Shr => ("shr", quote!(>>)),
        BinOp::Lt => ("lt", quote!(<)),
        BinOp::Le => ("le", quote!(<=)),
        BinOp::Eq => ("eq", quote!(==)),
        BinOp::Ne => ("ne", quote!(!=)),
    }
}
