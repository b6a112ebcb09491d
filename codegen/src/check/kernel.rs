//! Instances of kernels: generics, parameters, preconditions.
use super::{Checked, Checker, DIM_MAX, Elem, Failed, Generic, Value, View, int, node};
use crate::diagnostic::{Code, Diagnostic};
use crate::ir::{self, BinOp, Expr, Kind, Scalar, Ty};
use crate::syntax::{self, KernelItem, Program};
use quote::ToTokens;

/// All instances of all kernels, or every error.
pub fn instances(program: &Program) -> Result<Vec<ir::Kernel>, Vec<Diagnostic>> {
    let (mut kernels, mut errors) = (Vec::new(), Vec::new());
    for item in &program.kernels {
        match choices(program, item) {
            Ok(choices) => {
                for choice in choices {
                    match instance(program, item, choice) {
                        Ok(kernel) => kernels.push(kernel),
                        Err(found) => errors.extend(found),
                    }
                }
            }
            Err(found) => errors.extend(found),
        }
    }
    // Instances repeat each other's errors.
    let mut seen = std::collections::HashSet::new();
    errors.retain(|d: &Diagnostic| seen.insert((d.code, d.labels[0].0.file, d.labels[0].0.lo, d.message.clone())));
    if errors.is_empty() { Ok(kernels) } else { Err(errors) }
}

/// The generic that `#[kernel(D = [64, 96])]` lists, each value with the suffix it gives the name.
type Choice = Option<(String, Generic, String)>;

fn choices(program: &Program, item: &KernelItem) -> Result<Vec<Choice>, Vec<Diagnostic>> {
    let attr = item.item.attrs.iter().find(|a| a.path().is_ident("kernel")).expect("selected by it");
    let syn::Meta::List(list) = &attr.meta else { return Ok(vec![None]) };
    let bad = |at: &dyn Fn() -> ir::Span, message: String| {
        let d = Diagnostic::new(Code::Instance, at(), message, "");
        vec![d.help("write `#[kernel]`, `#[kernel(D = [64, 128])]` or `#[kernel(W = [Q4K, f16])]`")]
    };
    let whole = || syntax::span(item.file, attr);
    let assign: syn::ExprAssign = list.parse_args().map_err(|e| bad(&whole, format!("instances: {e}")))?;
    let (syn::Expr::Path(name), syn::Expr::Array(values)) = (&*assign.left, &*assign.right) else {
        return Err(bad(&whole, "instances are a list".into()));
    };
    let name = name.to_token_stream().to_string();
    let mut out = Vec::new();
    for value in &values.elems {
        let text = value.to_token_stream().to_string();
        let generic = match Scalar::from_name(&text) {
            Some(scalar) => Generic::Elem(Elem::Scalar(scalar, None)),
            None if program.formats.contains_key(&text) => Generic::Elem(Elem::Block(text.clone())),
            None => match text.parse::<i64>() {
                Ok(n) if n > 0 => Generic::Const(n),
                _ => {
                    let at = || syntax::span(item.file, value);
                    return Err(bad(&at, format!("`{text}` is no format, float type or positive number")));
                }
            },
        };
        out.push(Some((name.clone(), generic, text.to_lowercase())));
    }
    Ok(out)
}

fn instance(program: &Program, item: &KernelItem, choice: Choice) -> Result<ir::Kernel, Vec<Diagnostic>> {
    let mut c = Checker::new(program, item.file);
    let mut name = item.item.sig.ident.to_string();
    if let Some((generic, value, suffix)) = choice {
        c.generics.insert(generic, value);
        name = format!("{name}_{suffix}");
    }
    match c.kernel(item, name) {
        Ok(kernel) if c.errors.is_empty() => Ok(kernel),
        _ => Err(c.errors),
    }
}

impl Checker<'_> {
    fn kernel(&mut self, item: &KernelItem, name: String) -> Checked<ir::Kernel> {
        let sig = &item.item.sig;
        let dims = self.dims(&sig.generics)?;
        let mut scalars = Vec::new();
        // Integer scalars come before float scalars, whatever the order in the source.
        for wants_int in [true, false] {
            for input in &sig.inputs {
                let (ident, ty) = self.parameter(input)?;
                if let Some(ty) = self.scalar_type(ty).filter(|t| matches!(t, Ty::Int { .. }) == wants_int) {
                    let var = self.var(&ident, ty);
                    scalars.push(var);
                    let value = Value::Expr(self.use_var(var, self.span(input)));
                    self.declare(ident, value);
                }
            }
        }
        for input in &sig.inputs {
            let (ident, ty) = self.parameter(input)?;
            if self.scalar_type(ty).is_none() {
                self.buffer(ident, ty)?;
            }
        }
        let requires = self.requires(item)?;
        let (body, _) = self.block(|c| c.stmts(&item.item.block.stmts).map(|_| Value::Unit))?;
        self.check_races();
        Ok(ir::Kernel {
            name,
            dims,
            scalars,
            buffers: std::mem::take(&mut self.buffers),
            requires,
            body,
            vars: std::mem::take(&mut self.vars),
            span: self.span(&sig.ident),
        })
    }

    fn dims(&mut self, generics: &syn::Generics) -> Checked<Vec<ir::Var>> {
        let mut dims = Vec::new();
        for g in &generics.params {
            let (ident, bound) = match g {
                syn::GenericParam::Type(t) => (t.ident.to_string(), t.bounds.to_token_stream().to_string()),
                syn::GenericParam::Const(c) => (c.ident.to_string(), "const".into()),
                syn::GenericParam::Lifetime(_) => {
                    return self.error(Code::Unsupported, self.span(g), "lifetimes are not part of the language", "");
                }
            };
            match (bound.as_str(), self.generics.get(&ident).cloned()) {
                ("Dim", _) => {
                    let var = self.var(&ident, Ty::Int { lo: 1, hi: DIM_MAX });
                    dims.push(var);
                    let value = Value::Expr(self.use_var(var, self.span(g)));
                    self.declare(ident, value);
                }
                ("const", Some(Generic::Const(n))) => {
                    let value = Value::Expr(int(n, self.span(g)));
                    self.declare(ident, value);
                }
                ("Format", Some(Generic::Elem(Elem::Block(_)))) => {}
                ("Float", Some(Generic::Elem(Elem::Scalar(..)))) => {}
                (bound, _) => {
                    let message = format!("`{ident}: {bound}` has no fitting instance");
                    let d = Diagnostic::new(Code::Instance, self.span(g), message, "");
                    return self.fail(d.help(
                        "`T: Dim` is a runtime size; `W: Format`, `W: Float` and `const D: usize` need a list in `#[kernel(..)]`",
                    ));
                }
            }
        }
        Ok(dims)
    }

    fn parameter<'a>(&mut self, input: &'a syn::FnArg) -> Checked<(String, &'a syn::Type)> {
        if let syn::FnArg::Typed(p) = input
            && let syn::Pat::Ident(i) = &*p.pat
        {
            return Ok((i.ident.to_string(), &p.ty));
        }
        self.error(Code::Unsupported, self.span(input), "a kernel's parameter is a name and a type", "")
    }

    fn scalar_type(&self, ty: &syn::Type) -> Option<Ty> {
        let syn::Type::Path(p) = ty else { return None };
        let segment = p.path.segments.last()?;
        match (segment.ident.to_string().as_str(), &segment.arguments) {
            ("f32", syn::PathArguments::None) => Some(Ty::F32),
            ("i32", arguments) => syntax::range_arguments(arguments).map(|(lo, hi)| Ty::Int { lo, hi }),
            _ => None,
        }
    }

    fn buffer(&mut self, name: String, ty: &syn::Type) -> Checked<()> {
        let help = "a parameter is `f32`, `i32<lo, hi>`, `&Ten<elem, dims..>` or `&mut Ten<elem, dims..>`";
        let (elem, shape, written) = match self.tensor_type(ty) {
            Some(Ok(t)) => t,
            Some(Err(failed)) => return Err(failed),
            None => {
                let d = Diagnostic::new(
                    Code::Type,
                    self.span(ty),
                    format!("`{name}` has a type that no parameter has"),
                    "",
                );
                return self.fail(d.help(help));
            }
        };
        let (scalar, elem_bytes, index_below, text) = match &elem {
            Elem::Scalar(s, _) => (Some(*s), s.bytes(), None, s.name().to_string()),
            Elem::Block(f) => (None, self.program.formats[f].bytes, None, f.clone()),
            Elem::Index(below) => (Some(Scalar::I32), 4, Some(below.clone()), "i32".to_string()),
        };
        self.buffers.push(ir::Buffer {
            name: name.clone(),
            elem_bytes,
            elem: text,
            scalar,
            shape,
            written,
            index_below,
        });
        self.elems.push(elem);
        self.declare(name, Value::View(View { buffer: self.buffers.len() - 1, index: Vec::new() }));
        Ok(())
    }

    /// `&Ten<elem, dims..>`; `None` for any other type.
    #[allow(clippy::type_complexity)]
    fn tensor_type(&mut self, ty: &syn::Type) -> Option<Checked<(Elem, Vec<Expr>, bool)>> {
        let syn::Type::Reference(r) = ty else { return None };
        let syn::Type::Path(p) = &*r.elem else { return None };
        let segment = p.path.segments.last().filter(|s| s.ident == "Ten")?;
        let syn::PathArguments::AngleBracketed(angle) = &segment.arguments else { return None };
        let mut args = angle.args.iter();
        let elem = self.elem(args.next()?)?;
        let shape: Result<Vec<Expr>, Failed> = args.map(|a| self.extent(a)).collect();
        Some(shape.map(|shape| (elem, shape, r.mutability.is_some())))
    }

    fn elem(&mut self, arg: &syn::GenericArgument) -> Option<Elem> {
        let syn::GenericArgument::Type(syn::Type::Path(p)) = arg else { return None };
        let segment = p.path.segments.last()?;
        let name = segment.ident.to_string();
        if let Some(Generic::Elem(e)) = self.generics.get(&name) {
            return Some(e.clone());
        }
        if name == "Index" {
            let syn::PathArguments::AngleBracketed(angle) = &segment.arguments else { return None };
            return self.extent(angle.args.first()?).ok().map(Elem::Index);
        }
        if self.program.formats.contains_key(&name) {
            return Some(Elem::Block(name));
        }
        let range = syntax::range_arguments(&segment.arguments);
        Scalar::from_name(&name).map(|s| Elem::Scalar(s, range))
    }

    fn extent(&mut self, arg: &syn::GenericArgument) -> Checked<Expr> {
        let e: syn::Expr = match arg {
            syn::GenericArgument::Type(t) => syn::parse_quote!(#t),
            syn::GenericArgument::Const(e) => e.clone(),
            _ => return self.error(Code::Type, self.span(arg), "an extent is a size", ""),
        };
        match self.expr(&e)? {
            Value::Expr(e) if matches!(e.ty, Ty::Int { .. }) => Ok(e),
            _ => self.error(Code::Type, self.span(arg), "an extent is an integer", ""),
        }
    }

    fn requires(&mut self, item: &KernelItem) -> Checked<Vec<(Expr, String)>> {
        let mut requires = Vec::new();
        for attr in item.item.attrs.iter().filter(|a| a.path().is_ident("require")) {
            let span = self.span(attr);
            let Ok(e) = attr.parse_args::<syn::Expr>() else {
                return self.error(Code::Syntax, span, "`#[require]` takes a comparison", "");
            };
            let Value::Expr(cond) = self.expr(&e)? else {
                return self.error(Code::Type, span, "`#[require]` takes a comparison", "");
            };
            let Kind::Binary(op @ (BinOp::Le | BinOp::Lt), a, b) = &cond.kind else {
                let d = Diagnostic::new(Code::Type, span, "`#[require]` takes a comparison", "");
                return self.fail(d.help("write `a <= b` or `a < b` over sizes and integer parameters"));
            };
            let difference = self.binary(BinOp::Sub, b.clone(), a.clone(), span)?;
            let fact = match op {
                BinOp::Lt => self.binary(BinOp::Sub, difference, int(1, span), span)?,
                _ => difference,
            };
            self.facts.push(fact);
            requires.push((node(cond.kind.clone(), Ty::Bool, span), e.to_token_stream().to_string()));
        }
        Ok(requires)
    }
}
