//! The helper functions of generated code, made from the rows of the table: one for each row and width in use.
use super::Isa;
use super::operations;
use super::row::{Row, Slot};
use proc_macro2::{Ident, TokenStream, TokenTree};
use quote::{format_ident, quote};
use std::collections::BTreeSet;

/// What a helper's name ends with on registers of `lanes`.
pub fn suffix(lanes: usize) -> String {
    if lanes == 1 { String::new() } else { format!("x{lanes}") }
}

/// A helper function: a row at a width.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Helper {
    /// Name of the row.
    pub name: &'static str,
    /// Lanes of its registers.
    pub lanes: usize,
}

impl Helper {
    /// The function's name.
    pub fn ident(self) -> Ident {
        format_ident!("{}{}", self.name, suffix(self.lanes))
    }

    /// The helper that a function name stands for.
    fn parse(name: &str, isa: Isa) -> Option<Helper> {
        isa.widths().iter().find_map(|&lanes| {
            let base = name.strip_suffix(&suffix(lanes))?;
            operations::find(base, isa, lanes).map(|row| Helper { name: row.name, lanes })
        })
    }
}

/// The attribute that lets a function use the instructions of `isa`.
pub fn target_feature(isa: Isa) -> TokenStream {
    let names = isa.features().names;
    if names.is_empty() {
        return quote!();
    }
    let list = names.join(",");
    quote!(#[target_feature(enable = #list)])
}

/// The items that a module of generated code begins with: `helpers`, those they call, `Aligned`.
pub fn items(isa: Isa, helpers: &BTreeSet<Helper>) -> TokenStream {
    let mut done = BTreeSet::new();
    let mut open: Vec<Helper> = helpers.iter().copied().collect();
    let mut functions = Vec::new();
    while let Some(helper) = open.pop() {
        let Some(row) = operations::find(helper.name, isa, helper.lanes).filter(|_| done.insert(helper)) else {
            continue;
        };
        let body = tokens(&row.body(helper.lanes));
        called(body.clone(), isa, &mut open);
        functions.push((helper, function(row, helper, isa, body)));
    }
    functions.sort_by_key(|(helper, _)| *helper);
    let functions = functions.into_iter().map(|(_, tokens)| tokens);
    let import = isa.import().map(tokens);
    quote! {
        #import
        #[repr(align(64))]
        struct Aligned<T>(T);
        #(#functions)*
    }
}

fn function(row: &Row, helper: Helper, isa: Isa, body: TokenStream) -> TokenStream {
    let ident = helper.ident();
    let feature = target_feature(isa);
    let ty = |slot: Slot| slot.rust(isa, helper.lanes).map(|text| tokens(&text));
    let params = row.args.iter().zip(["a", "b", "c"]).map(|(slot, name)| {
        let (name, ty) = (format_ident!("{name}"), ty(*slot));
        quote!(#name: #ty)
    });
    let result = ty(row.result).map(|ty| quote!(-> #ty));
    quote! {
        #[inline]
        #feature
        unsafe fn #ident(#(#params),*) #result {
            #body
        }
    }
}

/// Adds the helpers that `body` calls.
fn called(body: TokenStream, isa: Isa, found: &mut Vec<Helper>) {
    for token in body {
        match token {
            TokenTree::Group(group) => called(group.stream(), isa, found),
            TokenTree::Ident(ident) => found.extend(Helper::parse(&ident.to_string(), isa)),
            _ => {}
        }
    }
}

/// The rows are fixed text, which `every_row_is_rust` parses.
fn tokens(text: &str) -> TokenStream {
    text.parse().expect("the table's text is made of Rust tokens")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_is_rust() {
        for isa in Isa::ALL {
            let helpers = all(isa);
            assert!(helpers.len() > 25);
            syn::parse2::<syn::File>(items(isa, &helpers)).unwrap_or_else(|e| panic!("{isa}: {e}"));
            for helper in helpers {
                assert!(Helper::parse(&helper.ident().to_string(), isa) == Some(helper), "{}", helper.ident());
            }
        }
    }

    #[test]
    fn a_helper_brings_what_it_calls() {
        let one = BTreeSet::from([Helper { name: "store_f32", lanes: 16 }]);
        let text = items(Isa::Avx512, &one).to_string();
        assert!(text.contains("fn store_f32x16") && text.contains("fn canonical_f32x16"));
        assert!(!text.contains("fn add_f32x16"));
    }

    fn all(isa: Isa) -> BTreeSet<Helper> {
        let rows = operations::rows().flat_map(|row| isa.widths().iter().map(move |lanes| (row, *lanes)));
        rows.filter(|(row, lanes)| {
            operations::find(row.name, isa, *lanes).is_some_and(|found| std::ptr::eq(found, *row))
        })
        .map(|(row, lanes)| Helper { name: row.name, lanes })
        .collect()
    }
}
