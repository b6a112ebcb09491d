//! The functions of the language: reductions, `map`, `merge`, and arithmetic that has no operator.
use super::{ARRAY_MAX, Checked, Checker, Value, bounds, int, node, range};
use crate::diagnostic::{Code, Diagnostic};
use crate::ir::sum_order::Shape;
use crate::ir::{Axis, BinOp, Block, Expr, Kind, MergeStep, ReduceOp, Span, Stmt, Ty, UnOp};
use crate::text;
use std::rc::Rc;

/// All of them, for suggestions.
pub const NAMES: [&str; 16] = [
    "sum",
    "isum",
    "max_of",
    "argmax_of",
    "map",
    "merge",
    "fma",
    "sqrt",
    "abs",
    "rint",
    "min",
    "max",
    "bits",
    "from_bits",
    "ceil_div",
    "len",
];

impl Checker<'_> {
    /// `None` where there is no such function.
    pub(super) fn builtin(&mut self, name: &str, args: &[&syn::Expr], span: Span) -> Option<Checked<Value>> {
        let wanted = match name {
            "sqrt" | "abs" | "rint" | "bits" | "from_bits" | "len" => 1,
            "min" | "max" | "ceil_div" | "isum" | "max_of" | "argmax_of" | "map" => 2,
            "fma" => 3,
            "merge" => 4,
            "sum" => args.len(),
            _ => return None,
        };
        if args.len() != wanted {
            let message = format!("`{name}` takes {}, not {}", text::count(wanted, "value"), args.len());
            return Some(self.error(Code::Arguments, span, message, "called here"));
        }
        Some(match name {
            "sum" => self.sum(args, span),
            "isum" => self.reduce(ReduceOp::ISum, args, span),
            "max_of" => self.reduce(ReduceOp::Max, args, span),
            "argmax_of" => self.reduce(ReduceOp::ArgMax, args, span),
            "map" => self.map(args, span),
            "merge" => self.merge(args, span),
            "len" => self.len(args[0]),
            _ => self.arithmetic(name, args, span).map(Value::Expr),
        })
    }

    fn arithmetic(&mut self, name: &str, args: &[&syn::Expr], span: Span) -> Checked<Expr> {
        let values: Vec<Checked<Expr>> = args.iter().map(|a| self.number(a)).collect();
        let v: Vec<Expr> = values.into_iter().collect::<Checked<_>>()?;
        match name {
            "sqrt" => self.unary(UnOp::Sqrt, v[0].clone(), span),
            "abs" => self.unary(UnOp::Abs, v[0].clone(), span),
            "rint" => self.unary(UnOp::Rint, v[0].clone(), span),
            "bits" => self.unary(UnOp::Bits, v[0].clone(), span),
            "from_bits" => self.unary(UnOp::FromBits, v[0].clone(), span),
            "min" => self.binary(BinOp::Min, v[0].clone(), v[1].clone(), span),
            "max" => self.binary(BinOp::Max, v[0].clone(), v[1].clone(), span),
            "ceil_div" => {
                let less = self.binary(BinOp::Sub, v[1].clone(), int(1, span), span)?;
                let up = self.binary(BinOp::Add, v[0].clone(), less, span)?;
                self.binary(BinOp::Div, up, v[1].clone(), span)
            }
            _ => {
                if let Some(odd) = v.iter().find(|x| x.ty != Ty::F32) {
                    let message = format!("`fma` takes three f32, not {}", text::ty(odd.ty));
                    return self.error(Code::Type, odd.span, message, text::ty(odd.ty));
                }
                Ok(node(Kind::Fma(v[0].clone(), v[1].clone(), v[2].clone()), Ty::F32, span))
            }
        }
    }

    fn len(&mut self, arg: &syn::Expr) -> Checked<Value> {
        match self.expr(arg)? {
            Value::View(v) if self.rank_left(&v) > 0 => {
                Ok(Value::Expr(self.buffers[v.buffer].shape[v.index.len()].clone()))
            }
            _ => self.error(Code::Type, self.span(arg), "`len` takes a tensor", "this is none"),
        }
    }

    /// `lo..hi`, or `n` for `0..n`.
    pub(super) fn range_argument(&mut self, e: &syn::Expr) -> Checked<(Expr, Expr)> {
        let span = self.span(e);
        let (lo, hi) = match self.expr(e)? {
            Value::Range(lo, hi) => (lo, hi),
            Value::Expr(n) => (int(0, span), n),
            _ => return self.error(Code::Type, span, "a range `lo..hi` or a size is needed", "this is none"),
        };
        if !matches!((lo.ty, hi.ty), (Ty::Int { .. }, Ty::Int { .. })) {
            return self.error(Code::Type, span, "the ends of a range are integers", "not integers");
        }
        Ok((lo, hi))
    }

    fn closure<'a>(&mut self, e: &'a syn::Expr, params: usize) -> Checked<&'a syn::ExprClosure> {
        match e {
            syn::Expr::Closure(c) if c.inputs.len() == params => Ok(c),
            syn::Expr::Closure(c) => {
                let message =
                    format!("this closure takes {}, not {}", text::count(params, "parameter"), c.inputs.len());
                self.error(Code::Arguments, self.span(e), message, "this closure")
            }
            _ => self.error(Code::Type, self.span(e), "a closure `|i| ..` is needed here", "this is none"),
        }
    }

    pub(super) fn axis_name(&mut self, pat: &syn::Pat) -> Checked<String> {
        match pat {
            syn::Pat::Ident(i) => Ok(i.ident.to_string()),
            syn::Pat::Wild(_) => Ok("_".into()),
            other => self.error(Code::Unsupported, self.span(other), "an index is a single name", "not a name"),
        }
    }

    /// An axis named by a closure's parameter.
    fn over(&mut self, pat: &syn::Pat, range: (Expr, Expr)) -> Checked<(String, Axis, Value)> {
        let name = self.axis_name(pat)?;
        let axis = self.axis(&name, range.0, range.1)?;
        let value = Value::Expr(self.use_var(axis.var, self.span(pat)));
        Ok((name, axis, value))
    }

    fn reduce(&mut self, op: ReduceOp, args: &[&syn::Expr], span: Span) -> Checked<Value> {
        let range = self.range_argument(args[0])?;
        let closure = self.closure(args[1], 1)?;
        let (name, axis, index) = self.over(&closure.inputs[0], range)?;
        let (stmts, value) = self.closure_block(|c| {
            c.declare(name, index);
            c.number(&closure.body)
        })?;
        let ty = match (op, value.ty) {
            (ReduceOp::ISum, Ty::Int { lo, hi }) => self.isum_range(&axis, lo, hi, value.span)?,
            (ReduceOp::Max, Ty::F32) => Ty::F32,
            (ReduceOp::ArgMax, Ty::F32) => {
                Ty::Int { lo: range::of(&axis.lo).0.min(0), hi: (range::of(&axis.hi).1 - 1).max(0) }
            }
            (ReduceOp::ISum, Ty::F32) => {
                let d = Diagnostic::new(Code::Type, value.span, "`isum` adds integers, this is f32", "f32");
                return self
                    .fail(d.help("a float sum is `sum(range, shape, |acc, i| ..)`: its order is part of the kernel"));
            }
            (op, ty) => {
                let message = format!("`{}` does not work on {}", text::reduce(op), text::ty(ty));
                return self.error(Code::Type, value.span, message, text::ty(ty));
            }
        };
        let body = Rc::new(Block { stmts, value });
        Ok(Value::Expr(node(Kind::Reduce { op, axis, body }, ty, span)))
    }

    /// The range of a sum of up to `hi - lo` terms, each in `lo..=hi`. Every partial sum lies in it too.
    fn isum_range(&mut self, axis: &Axis, lo: i64, hi: i64, term: Span) -> Checked<Ty> {
        let count = (range::of(&axis.hi).1 - range::of(&axis.lo).0).max(0);
        let (lo, hi) = (lo.min(0) * count, hi.max(0) * count);
        if range::fits((lo, hi)) {
            return Ok(Ty::Int { lo, hi });
        }
        let message = format!("this sum of {count} integers may leave i32");
        let d = Diagnostic::new(Code::Range, term, message, format!("the sum may be anywhere in {lo}..={hi}"));
        self.fail(d.help("declare narrower fields, sum fewer terms, or convert to f32 inside a `sum` with a shape"))
    }

    fn sum(&mut self, args: &[&syn::Expr], span: Span) -> Checked<Value> {
        if args.len() != 3 {
            let d = Diagnostic::new(Code::SumShape, span, "a float sum without a declared shape", "in which order?");
            return self.fail(d.help(
                "write `sum(range, chain, |acc, i| ..)`, `lanes(n)` or `segments(n)`: float sums depend on their order, so it belongs to the kernel",
            ));
        }
        let range = self.range_argument(args[0])?;
        let shape = self.shape(args[1])?;
        let closure = self.closure(args[2], 2)?;
        let acc_name = self.axis_name(&closure.inputs[0])?;
        let (name, axis, index) = self.over(&closure.inputs[1], range)?;
        let acc = self.var(&acc_name, Ty::F32);
        let running = Value::Expr(self.use_var(acc, self.span(&closure.inputs[0])));
        let (stmts, value) = self.closure_block(|c| {
            c.declare(acc_name, running);
            c.declare(name, index);
            c.number(&closure.body)
        })?;
        if value.ty != Ty::F32 {
            let d = Diagnostic::new(
                Code::Type,
                value.span,
                format!("`sum` adds f32, this is {}", text::ty(value.ty)),
                text::ty(value.ty),
            );
            return self.fail(d.help("integers are added by `isum`, in any order"));
        }
        let step = Rc::new(Block { stmts, value });
        Ok(Value::Expr(node(Kind::Sum { shape, axis, acc, step }, Ty::F32, span)))
    }

    fn shape(&mut self, e: &syn::Expr) -> Checked<Shape> {
        let span = self.span(e);
        if let syn::Expr::Path(p) = e
            && p.path.is_ident("chain")
        {
            return Ok(Shape::Chain);
        }
        if let syn::Expr::Call(c) = e
            && let (syn::Expr::Path(p), [n]) = (&*c.func, &c.args.iter().collect::<Vec<_>>()[..])
        {
            let n = self.number(n)?;
            match (p.path.get_ident().map(|i| i.to_string()).as_deref(), &n.kind) {
                (Some("lanes"), Kind::Int(n)) if (*n as u64).is_power_of_two() && *n <= 1024 => {
                    return Ok(Shape::Lanes(*n as usize));
                }
                (Some("segments"), Kind::Int(n)) if (1..=64).contains(n) => return Ok(Shape::Segments(*n as usize)),
                _ => {}
            }
        }
        let d = Diagnostic::new(Code::SumShape, span, "this is no shape of a sum", "in which order?");
        self.fail(d.help("a shape is `chain`, `lanes(n)` with n a power of two, or `segments(n)` with n up to 64"))
    }

    fn map(&mut self, args: &[&syn::Expr], span: Span) -> Checked<Value> {
        let (lo, hi) = self.range_argument(args[0])?;
        let cap = range::of(&hi).1;
        if range::of(&lo) != (0, 0) || !(1..=ARRAY_MAX).contains(&cap) {
            let message = format!("this map may have {cap} elements");
            let d = Diagnostic::new(Code::Extent, lo.span, message, "needs a bound known at compile time");
            return self.fail(
                d.help(format!("start at 0 and bound the size, as with `min(64, n)`; at most {ARRAY_MAX} elements")),
            );
        }
        let closure = self.closure(args[1], 1)?;
        let (name, axis, index) = self.over(&closure.inputs[0], (lo, hi))?;
        let (stmts, value) = self.closure_block(|c| {
            c.declare(name, index);
            c.number(&closure.body)
        })?;
        if value.ty != Ty::F32 {
            return self.error(
                Code::Type,
                value.span,
                format!("`map` makes f32, not {}", text::ty(value.ty)),
                text::ty(value.ty),
            );
        }
        let body = Rc::new(Block { stmts, value });
        let map = node(Kind::Map { axis, body }, Ty::Array { cap: cap as usize }, span);
        Ok(Value::Expr(self.bind("map", map)))
    }

    /// `merge(range, start, |i| part, |state, part| next)`.
    fn merge(&mut self, args: &[&syn::Expr], span: Span) -> Checked<Value> {
        let range = self.range_argument(args[0])?;
        let start = self.tuple(args[1])?;
        let part = self.closure(args[2], 1)?;
        let (name, axis, index) = self.over(&part.inputs[0], range)?;
        let (part_stmts, parts) = self.closure_block(|c| {
            c.declare(name, index);
            let Value::Tuple(values) = c.expr(&part.body)? else {
                return c.error(Code::Type, c.span(&part.body), "a part is a tuple", "this is none");
            };
            // Names for the parts, so that each is computed before the state is looked at.
            let values: Vec<Expr> = values.into_iter().map(|v| c.plain(v, span)).collect::<Checked<_>>()?;
            Ok(values.into_iter().map(|e| c.bind("part", e)).collect::<Vec<_>>())
        })?;
        let mut state = Vec::new();
        for init in start {
            let var = self.var("state", init.ty);
            if let (Ty::Array { .. }, Kind::Var(array)) = (init.ty, &init.kind) {
                self.extents.insert(var, self.extents[array].clone());
            }
            state.push((var, init));
        }
        let current: Vec<Value> = state.iter().map(|(v, _)| Value::Expr(self.use_var(*v, span))).collect();
        let next = self.closure(args[3], 2)?;
        let (stmts, values) = self.closure_block(|c| {
            c.pattern(&next.inputs[0], Value::Tuple(current.clone()))?;
            c.pattern(&next.inputs[1], Value::Tuple(parts.iter().cloned().map(Value::Expr).collect()))?;
            c.tuple(&next.body)
        })?;
        let same = values.len() == state.len() && values.iter().zip(&state).all(|(v, (_, init))| self.alike(v, init));
        if !same {
            let message = "the next state has not the types and lengths of the first";
            return self.error(Code::Type, self.span(&next.body), message, "the state goes on like this");
        }
        let next = Rc::new(MergeStep { stmts, values });
        self.emit(Stmt::Merge { axis, part: part_stmts, state, next });
        Ok(Value::Tuple(current))
    }

    /// Whether two values have one type, and arrays one length.
    fn alike(&self, a: &Expr, b: &Expr) -> bool {
        let extent = |e: &Expr| if let Kind::Var(v) = e.kind { self.extents.get(&v) } else { None };
        match (extent(a), extent(b)) {
            (Some(x), Some(y)) => a.ty == b.ty && bounds::same(x, y),
            _ => a.ty == b.ty && !matches!(a.ty, Ty::Array { .. }),
        }
    }

    fn tuple(&mut self, e: &syn::Expr) -> Checked<Vec<Expr>> {
        let span = self.span(e);
        match self.expr(e)? {
            Value::Tuple(values) => values.into_iter().map(|v| self.plain(v, span)).collect(),
            _ => self.error(Code::Type, span, "a tuple is needed here", "this is none"),
        }
    }

    fn plain(&mut self, value: Value, span: Span) -> Checked<Expr> {
        match value {
            Value::Expr(e) if matches!(e.ty, Ty::F32 | Ty::Array { .. }) => Ok(e),
            _ => self.error(Code::Type, span, "the members of this tuple are f32 or arrays", "another type"),
        }
    }
}
