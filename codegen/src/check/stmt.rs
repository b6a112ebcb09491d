//! Statements: `let`, `for .. in par(..)`, stores.
use super::{Checked, Checker, Failed, Value};
use crate::diagnostic::{Code, Diagnostic};
use crate::ir::{Expr, Kind, Scalar, Span, Stmt, Ty};
use crate::text;

impl Checker<'_> {
    /// A list of statements; its value is that of a last expression without semicolon.
    pub(super) fn stmts(&mut self, stmts: &[syn::Stmt]) -> Checked<Value> {
        let mut failed = false;
        for (i, stmt) in stmts.iter().enumerate() {
            let last = i + 1 == stmts.len();
            match self.stmt(stmt, last) {
                Ok(value) if last && !failed => return Ok(value),
                Ok(_) => {}
                Err(Failed) => failed = true,
            }
        }
        if failed { Err(Failed) } else { Ok(Value::Unit) }
    }

    fn stmt(&mut self, stmt: &syn::Stmt, last: bool) -> Checked<Value> {
        match stmt {
            syn::Stmt::Local(local) => self.local(local).map(|_| Value::Unit),
            syn::Stmt::Expr(syn::Expr::ForLoop(f), _) => self.par(f).map(|_| Value::Unit),
            syn::Stmt::Expr(syn::Expr::Assign(a), _) => self.store(a).map(|_| Value::Unit),
            syn::Stmt::Expr(e, None) if last => self.expr(e),
            syn::Stmt::Expr(e, _) => {
                self.expr(e)?;
                self.unused(e)
            }
            syn::Stmt::Item(i) => {
                self.error(Code::Unsupported, self.span(i), "an item inside a function", "move it out")
            }
            syn::Stmt::Macro(m) => {
                self.error(Code::Unsupported, self.span(m), "a macro is not part of the language", "used here")
            }
        }
    }

    fn unused<T>(&mut self, e: &syn::Expr) -> Checked<T> {
        let message = "a value that nothing uses is not part of the language";
        let d = Diagnostic::new(Code::Unsupported, self.span(e), message, "nothing uses this");
        self.fail(d.help("a statement is a `let`, a store or a `for .. in par(..)`"))
    }

    /// Statements that leave no value, as the body of a kernel or of a loop.
    pub(super) fn unit(&mut self, stmts: &[syn::Stmt]) -> Checked<()> {
        match (self.stmts(stmts)?, stmts.last()) {
            (Value::Unit, _) => Ok(()),
            (_, Some(syn::Stmt::Expr(e, _))) => self.unused(e),
            _ => Ok(()),
        }
    }

    fn local(&mut self, local: &syn::Local) -> Checked<()> {
        let value = match &local.init {
            Some(init) if init.diverge.is_none() => self.expr(&init.expr),
            _ => {
                let message = "`let` without a value, or with `else`, is not part of the language";
                self.error(Code::Unsupported, self.span(local), message, "used here")
            }
        };
        match value {
            Ok(value) => self.pattern(&local.pat, value),
            Err(failed) => {
                self.forget(&local.pat);
                Err(failed)
            }
        }
    }

    /// Binds the names of a pattern.
    pub(super) fn pattern(&mut self, pat: &syn::Pat, value: Value) -> Checked<()> {
        match (pat, value) {
            (syn::Pat::Ident(i), value) if i.mutability.is_none() && i.by_ref.is_none() && i.subpat.is_none() => {
                let name = i.ident.to_string();
                let value = match value {
                    Value::Expr(e) => Value::Expr(self.name(&name, e)),
                    other => other,
                };
                self.declare(name, value);
                Ok(())
            }
            (syn::Pat::Ident(i), _) => {
                self.forget(pat);
                let what = match (&i.mutability, &i.by_ref) {
                    (Some(_), _) => "`mut`",
                    (None, Some(_)) => "`ref`",
                    _ => "`@`",
                };
                let message = format!("{what} is not part of the language");
                let d = Diagnostic::new(Code::Unsupported, self.span(i), message, "used here");
                self.fail(d.help("values never change; give the new value a new name (shadowing is fine)"))
            }
            (syn::Pat::Wild(_), _) => Ok(()),
            (pat, Value::Unknown) => {
                self.forget(pat);
                Ok(())
            }
            (syn::Pat::Tuple(t), Value::Tuple(values)) if t.elems.len() == values.len() => {
                t.elems.iter().zip(values).try_for_each(|(p, v)| self.pattern(p, v))
            }
            (syn::Pat::Tuple(t), Value::Tuple(values)) => {
                let message = format!("{} names for {} values", t.elems.len(), values.len());
                self.forget(pat);
                self.error(Code::Type, self.span(t), message, "does not match the value")
            }
            (syn::Pat::Tuple(t), _) => {
                self.forget(pat);
                self.error(Code::Type, self.span(t), "this value is no tuple", "a tuple of names")
            }
            (syn::Pat::Type(t), _) => {
                self.forget(&t.pat);
                let message = "a type on a `let` or a closure's parameter is not part of the language";
                self.error(Code::Unsupported, self.span(&t.ty), message, "leave it out: it follows from the value")
            }
            (other, _) => {
                self.error(Code::Unsupported, self.span(other), "this pattern is not part of the language", "used here")
            }
        }
    }

    /// Binds a value to its name in the source; a value bound already, as a map is, takes the name over.
    fn name(&mut self, name: &str, value: Expr) -> Expr {
        if let Kind::Var(v) = value.kind {
            let info = &mut self.vars[v.0 as usize];
            if ["map", "state", "part"].contains(&info.name.as_str()) {
                info.name = name.to_string();
            }
        }
        self.bind(name, value)
    }

    /// Makes the names of a pattern known without a value, after an error.
    fn forget(&mut self, pat: &syn::Pat) {
        match pat {
            syn::Pat::Ident(i) => self.declare(i.ident.to_string(), Value::Unknown),
            syn::Pat::Tuple(t) => t.elems.iter().for_each(|p| self.forget(p)),
            syn::Pat::Type(t) => self.forget(&t.pat),
            _ => {}
        }
    }

    fn par(&mut self, f: &syn::ExprForLoop) -> Checked<()> {
        if let Some(label) = &f.label {
            return self.error(Code::Unsupported, self.span(label), "a label is not part of the language", "used here");
        }
        let Some(range) = par_argument(&f.expr) else {
            let message = "a loop that is not over `par` is not part of the language";
            let d = Diagnostic::new(Code::Unsupported, self.span(&f.expr), message, "not `par(..)`");
            return self
                .fail(d.help("write `for i in par(n)`; other orders are `sum`, `isum`, `max_of`, `map` and `merge`"));
        };
        self.no_closure(self.span(&f.expr), "a parallel loop")?;
        let name = self.axis_name(&f.pat)?;
        let (lo, hi) = self.range_argument(range)?;
        let axis = self.axis(&name, lo, hi)?;
        let index = self.use_var(axis.var, self.span(&f.pat));
        self.open.push(axis.var);
        let body = self.block(|c| {
            c.declare(name, Value::Expr(index));
            c.unit(&f.body.stmts)
        });
        self.open.pop();
        let (body, _) = body?;
        self.emit(Stmt::Par { axis, body });
        Ok(())
    }

    /// Closures may be run any number of times, by anybody: they only compute.
    fn no_closure(&mut self, span: Span, what: &str) -> Checked<()> {
        if self.closures == 0 {
            return Ok(());
        }
        let message = format!("{what} inside a closure is not part of the language");
        let d = Diagnostic::new(Code::Unsupported, span, message, "used here");
        self.fail(d.help("closures compute values; store the result of `sum`, `map` or `merge` outside of it"))
    }

    fn store(&mut self, a: &syn::ExprAssign) -> Checked<()> {
        self.no_closure(self.span(a), "a store")?;
        let target = self.place(&a.left);
        let value = self.number(&a.right);
        let ((place, range), value) = (target?, value?);
        let span = self.span(&a.left);
        let name = self.buffers[place.buffer].name.clone();
        if !self.buffers[place.buffer].written {
            let d = Diagnostic::new(Code::Type, span, format!("`{name}` is not written by this kernel"), "stored here");
            return self.fail(d.help(format!("declare it `{name}: &mut Ten<..>`")));
        }
        match (place.scalar, value.ty) {
            (Scalar::F32, Ty::F32) => {}
            (s, Ty::Half(h)) if s == h => {}
            (s, Ty::Int { lo, hi }) if s.range().is_some() => {
                let (from, to) = range.or(s.range()).expect("checked");
                if lo < from || hi > to {
                    let given = text::range((lo, hi));
                    let message = format!("{given} does not fit where {from}..={to} is stored");
                    let d = Diagnostic::new(Code::StoredRange, value.span, message, format!("is {given}"));
                    let d = d.label(span, format!("{} that holds {from}..={to}", s.name()));
                    return self.fail(d.help(
                        "narrow it with `min` and `max`, or where a float becomes an integer by `.int(lo, hi)`",
                    ));
                }
            }
            (s, ty) => {
                let message = format!("{} cannot be stored as {}", text::ty(ty), s.name());
                let d = Diagnostic::new(Code::Type, value.span, message, text::ty(ty));
                return self.fail(d.help(format!("convert it, as with `.{}()`", s.name())));
            }
        }
        self.record_store(&place, span);
        self.emit(Stmt::Store { place, value });
        Ok(())
    }
}

/// The range of `par(range)`.
fn par_argument(e: &syn::Expr) -> Option<&syn::Expr> {
    let syn::Expr::Call(call) = e else { return None };
    let syn::Expr::Path(path) = &*call.func else { return None };
    let only = call.args.first().filter(|_| call.args.len() == 1);
    only.filter(|_| path.path.is_ident("par"))
}
