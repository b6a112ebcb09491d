//! Constant tables of bytes: `const VALUES: [i8; 16] = [..]`. Four of them are a word, and an element is a shift of the word that
//! holds it, so that no form below knows of tables.
use super::{Checked, Checker, Value, int, node};
use crate::diagnostic::{Code, Diagnostic};
use crate::ir::{BinOp, Expr, Kind, Scalar, Span, Ty};
use crate::syntax;

/// Most elements of a table.
const TABLE_MAX: usize = 256;

impl Checker<'_> {
    /// The elements of a constant that is a table.
    pub(super) fn table(
        &mut self,
        name: &str,
        file: u32,
        (item, ty): (&syn::ItemConst, &syn::TypeArray),
        span: Span,
    ) -> Checked<Value> {
        self.outside(name, file, span, |c| {
            let scalar = match &*ty.elem {
                syn::Type::Path(p) => p.path.segments.last().and_then(syntax::scalar_type),
                _ => None,
            };
            let Some((Scalar::U8 | Scalar::I8, None)) = scalar else {
                let d = Diagnostic::new(Code::Type, c.span(&ty.elem), "a table is of u8 or i8", "not of these");
                return c.fail(d.help("write `const VALUES: [i8; 16] = [..];`"));
            };
            let (lo, hi) = scalar.and_then(|(scalar, _)| scalar.range()).expect("bytes are integers");
            let syn::Expr::Array(list) = &*item.expr else {
                return c.error(
                    Code::Type,
                    c.span(&item.expr),
                    format!("`{name}` is no list of numbers"),
                    "not `[..]`",
                );
            };
            let len = c.number(&ty.len)?;
            if !matches!(len.kind, Kind::Int(n) if n as usize == list.elems.len()) || list.elems.len() > TABLE_MAX {
                let message = format!("`{name}` lists {} numbers", list.elems.len());
                let d = Diagnostic::new(Code::Type, len.span, message, "declares another number, or too many");
                return c.fail(d.help(format!("a table has as many numbers as it declares, at most {TABLE_MAX}")));
            }
            let mut values = Vec::new();
            for e in &list.elems {
                let value = c.number(e)?;
                match value.kind {
                    Kind::Int(v) if (lo..=hi).contains(&v) => values.push(v),
                    _ => {
                        let message = format!("an element of `{name}` is no number in {lo}..={hi}");
                        return c.error(Code::Type, value.span, message, "not one");
                    }
                }
            }
            Ok(Value::Table(values.into()))
        })
    }

    /// The element of a table at an index that is inside.
    pub(super) fn looked_up(&mut self, table: &[i64], at: Expr, span: Span) -> Checked<Expr> {
        if let Kind::Int(at) = at.kind {
            return Ok(int(table[at as usize], span));
        }
        let at = self.bind("at", at);
        let words = table.chunks(4).map(|four| {
            let word = four.iter().rev().fold(0u32, |word, v| word << 8 | u32::from(*v as u8));
            int(i64::from(word as i32), span)
        });
        let word = self.one_of(&words.collect::<Vec<_>>(), 0, &at, span)?;
        let byte = self.binary(BinOp::And, at, int(3, span), span)?;
        let shift = self.binary(BinOp::Mul, byte, int(8, span), span)?;
        let shifted = self.binary(BinOp::Shr, word, shift, span)?;
        let mut value = self.binary(BinOp::And, shifted, int(255, span), span)?;
        if table.iter().any(|v| *v < 0) {
            let flipped = self.binary(BinOp::Xor, value, int(128, span), span)?;
            value = self.binary(BinOp::Sub, flipped, int(128, span), span)?;
        }
        let (lo, hi) = table.iter().fold((i64::MAX, i64::MIN), |(lo, hi), v| (lo.min(*v), hi.max(*v)));
        Ok(node(value.kind.clone(), Ty::Int { lo, hi }, span))
    }

    /// The word of element `at`, of words of which the first has element `first` as its first: by halves.
    fn one_of(&mut self, words: &[Expr], first: usize, at: &Expr, span: Span) -> Checked<Expr> {
        if let [word] = words {
            return Ok(word.clone());
        }
        let (low, high) = words.split_at(words.len().next_power_of_two() / 2);
        let middle = first + 4 * low.len();
        let is_low = self.binary(BinOp::Lt, at.clone(), int(middle as i64, span), span)?;
        let (low, high) = (self.one_of(low, first, at, span)?, self.one_of(high, middle, at, span)?);
        let (Ty::Int { lo: a, hi: b }, Ty::Int { lo: c, hi: d }) = (low.ty, high.ty) else { unreachable!("integers") };
        Ok(node(Kind::Select(is_low, low, high), Ty::Int { lo: a.min(c), hi: b.max(d) }, span))
    }
}
