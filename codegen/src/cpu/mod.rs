//! CPU code: prints a loop-IR function as Rust for one instruction set.
//!
//! [`emit`] gives one function, [`module`] a whole module with the helper functions it needs, ready to be included.
pub mod operations;
pub mod row;

mod expr;
mod isa;
mod names;
mod rust;
mod support;

pub use isa::{Isa, Unsupported};

use crate::loop_ir::Func;
use proc_macro2::TokenStream;
use quote::{format_ident, quote};
use std::collections::BTreeSet;

/// The function alone, as `pub unsafe fn NAME(bufs: &[*mut u8], ints: &[i32], floats: &[f32], lo: i32, hi: i32)`: runs the
/// work items `lo..hi`. It calls helper functions that [`module`] adds.
///
/// The caller guarantees that `bufs` point to the kernel's buffers, in order and as long as their shapes say, that what is
/// written overlaps nothing else, that `requires` hold, and that the CPU has `isa`.
pub fn emit(func: &Func, isa: Isa) -> Result<TokenStream, Unsupported> {
    rust::function(func, isa).map(|printed| printed.tokens)
}

/// A module named after `isa`: the functions, and the helpers they call. Functions' names must differ.
pub fn module(funcs: &[Func], isa: Isa) -> Result<TokenStream, Unsupported> {
    let mut helpers = BTreeSet::new();
    let mut items = Vec::new();
    for func in funcs {
        let printed = rust::function(func, isa)?;
        helpers.extend(printed.helpers);
        items.push(printed.tokens);
    }
    let name = format_ident!("{}", isa.name());
    let support = support::items(isa, &helpers);
    let cfg = (isa != Isa::Scalar).then(|| quote!(#[cfg(target_arch = "x86_64")]));
    let doc = format!(" Generated for {isa}.");
    Ok(quote! {
        #[doc = #doc]
        #cfg
        #[allow(unused, unsafe_op_in_unsafe_fn, missing_docs, clippy::all)]
        pub mod #name {
            #support
            #(#items)*
        }
    })
}

/// Tokens of items as formatted source text.
pub fn format(items: TokenStream) -> Result<String, syn::Error> {
    Ok(prettyplease::unparse(&syn::parse2(items)?))
}
