//! CPU code: prints a loop-IR function as Rust for one instruction set.
//!
//! [`emit`] gives one function, [`module`] a whole module with the helper functions it needs, ready to be included.
pub mod intrinsics;
pub mod meaning;

mod expr;
mod names;
mod rust;
mod support;

use crate::loop_ir::Func;
use proc_macro2::TokenStream;
use quote::{format_ident, quote};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

/// An instruction set of x86-64, or none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Isa {
    /// Plain Rust, for any CPU.
    Scalar,
    /// AVX2 with FMA and F16C; 4 or 8 lanes.
    Avx2,
    /// AVX-512 F, BW, DQ, VL and VNNI; 4, 8 or 16 lanes.
    Avx512,
}

/// Why a function, or a part of one, cannot be had on an instruction set.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{isa}: {reason}")]
pub struct Unsupported {
    /// The instruction set.
    pub isa: Isa,
    /// What is in the way, and what would do instead.
    pub reason: String,
}

impl Isa {
    /// Every instruction set, the plainest first.
    pub const ALL: [Isa; 3] = [Isa::Scalar, Isa::Avx2, Isa::Avx512];

    /// Whether this machine has it.
    pub fn available(self) -> bool {
        (self.features().present)()
    }

    /// The processor features that it needs.
    pub fn needs(self) -> &'static [&'static str] {
        self.features().names
    }

    /// The last of [`Isa::ALL`] that this machine has.
    pub fn best() -> Isa {
        Isa::ALL.into_iter().rev().find(|isa| isa.available()).unwrap_or(Isa::Scalar)
    }

    /// Whether a function of `width` lanes can be emitted.
    pub fn supports_width(self, width: usize) -> Result<(), Unsupported> {
        if self.widths().contains(&width) {
            return Ok(());
        }
        let widths: Vec<String> = self.widths().iter().map(usize::to_string).collect();
        Err(self.lacks(format!("no registers of {width} lanes; it has {}", widths.join(", "))))
    }

    /// Whether `intrinsic` (of [`intrinsics::INSTRUCTIONS`]) can be called in a function of `width` lanes.
    pub fn supports_call(self, intrinsic: &str, width: usize) -> Result<(), Unsupported> {
        self.supports_width(width)?;
        if intrinsics::instruction(intrinsic).is_none() {
            let known: Vec<&str> = intrinsics::INSTRUCTIONS.iter().map(|i| i.name).collect();
            return Err(self.lacks(format!("no instruction `{intrinsic}` is known; there are {}", known.join(", "))));
        }
        if intrinsics::find(intrinsic, self, width).is_some() || intrinsics::find(intrinsic, self, 1).is_some() {
            return Ok(());
        }
        let places: Vec<String> = (Isa::ALL.into_iter())
            .flat_map(|isa| isa.widths().iter().map(move |w| (isa, *w)))
            .filter(|(isa, w)| intrinsics::find(intrinsic, *isa, *w).is_some())
            .map(|(isa, w)| format!("{isa} x{w}"))
            .collect();
        Err(self.lacks(format!("`{intrinsic}` is not there with {width} lanes; it is on {}", places.join(", "))))
    }

    fn lacks(self, reason: String) -> Unsupported {
        Unsupported { isa: self, reason }
    }

    fn name(self) -> &'static str {
        match self {
            Isa::Scalar => "scalar",
            Isa::Avx2 => "avx2",
            Isa::Avx512 => "avx512",
        }
    }
}

impl fmt::Display for Isa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Isa {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Isa::ALL
            .into_iter()
            .find(|isa| isa.name() == text)
            .ok_or_else(|| format!("unknown instruction set `{text}`; there are scalar, avx2, avx512"))
    }
}

/// The function alone, as `pub unsafe fn NAME(bufs: &[*mut u8], ints: &[i32], floats: &[f32], lo: i32, hi: i32)`: runs the
/// work items `lo..hi`. It calls helper functions that [`module`] adds.
///
/// The caller guarantees that `bufs` point to the kernel's buffers, in order and as long as their shapes say, that what is
/// written overlaps nothing else, that `requires` hold, and that the CPU has `isa`.
pub fn emit(func: &Func, isa: Isa) -> Result<TokenStream, Unsupported> {
    rust::function(func, isa).map(|printed| printed.tokens)
}

/// A module named after `isa`: `available()`, which says whether this CPU has the instructions, the functions, and the
/// helpers they call. Functions' names must differ.
pub fn module(funcs: &[Func], isa: Isa) -> Result<TokenStream, Unsupported> {
    let mut helpers = BTreeSet::new();
    let mut items = Vec::new();
    for func in funcs {
        let printed = rust::function(func, isa)?;
        helpers.extend(printed.helpers);
        items.push(printed.tokens);
    }
    if let Some(func) = funcs.iter().find(|func| func.name == "available") {
        return Err(isa.lacks(format!("a kernel cannot be called `{}`: every module has that function", func.name)));
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
