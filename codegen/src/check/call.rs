//! Calls: functions and methods are inlined.
use super::{Checked, Checker, Elem, Value};
use crate::diagnostic::{Code, Diagnostic};
use crate::ir::{Scalar, Span, Ty};
use crate::syntax::{self, Function};
use crate::text;
use quote::ToTokens;

/// Deepest nesting of calls.
const DEPTH: usize = 64;

/// Most calls inlined into one kernel.
const CALLS: usize = 10_000;

impl Checker<'_> {
    pub(super) fn call(&mut self, c: &syn::ExprCall) -> Checked<Value> {
        let span = self.span(c);
        let name = match &*c.func {
            syn::Expr::Path(p) => p.path.to_token_stream().to_string(),
            _ => return self.error(Code::Unsupported, span, "only functions can be called", ""),
        };
        let args: Vec<&syn::Expr> = c.args.iter().collect();
        if let Some(function) = self.program.functions.get(&name) {
            let values = args.iter().map(|a| self.argument(a)).collect::<Checked<Vec<_>>>()?;
            return self.inline(&name, function, values, span);
        }
        match self.builtin(&name, &args, span) {
            Some(result) => result,
            None => {
                let d =
                    Diagnostic::new(Code::UnknownName, span, format!("there is no function `{name}`"), "unknown name");
                let near = self.nearest(&name);
                self.fail(match near {
                    Some(near) => d.help(format!("did you mean `{near}`?")),
                    None => d,
                })
            }
        }
    }

    /// A value that is handed on; a number in memory is read.
    pub(super) fn argument(&mut self, e: &syn::Expr) -> Checked<Value> {
        match self.value(e)? {
            Value::View(v) if self.is_number(&v) => self.load_view(v, self.span(e)).map(Value::Expr),
            value => Ok(value),
        }
    }

    pub(super) fn method(&mut self, m: &syn::ExprMethodCall) -> Checked<Value> {
        let span = self.span(m);
        let name = m.method.to_string();
        let base = self.argument(&m.receiver)?;
        if let Value::View(view) = &base
            && let Elem::Block(format) = &self.elems[view.buffer]
        {
            if self.rank_left(view) > 0 {
                return self.error(Code::Shape, span, "a tensor has no methods", "index it down to a block first");
            }
            let full = format!("{format}::{name}");
            let Some(function) = self.program.functions.get(&full) else {
                let message = format!("{format} has no method `{name}`");
                let d = Diagnostic::new(Code::UnknownName, span, message, "unknown method");
                return self.fail(d.help(format!("add it to `impl {format}`")));
            };
            let mut values = vec![base];
            for a in &m.args {
                values.push(self.argument(a)?);
            }
            return self.inline(&full, function, values, span);
        }
        let value = self.as_number(base, self.span(&m.receiver))?;
        let args: Vec<&syn::Expr> = m.args.iter().collect();
        self.conversion(&name, value, &args, span).map(Value::Expr)
    }

    fn inline(&mut self, name: &str, function: &Function, args: Vec<Value>, span: Span) -> Checked<Value> {
        let sig = &function.item.sig;
        if sig.inputs.len() != args.len() {
            let message = format!("`{name}` takes {}, not {}", text::count(sig.inputs.len(), "value"), args.len());
            let at = syntax::span(function.file, &sig.ident);
            let d = Diagnostic::new(Code::Arguments, span, message, "called here");
            return self.fail(d.label(at, "declared here"));
        }
        self.outside(name, function.file, span, |c| c.inlined(function, args, span))
    }

    /// Works on what was declared as `name` in `file`, where no name of the place that uses it is known.
    pub(super) fn outside<T>(
        &mut self,
        name: &str,
        file: u32,
        span: Span,
        f: impl FnOnce(&mut Self) -> Checked<T>,
    ) -> Checked<T> {
        self.inlined += 1;
        let (message, help) = if self.calls.iter().any(|(n, _)| n == name) {
            (
                format!("`{name}` uses itself"),
                "functions and constants are inlined, so they cannot recur; use `sum`, `map` or `merge`",
            )
        } else if self.calls.len() >= DEPTH {
            (
                format!("calls are nested more than {DEPTH} deep"),
                "functions are inlined; let functions call fewer others",
            )
        } else if self.inlined > CALLS {
            (
                format!("this kernel inlines more than {CALLS} calls"),
                "name a result with `let` instead of calling again",
            )
        } else {
            return self.enter(name, file, span, f);
        };
        self.fail(Diagnostic::new(Code::Recursion, span, message, "used here").help(help))
    }

    fn enter<T>(&mut self, name: &str, file: u32, span: Span, f: impl FnOnce(&mut Self) -> Checked<T>) -> Checked<T> {
        let file = std::mem::replace(&mut self.file, file);
        let scopes = std::mem::replace(&mut self.scopes, vec![Default::default()]);
        self.calls.push((name.to_string(), span));
        let result = f(self);
        self.calls.pop();
        self.scopes = scopes;
        self.file = file;
        result
    }

    fn inlined(&mut self, function: &Function, args: Vec<Value>, call: Span) -> Checked<Value> {
        for (input, value) in function.item.sig.inputs.iter().zip(args) {
            match input {
                syn::FnArg::Receiver(_) => self.declare("self".into(), value),
                syn::FnArg::Typed(p) => {
                    self.accepts(&p.ty, &value, call)?;
                    self.pattern(&p.pat, value)?;
                }
            }
        }
        let value = self.stmts(&function.item.block.stmts)?;
        let value = match value {
            Value::View(v) if self.is_number(&v) => Value::Expr(self.load_view(v, call)?),
            value => value,
        };
        match &function.item.sig.output {
            syn::ReturnType::Type(_, ty) => self.accepts(ty, &value, call)?,
            syn::ReturnType::Default => {
                let at = syntax::span(function.file, &function.item.sig.ident);
                return self.error(Code::Type, at, "a function without a result", "give it `-> f32` or `-> int`");
            }
        }
        Ok(value)
    }

    /// Whether a value may be passed where the declaration says `ty`.
    pub(super) fn accepts(&mut self, ty: &syn::Type, value: &Value, call: Span) -> Checked<()> {
        let (fits, what) = match (ty, value) {
            (syn::Type::Tuple(t), Value::Tuple(values)) if t.elems.len() == values.len() => {
                return t.elems.iter().zip(values).try_for_each(|(t, v)| self.accepts(t, v, call));
            }
            (syn::Type::Path(p), value) => self.accepts_name(p, value),
            (syn::Type::Reference(r), Value::View(view)) => (self.is_row(&r.elem, view), "a tensor".to_string()),
            (_, value) => (false, describe(value)),
        };
        if fits {
            return Ok(());
        }
        let declared = syntax::text(ty);
        let d = Diagnostic::new(Code::Type, call, format!("{what} where `{declared}` is declared"), what);
        let at = self.span(ty);
        self.fail(d.label(at, "declared here"))
    }

    fn accepts_name(&self, p: &syn::TypePath, value: &Value) -> (bool, String) {
        let segment = p.path.segments.last().expect("a path has segments");
        let name = segment.ident.to_string();
        match value {
            Value::Expr(e) => {
                let range = syntax::range_arguments(&segment.arguments);
                let fits = match (name.as_str(), e.ty) {
                    ("f32", Ty::F32) | ("int", Ty::Int { .. }) | ("bool", Ty::Bool) => true,
                    ("f16", Ty::Half(Scalar::F16)) | ("bf16", Ty::Half(Scalar::Bf16)) => true,
                    ("array", Ty::Array { .. }) => true,
                    ("i32", Ty::Int { lo, hi }) => range.is_none_or(|(from, to)| from <= lo && hi <= to),
                    _ => false,
                };
                (fits, text::ty(e.ty))
            }
            Value::View(v) => {
                let fits = matches!(&self.elems[v.buffer], Elem::Block(f) if *f == name) && self.rank_left(v) == 0;
                (fits, "a tensor or block".into())
            }
            other => (false, describe(other)),
        }
    }

    /// `Row<elem>`: one dimension left. `float` is any float.
    fn is_row(&self, ty: &syn::Type, view: &View) -> bool {
        let syn::Type::Path(p) = ty else { return false };
        let Some(segment) = p.path.segments.last().filter(|s| s.ident == "Row") else { return false };
        let elem = segment.arguments.to_token_stream().to_string().replace(['<', '>', ' '], "");
        let matches = match &self.elems[view.buffer] {
            Elem::Scalar(s, _) => elem == s.name() || (elem == "float" && s.range().is_none()),
            Elem::Block(f) => elem == *f,
            Elem::Index(_) => elem == "i32",
        };
        matches && self.rank_left(view) == 1
    }
}

use super::View;

fn describe(value: &Value) -> String {
    match value {
        Value::Expr(e) => text::ty(e.ty),
        Value::Tuple(t) => format!("a tuple of {}", t.len()),
        Value::View(_) => "a tensor".into(),
        Value::Field(..) => "an array of a block".into(),
        Value::Table(_) => "a table".into(),
        Value::Range(..) => "a range".into(),
        Value::Unit | Value::Unknown => "nothing".into(),
    }
}
