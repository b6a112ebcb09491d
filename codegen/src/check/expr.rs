//! Expressions: names, constants, operators, `if`.
use super::{Checked, Checker, Value, bounds, float, int, node};
use crate::diagnostic::{Code, Diagnostic};
use crate::ir::{BinOp, Expr, Kind, Span, Ty, UnOp};
use crate::text;

impl Checker<'_> {
    pub(super) fn expr(&mut self, e: &syn::Expr) -> Checked<Value> {
        match e {
            syn::Expr::Lit(l) => self.literal(l),
            syn::Expr::Path(p) => self.path(p),
            syn::Expr::Paren(p) => self.expr(&p.expr),
            syn::Expr::Group(g) => self.expr(&g.expr),
            syn::Expr::Block(b) => self.inner_block(&b.block.stmts),
            syn::Expr::Unary(u) => self.unary_expr(u),
            syn::Expr::Binary(b) => self.binary_expr(b),
            syn::Expr::Index(i) => self.index(i),
            syn::Expr::Field(f) => self.field(f),
            syn::Expr::If(i) => self.select(i),
            syn::Expr::Call(c) => self.call(c),
            syn::Expr::MethodCall(m) => self.method(m),
            syn::Expr::Tuple(t) => Ok(Value::Tuple(t.elems.iter().map(|e| self.argument(e)).collect::<Checked<_>>()?)),
            syn::Expr::Range(r) => self.range(r),
            other => {
                let message = format!("{} is not part of the language", construct(other));
                let d = Diagnostic::new(Code::Unsupported, self.span(other), message, "used here");
                self.fail(d.help(
                    "what there is: `let`, `if`, `for .. in par(..)`, calls, operators, tuples, `sum`, `map`, `merge`",
                ))
            }
        }
    }

    /// An expression whose errors have been reported where it came from counts as failed.
    pub(super) fn value(&mut self, e: &syn::Expr) -> Checked<Value> {
        match self.expr(e)? {
            Value::Unknown => Err(super::Failed),
            value => Ok(value),
        }
    }

    /// A number, truth value or array. A place in memory is read.
    pub(super) fn number(&mut self, e: &syn::Expr) -> Checked<Expr> {
        let span = self.span(e);
        let value = self.value(e)?;
        self.as_number(value, span)
    }

    /// The number that a value at `span` is.
    pub(super) fn as_number(&mut self, value: Value, span: Span) -> Checked<Expr> {
        match value {
            Value::Expr(e) => Ok(e),
            Value::View(view) if self.is_number(&view) => self.load_view(view, span),
            Value::Field(..) => {
                self.error(Code::Type, span, "an array of a block where a number is needed", "index it")
            }
            Value::View(view) => {
                let message = match self.rank_left(&view) {
                    0 => "a block where a number is needed".to_string(),
                    1 => "a tensor with one more dimension where a number is needed".to_string(),
                    n => format!("a tensor with {n} more dimensions where a number is needed"),
                };
                self.error(Code::Shape, span, message, "index it down to a number")
            }
            _ => self.error(Code::Type, span, "a number is needed", "this is none"),
        }
    }

    fn literal(&mut self, l: &syn::ExprLit) -> Checked<Value> {
        let span = self.span(l);
        match &l.lit {
            syn::Lit::Int(n) if !n.suffix().is_empty() => self.suffix(n.suffix(), span),
            syn::Lit::Float(x) if !x.suffix().is_empty() => self.suffix(x.suffix(), span),
            syn::Lit::Int(n) => match n.base10_parse::<i64>() {
                Ok(v) if v <= i32::MAX as i64 => Ok(Value::Expr(int(v, span))),
                _ => self.error(Code::Range, span, "this integer is larger than i32 holds", "at most 2147483647"),
            },
            syn::Lit::Float(x) => match x.base10_parse::<f32>() {
                Ok(v) if v.is_finite() => Ok(Value::Expr(float(v, span))),
                _ => self.error(Code::Range, span, "this number is larger than f32 holds", "at most 3.4028235e38"),
            },
            syn::Lit::Bool(b) => Ok(Value::Expr(node(Kind::Bool(b.value), Ty::Bool, span))),
            _ => self.error(Code::Unsupported, span, "text is not part of the language", "no number"),
        }
    }

    fn suffix<T>(&mut self, suffix: &str, span: Span) -> Checked<T> {
        let message = format!("the suffix `{suffix}` of a number is not part of the language");
        let d = Diagnostic::new(Code::Unsupported, span, message, "write it without");
        self.fail(d.help("`1` is an integer of exactly this value, `1.0` is f32"))
    }

    fn path(&mut self, p: &syn::ExprPath) -> Checked<Value> {
        let span = self.span(p);
        let name = p.path.segments.iter().map(|s| s.ident.to_string()).collect::<Vec<_>>().join("::");
        for scope in self.scopes.iter().rev() {
            if let Some(value) = scope.get(&name) {
                return match value.clone() {
                    Value::Unknown => Err(super::Failed),
                    Value::Expr(e) => Ok(Value::Expr(self.refine(e, span))),
                    value => Ok(value),
                };
            }
        }
        match name.as_str() {
            "f32::INFINITY" => return Ok(Value::Expr(float(f32::INFINITY, span))),
            "f32::NAN" => return Ok(Value::Expr(float(f32::NAN, span))),
            _ => {}
        }
        if let Some(format) = name.strip_suffix("::ELEMENTS").and_then(|format| self.format_of(format)) {
            return Ok(Value::Expr(int(self.program.formats[&format].elements as i64, span)));
        }
        if let Some((file, constant)) = self.program.constants.get(&name) {
            return self.constant(&name, *file, constant, span);
        }
        let d = Diagnostic::new(Code::UnknownName, span, format!("`{name}` is not known here"), "unknown name");
        let near = self.nearest(&name);
        self.fail(match near {
            Some(near) => d.help(format!("did you mean `{near}`?")),
            None => d,
        })
    }

    /// A constant is computed where it is used, from other constants alone.
    fn constant(&mut self, name: &str, file: u32, item: &syn::ItemConst, span: Span) -> Checked<Value> {
        if let syn::Type::Array(ty) = &*item.ty {
            return self.table(name, file, (item, ty), span);
        }
        self.outside(name, file, span, |c| {
            let value = c.number(&item.expr)?;
            if !matches!(value.kind, Kind::Int(_) | Kind::Float(_) | Kind::Bool(_)) {
                return c.error(
                    Code::Type,
                    value.span,
                    format!("`{name}` is no constant"),
                    "not known at compile time",
                );
            }
            let value = Value::Expr(value);
            c.accepts(&item.ty, &value, span)?;
            Ok(value)
        })
    }

    /// The same value at another place, with the narrower range that the enclosing branches prove.
    fn refine(&self, e: Expr, span: Span) -> Expr {
        let Ty::Int { mut lo, mut hi } = e.ty else { return node(e.kind.clone(), e.ty, span) };
        for (known, from, to) in &self.refined {
            if bounds::same(known, &e) {
                (lo, hi) = (lo.max(*from), hi.min(*to));
            }
        }
        // A branch that is never taken proves nothing.
        let ty = if lo <= hi { Ty::Int { lo, hi } } else { e.ty };
        node(e.kind.clone(), ty, span)
    }

    fn inner_block(&mut self, stmts: &[syn::Stmt]) -> Checked<Value> {
        self.scopes.push(Default::default());
        let value = self.stmts(stmts);
        self.scopes.pop();
        value
    }

    fn unary_expr(&mut self, u: &syn::ExprUnary) -> Checked<Value> {
        let span = self.span(u);
        let a = self.number(&u.expr)?;
        let op = match u.op {
            syn::UnOp::Neg(_) => UnOp::Neg,
            syn::UnOp::Not(_) => UnOp::Not,
            _ => {
                return self.error(
                    Code::Unsupported,
                    span,
                    "`*` of a reference is not part of the language",
                    "used here",
                );
            }
        };
        Ok(Value::Expr(self.unary(op, a, span)?))
    }

    fn binary_expr(&mut self, b: &syn::ExprBinary) -> Checked<Value> {
        use syn::BinOp as S;
        let span = self.span(b);
        let (op, swapped) = match b.op {
            S::Add(_) => (BinOp::Add, false),
            S::Sub(_) => (BinOp::Sub, false),
            S::Mul(_) => (BinOp::Mul, false),
            S::Div(_) => (BinOp::Div, false),
            S::Rem(_) => (BinOp::Rem, false),
            S::BitAnd(_) | S::And(_) => (BinOp::And, false),
            S::BitOr(_) | S::Or(_) => (BinOp::Or, false),
            S::BitXor(_) => (BinOp::Xor, false),
            S::Shl(_) => (BinOp::Shl, false),
            S::Shr(_) => (BinOp::Shr, false),
            S::Lt(_) => (BinOp::Lt, false),
            S::Le(_) => (BinOp::Le, false),
            S::Gt(_) => (BinOp::Lt, true),
            S::Ge(_) => (BinOp::Le, true),
            S::Eq(_) => (BinOp::Eq, false),
            S::Ne(_) => (BinOp::Ne, false),
            _ => {
                let message = "assignment to a value is not part of the language";
                let d = Diagnostic::new(Code::Unsupported, span, message, "used here");
                return self.fail(
                    d.help("values never change; a running value is the `acc` of `sum` or the state of `merge`"),
                );
            }
        };
        let (left, right) = (self.number(&b.left), self.number(&b.right));
        let (left, right) = (left?, right?);
        let (a, c) = if swapped { (right, left) } else { (left, right) };
        Ok(Value::Expr(self.binary(op, a, c, span)?))
    }

    fn select(&mut self, i: &syn::ExprIf) -> Checked<Value> {
        let span = self.span(i);
        let Some((_, other)) = &i.else_branch else {
            return self.error(
                Code::Unsupported,
                span,
                "`if` without `else` is not part of the language",
                "add `else { .. }`",
            );
        };
        let cond = self.number(&i.cond)?;
        if cond.ty != Ty::Bool {
            let message = format!("a condition is bool, not {}", text::ty(cond.ty));
            return self.error(Code::Type, cond.span, message, "compare it with something");
        }
        let then = self.branch(&cond, true, |c| c.inner_block(&i.then_branch.stmts))?;
        let other = self.branch(&cond, false, |c| c.expr(other))?;
        let ty = match (then.ty, other.ty) {
            (Ty::Int { lo: a, hi: b }, Ty::Int { lo: c, hi: d }) => Ty::Int { lo: a.min(c), hi: b.max(d) },
            (a, b) if a == b && !matches!(a, Ty::Array { .. }) => a,
            (a, b) => {
                let message = format!("the branches give {} and {}", text::ty(a), text::ty(b));
                return self.error(Code::Type, span, message, "types do not match");
            }
        };
        Ok(Value::Expr(node(Kind::Select(cond, then, other), ty, span)))
    }

    /// A side of an `if`: evaluated only where chosen, so it may not make statements of its own.
    fn branch(&mut self, cond: &Expr, taken: bool, f: impl FnOnce(&mut Self) -> Checked<Value>) -> Checked<Expr> {
        let depth = self.refined.len();
        self.refined.extend(consequence(cond, taken));
        let result = self.block(f);
        self.refined.truncate(depth);
        let (stmts, value) = result?;
        match value {
            Value::Expr(e) if stmts.is_empty() => Ok(e),
            Value::View(v) if stmts.is_empty() && self.is_number(&v) => self.load_view(v, cond.span),
            Value::Expr(e) => {
                let message = "a `let`, map or merge inside an `if` is not part of the language";
                let d = Diagnostic::new(Code::Unsupported, e.span, message, "needs statements of its own");
                self.fail(d.help("compute it before the `if`, and choose between the values"))
            }
            _ => self.error(Code::Type, cond.span, "both sides of an `if` are numbers", "chooses between other values"),
        }
    }

    fn range(&mut self, r: &syn::ExprRange) -> Checked<Value> {
        let span = self.span(r);
        let (Some(lo), Some(hi), syn::RangeLimits::HalfOpen(_)) = (&r.start, &r.end, &r.limits) else {
            return self.error(Code::Unsupported, span, "a range is `lo..hi`", "not of this form");
        };
        let (lo, hi) = (self.number(lo)?, self.number(hi)?);
        Ok(Value::Range(lo, hi))
    }
}

/// What a comparison of an index with a constant says about the index.
fn consequence(cond: &Expr, taken: bool) -> Option<(Expr, i64, i64)> {
    let Kind::Binary(op, a, b) = &cond.kind else { return None };
    let (Ty::Int { .. }, Ty::Int { .. }) = (a.ty, b.ty) else { return None };
    let less = |or_equal: bool| if or_equal { 0 } else { 1 };
    let or_equal = match op {
        BinOp::Lt => false,
        BinOp::Le => true,
        _ => return None,
    };
    // a < c, or c < b, or the opposite of either.
    match (&a.kind, &b.kind) {
        (_, Kind::Int(c)) if taken => Some((a.clone(), i64::MIN, c - less(or_equal))),
        (_, Kind::Int(c)) => Some((a.clone(), c + less(!or_equal), i64::MAX)),
        (Kind::Int(c), _) if taken => Some((b.clone(), c + less(or_equal), i64::MAX)),
        (Kind::Int(c), _) => Some((b.clone(), i64::MIN, c - less(!or_equal))),
        _ => None,
    }
}

fn construct(e: &syn::Expr) -> &'static str {
    match e {
        syn::Expr::While(_) => "`while`",
        syn::Expr::Loop(_) => "`loop`",
        syn::Expr::ForLoop(_) => "a `for` loop as a value",
        syn::Expr::Match(_) => "`match`",
        syn::Expr::Return(_) => "`return`",
        syn::Expr::Break(_) => "`break`",
        syn::Expr::Continue(_) => "`continue`",
        syn::Expr::Closure(_) => "a closure outside `sum`, `isum`, `max_of`, `argmax_of`, `map` and `merge`",
        syn::Expr::Reference(_) => "a reference",
        syn::Expr::Unsafe(_) => "`unsafe`",
        syn::Expr::Cast(_) => "`as`",
        syn::Expr::Array(_) | syn::Expr::Repeat(_) => "an array literal",
        syn::Expr::Struct(_) => "a struct literal",
        syn::Expr::Macro(_) => "a macro",
        syn::Expr::Assign(_) => "an assignment as a value",
        syn::Expr::Let(_) => "`if let`",
        syn::Expr::Try(_) => "`?`",
        syn::Expr::Await(_) | syn::Expr::Async(_) => "`async`",
        syn::Expr::Const(_) => "a `const` block",
        syn::Expr::Infer(_) => "`_` as a value",
        _ => "this expression",
    }
}
