//! Refuses source that is nested so deeply that a recursive parser would run out of stack.
use proc_macro2::{Delimiter, Spacing, Span, TokenStream, TokenTree};
use std::str::FromStr;

/// Deepest nesting: open brackets, and the operands and operators before a token in its statement.
const DEPTH: usize = 200;

/// Parses a file.
pub fn parse(text: &str) -> syn::Result<syn::File> {
    let tokens = TokenStream::from_str(text).map_err(syn::Error::from)?;
    match too_deep(tokens.clone()) {
        Some(at) => Err(syn::Error::new(at, "this is nested too deeply: name parts of it with `let`")),
        None => syn::parse2(tokens),
    }
}

/// The first token that lies too deep. Needs no recursion itself.
fn too_deep(tokens: TokenStream) -> Option<Span> {
    let mut open = vec![(tokens, 0)];
    while let Some((tokens, outside)) = open.pop() {
        let mut depth = outside;
        let mut tokens = tokens.into_iter().peekable();
        while let Some(token) = tokens.next() {
            depth += 1;
            if depth > DEPTH {
                return Some(token.span());
            }
            match token {
                TokenTree::Group(group) => {
                    let braces = group.delimiter() == Delimiter::Brace;
                    open.push((group.stream(), depth));
                    // A statement may end with a block; `else` and operators go on with it.
                    let goes_on = |next: &TokenTree| match next {
                        TokenTree::Ident(ident) => *ident == "else",
                        TokenTree::Punct(punct) => punct.as_char() != '#',
                        _ => true,
                    };
                    if braces && !tokens.peek().is_some_and(goes_on) {
                        depth = outside;
                    }
                }
                TokenTree::Punct(punct) if punct.spacing() == Spacing::Alone && ",;".contains(punct.as_char()) => {
                    depth = outside;
                }
                _ => {}
            }
        }
    }
    None
}
