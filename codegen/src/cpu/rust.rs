//! Prints functions and statements.
use super::expr::{Out, Printer};
use super::names::{END, Names};
use super::support::{Helper, target_feature};
use super::{Isa, Unsupported};
use crate::ir::Scalar;
use crate::loop_ir::{Bind, Expr, Func, Owner, Stmt, Ty, Var};
use proc_macro2::{Ident, Literal, TokenStream};
use quote::{format_ident, quote};
use std::collections::BTreeSet;

/// Why there is no code for what is asked for early.
const NOT_EARLY: &str = "a CPU waits for no launch: leave `early` out of the schedule";
/// Why there is no code for what the members of a team do.
const NO_TEAMS: &str = "workers on a CPU form no teams: leave `team` out of the schedule";

/// Why there is no code for what lanes do where they have products of matrices.
const NO_MATRICES: &str = "a CPU has no products of matrices: leave `columns` out of the schedule";

/// A printed function.
pub struct Printed {
    pub tokens: TokenStream,
    /// The helpers it calls.
    pub helpers: BTreeSet<Helper>,
}

/// Prints `func` for `isa`.
pub fn function(func: &Func, isa: Isa) -> Result<Printed, Unsupported> {
    isa.supports_width(func.width)?;
    let mut printer = Printer { func, isa, names: Names::new(func), helpers: BTreeSet::new() };
    if func.in_flight > 1 || func.resident > 0 {
        return printer.error(
            "the compiler of a CPU's code unrolls as it likes: leave `in_flight` and `resident` out of the schedule",
        );
    }
    let parameters = printer.parameters()?;
    let body = printer.block(&func.body)?;
    let Ok(name) = syn::parse_str::<Ident>(&func.name) else {
        return printer.error("the name is not a Rust identifier");
    };
    let doc = format!(" {} lanes.", func.width);
    let feature = target_feature(isa);
    let tokens = quote! {
        #[doc = #doc]
        #feature
        pub unsafe fn #name(bufs: &[*mut u8], ints: &[i32], floats: &[f32], lo: i32, hi: i32) {
            #parameters
            #body
        }
    };
    Ok(Printed { tokens, helpers: printer.helpers })
}

impl Printer<'_> {
    fn parameters(&self) -> Result<TokenStream, Unsupported> {
        let mut lines = Vec::new();
        for index in 0..self.func.buffers.len() {
            let name = self.names.buffer(index);
            let index = Literal::usize_unsuffixed(index);
            lines.push(quote!(let #name = bufs[#index];));
        }
        for index in 0..self.func.ints + self.func.floats {
            let name = self.name(Var(index as u32))?;
            let (from, index) = match index.checked_sub(self.func.ints) {
                None => (quote!(ints), index),
                Some(index) => (quote!(floats), index),
            };
            let index = Literal::usize_unsuffixed(index);
            lines.push(quote!(let #name = #from[#index];));
        }
        Ok(quote!(#(#lines)*))
    }

    fn name(&self, var: Var) -> Result<Ident, Unsupported> {
        self.names.var(var).cloned().map_or_else(|| self.error(format!("there is no variable {}", var.0)), Ok)
    }

    fn block(&mut self, stmts: &[Stmt]) -> Result<TokenStream, Unsupported> {
        stmts.iter().map(|stmt| self.stmt(stmt)).collect()
    }

    fn stmt(&mut self, stmt: &Stmt) -> Result<TokenStream, Unsupported> {
        Ok(match stmt {
            Stmt::Let { var, value } => {
                let (name, value) = (self.name(*var)?, self.value_for(*var, value)?);
                let ty = rust_type(&value);
                let value = value.tokens;
                quote!(let #name #ty = #value;)
            }
            Stmt::Reg { var, init } => {
                let (name, value) = (self.name(*var)?, self.value_for(*var, init)?);
                let ty = rust_type(&value);
                let value = value.tokens;
                quote!(let mut #name #ty = #value;)
            }
            Stmt::Set { var, value } => {
                let (name, value) = (self.name(*var)?, self.value_for(*var, value)?.tokens);
                quote!(#name = #value;)
            }
            Stmt::Array { var, scalar, len, of: Owner::Worker } => {
                let name = self.name(*var)?;
                let ty = match scalar {
                    Scalar::F32 => quote!(0f32),
                    other => {
                        let zero = format_ident!("u{}", 8 * other.bytes());
                        quote!(0 as #zero)
                    }
                };
                let len = Literal::usize_unsuffixed(*len);
                quote!(let mut #name = Aligned([#ty; #len]); let #name = #name.0.as_mut_ptr().cast::<u8>();)
            }
            Stmt::For { bind, var, lo, hi, step, body } => self.loop_(*bind, *var, [lo, hi], *step, body)?,
            Stmt::If { cond, then, other } => {
                let (cond, then) = (self.uniform(cond, Ty::Bool)?.tokens, self.block(then)?);
                let other = if other.is_empty() {
                    None
                } else {
                    let other = self.block(other)?;
                    Some(quote!(else { #other }))
                };
                quote!(if #cond { #then } #other)
            }
            Stmt::Store { only: None, to, value, .. } => self.store(to, value)?,
            Stmt::Store { .. } | Stmt::Accumulate { .. } => return self.error(NO_MATRICES),
            Stmt::Prefetch { from, bytes } => self.prefetch(from, *bytes)?,
            Stmt::Arrive { .. } => {
                return self.error("workers on a CPU do not meet: leave `parts` out of the schedule");
            }
            Stmt::Array { of: Owner::Team, .. }
            | Stmt::Barrier
            | Stmt::AwaitArrivals { .. }
            | Stmt::Copy { .. }
            | Stmt::Await => {
                return self.error(NO_TEAMS);
            }
        })
    }

    /// The value of a variable, in a register where the variable is varying.
    fn value_for(&mut self, var: Var, value: &Expr) -> Result<Out, Unsupported> {
        let out = self.expr(value)?;
        let info = &self.func.vars[var.0 as usize];
        if out.ty != info.ty {
            return self.error(format!("`{}` is {:?}, its value {:?}", info.name, info.ty, out.ty));
        }
        if out.varying && !info.varying {
            return self.error(format!("`{}` is one value, given one a lane", info.name));
        }
        if info.varying { self.spread(out) } else { Ok(out) }
    }

    fn loop_(
        &mut self,
        bind: Bind,
        var: Var,
        [lo, hi]: [&Expr; 2],
        step: i32,
        body: &[Stmt],
    ) -> Result<TokenStream, Unsupported> {
        match bind {
            Bind::First => return self.error(NOT_EARLY),
            Bind::Team => return self.error(NO_TEAMS),
            _ => {}
        }
        let (name, body) = (self.name(var)?, self.block(body)?);
        if bind == Bind::Simd {
            let lanes = self.func.width;
            let lane = if lanes == 1 {
                quote!(0)
            } else {
                let iota = self.helper("iota_i32", lanes)?;
                quote!(#iota())
            };
            return Ok(quote!({ let #name = #lane; #body }));
        }
        if step < 1 || bind == Bind::Work && step != 1 {
            return self.error(format!("a {bind:?} loop with step {step}"));
        }
        let (lo, hi) = match bind {
            Bind::Work => (quote!(lo), quote!(hi)),
            _ => (self.uniform(lo, Ty::I32)?.tokens, self.uniform(hi, Ty::I32)?.tokens),
        };
        let hi = if bind == Bind::Rolled {
            let rolled = self.helper("rolled", 1)?;
            quote!(#rolled(#hi))
        } else {
            hi
        };
        if step == 1 {
            return Ok(quote!(for #name in #lo..#hi { #body }));
        }
        let (step, end) = (Literal::i32_unsuffixed(step), format_ident!("{name}{END}"));
        Ok(quote! {
            let (mut #name, #end): (i32, i32) = (#lo, #hi);
            while #name < #end {
                #body
                #name += #step;
            }
        })
    }
}

/// The type of a variable that holds one value; registers are clear from the helper that makes them.
fn rust_type(value: &Out) -> Option<TokenStream> {
    let name = match value.ty {
        _ if value.varying => return None,
        Ty::F32 => "f32",
        Ty::I32 => "i32",
        Ty::I64 => "i64",
        Ty::Bool => "bool",
        Ty::U8x4 | Ty::I8x4 | Ty::I16x2 => "u32",
    };
    let name = format_ident!("{name}");
    Some(quote!(: #name))
}
