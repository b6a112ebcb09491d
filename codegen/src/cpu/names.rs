//! Names of variables and buffers in generated code: those of the source where they are unique and free, else numbered.
use crate::loop_ir::{Func, Var};
use proc_macro2::Ident;
use quote::format_ident;
use std::collections::{HashMap, HashSet};

/// What the name of a loop's end has after that of its variable. No other name ends so.
pub const END: &str = "_end";

/// The identifier of everything in one function.
pub struct Names {
    vars: Vec<Ident>,
    buffers: Vec<Ident>,
}

impl Names {
    /// Gives every variable and buffer of `func` a name.
    pub fn new(func: &Func) -> Names {
        let wanted: Vec<&str> =
            func.buffers.iter().map(|b| b.name.as_str()).chain(func.vars.iter().map(|v| v.name.as_str())).collect();
        let mut count = HashMap::new();
        for name in &wanted {
            *count.entry(*name).or_insert(0) += 1;
        }
        let mut used: HashSet<String> = ["bufs", "ints", "floats", "lo", "hi"].map(String::from).into();
        let mut idents = wanted.iter().enumerate().map(|(i, name)| {
            let free = count[name] == 1 && is_plain(name) && !used.contains(*name);
            let mut text = if free { name.to_string() } else { format!("{}_{i}", cleaned(name)) };
            while !used.insert(text.clone()) {
                text.push('_');
            }
            format_ident!("{text}")
        });
        let buffers = idents.by_ref().take(func.buffers.len()).collect();
        Names { buffers, vars: idents.collect() }
    }

    /// A variable's name; `None` where the function has no such variable.
    pub fn var(&self, var: Var) -> Option<&Ident> {
        self.vars.get(var.0 as usize)
    }

    /// The name of a buffer's first byte; `None` where the function has no such buffer.
    pub fn buffer(&self, index: usize) -> Option<&Ident> {
        self.buffers.get(index)
    }
}

/// An identifier that is no keyword, and cannot be taken for a constant or a helper.
fn is_plain(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_lowercase())
        && !name.ends_with(END)
        && syn::parse_str::<Ident>(name).is_ok()
        && super::operations::rows().all(|row| !name.starts_with(row.name))
}

fn cleaned(name: &str) -> String {
    let text: String =
        name.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '_' }).collect();
    if text.starts_with(|c: char| c.is_ascii_lowercase()) { text } else { format!("v{text}") }
}
