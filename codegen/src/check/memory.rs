//! Tensors, blocks and their fields: indexing, reading, and the places that are stored to.
use super::{Checked, Checker, Elem, Value, View, int, node, range};
use crate::diagnostic::{Code, Diagnostic};
use crate::ir::{Expr, Field, Kind, Place, Scalar, Span, Ty};

impl Checker<'_> {
    pub(super) fn index(&mut self, i: &syn::ExprIndex) -> Checked<Value> {
        let span = self.span(i);
        let base = self.value(&i.expr)?;
        let at = self.number(&i.index)?;
        match base {
            Value::View(mut view) => {
                let Some(extent) = self.buffers[view.buffer].shape.get(view.index.len()).cloned() else {
                    let b = &self.buffers[view.buffer];
                    let message = format!("`{}` has {} dimensions, this is one index more", b.name, b.shape.len());
                    return self.error(Code::Shape, span, message, "one index too many");
                };
                self.in_bounds(&at, &extent, at.span)?;
                view.index.push(at);
                Ok(Value::View(view))
            }
            Value::Field(view, field) => {
                let extent = int(field.len.expect("a field without length is read at once") as i64, span);
                self.in_bounds(&at, &extent, at.span)?;
                self.load_field(view, &field, Some(at), span).map(Value::Expr)
            }
            Value::Table(table) => {
                self.in_bounds(&at, &int(table.len() as i64, span), at.span)?;
                self.looked_up(&table, at, span).map(Value::Expr)
            }
            Value::Expr(e) if matches!(e.ty, Ty::Array { .. }) => {
                let Kind::Var(array) = e.kind else { unreachable!("arrays are bound to names") };
                let extent = self.extents[&array].clone();
                self.in_bounds(&at, &extent, at.span)?;
                Ok(Value::Expr(node(Kind::At { array, index: at }, Ty::F32, span)))
            }
            _ => self.error(
                Code::Type,
                span,
                "only tensors, arrays, array fields and tables can be indexed",
                "cannot be indexed",
            ),
        }
    }

    pub(super) fn field(&mut self, f: &syn::ExprField) -> Checked<Value> {
        let span = self.span(f);
        let syn::Member::Named(name) = &f.member else {
            let d =
                Diagnostic::new(Code::Unsupported, span, "a field by number is not part of the language", "used here");
            return self.fail(d.help("take a tuple apart with `let (a, b) = ..`"));
        };
        let base = self.value(&f.base)?;
        let (view, field) = self.block_field(base, &name.to_string(), span)?;
        match field.len {
            Some(_) => Ok(Value::Field(view, field)),
            None => self.load_field(view, &field, None, span).map(Value::Expr),
        }
    }

    fn block_field(&mut self, base: Value, name: &str, span: Span) -> Checked<(View, Field)> {
        let Value::View(view) = base else {
            return self.error(Code::Type, span, "only blocks have fields", "this is no block");
        };
        let Elem::Block(format) = &self.elems[view.buffer] else {
            return self.error(Code::Type, span, "only blocks have fields", "these elements are numbers");
        };
        if self.rank_left(&view) > 0 {
            return self.error(Code::Shape, span, "a tensor has no fields", "index it down to a block first");
        }
        let fields = &self.program.formats[format].fields;
        match fields.iter().find(|f| f.name == name) {
            Some(field) => Ok((view, field.clone())),
            None => {
                let names: Vec<_> = fields.iter().map(|f| f.name.as_str()).collect();
                let message = format!("{format} has no field `{name}`");
                let help = format!("its fields are {}", names.join(", "));
                self.fail(Diagnostic::new(Code::UnknownName, span, message, "unknown field").help(help))
            }
        }
    }

    pub(super) fn load_view(&mut self, view: View, span: Span) -> Checked<Expr> {
        let (scalar, range) = match &self.elems[view.buffer] {
            Elem::Scalar(s, range) => (*s, *range),
            Elem::Index(below) => (Scalar::I32, Some((0, range::of(below).1 - 1))),
            Elem::Block(_) => unreachable!("asked by is_number"),
        };
        let place = Place { buffer: view.buffer, index: view.index, offset: 0, at: None, scalar };
        self.load(place, range, span)
    }

    fn load_field(&mut self, view: View, field: &Field, at: Option<Expr>, span: Span) -> Checked<Expr> {
        let place = Place { buffer: view.buffer, index: view.index, offset: field.offset, at, scalar: field.scalar };
        self.load(place, field.range, span)
    }

    fn load(&mut self, place: Place, range: Option<(i64, i64)>, span: Span) -> Checked<Expr> {
        let buffer = &self.buffers[place.buffer];
        if buffer.written {
            let message = format!("`{}` is written by this kernel, so it cannot be read", buffer.name);
            let d = Diagnostic::new(Code::ReadsOutput, span, message, "read here");
            return self.fail(d.help("read an input instead, and write the result to another buffer"));
        }
        let ty = match (range.or(place.scalar.range()), place.scalar) {
            (Some((lo, hi)), _) => Ty::Int { lo, hi },
            (None, Scalar::F32) => Ty::F32,
            (None, half) => Ty::Half(half),
        };
        Ok(node(Kind::Load(place), ty, span))
    }

    /// A place that is stored to, with the range it declares.
    pub(super) fn place(&mut self, e: &syn::Expr) -> Checked<(Place, Option<(i64, i64)>)> {
        let span = self.span(e);
        let (target, index) = match e {
            syn::Expr::Index(i) if matches!(&*i.expr, syn::Expr::Field(_)) => (&*i.expr, Some(&*i.index)),
            _ => (e, None),
        };
        if let syn::Expr::Field(f) = target
            && let syn::Member::Named(name) = &f.member
        {
            let base = self.value(&f.base)?;
            let (view, field) = self.block_field(base, &name.to_string(), span)?;
            let at = match (index, field.len) {
                (None, None) => None,
                (Some(index), Some(len)) => {
                    let at = self.number(index)?;
                    self.in_bounds(&at, &int(len as i64, span), at.span)?;
                    Some(at)
                }
                (Some(_), None) => {
                    return self.error(Code::Shape, span, format!("`{name}` is a single number"), "no index here");
                }
                (None, Some(_)) => return self.error(Code::Shape, span, format!("`{name}` is an array"), "index it"),
            };
            let place =
                Place { buffer: view.buffer, index: view.index, offset: field.offset, at, scalar: field.scalar };
            return Ok((place, field.range));
        }
        match self.value(e)? {
            Value::View(view) if self.is_number(&view) => {
                let (scalar, range) = match &self.elems[view.buffer] {
                    Elem::Scalar(s, range) => (*s, *range),
                    _ => (Scalar::I32, None),
                };
                Ok((Place { buffer: view.buffer, index: view.index, offset: 0, at: None, scalar }, range))
            }
            _ => self.error(Code::Shape, span, "only a number in a buffer can be stored to", "not a whole element"),
        }
    }

    pub(super) fn rank_left(&self, view: &View) -> usize {
        self.buffers[view.buffer].shape.len() - view.index.len()
    }

    pub(super) fn is_number(&self, view: &View) -> bool {
        self.rank_left(view) == 0 && !matches!(self.elems[view.buffer], Elem::Block(_))
    }
}
