//! Instances of kernels: generics, parameters, preconditions.
use super::{Checked, Checker, DIM_MAX, Elem, Failed, Generic, Value, View, int, node};
use crate::diagnostic::{Code, Diagnostic};
use crate::ir::{self, BinOp, Expr, Kind, Scalar, Ty};
use crate::syntax::{self, KernelItem, Program};
use quote::ToTokens;
use std::collections::HashSet;

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
    let mut names = HashSet::new();
    for k in &kernels {
        if !names.insert(&k.name) {
            let message = format!("two kernels are named `{}`", k.name);
            errors.push(Diagnostic::new(Code::Duplicate, k.span, message, "with the suffix of its instance"));
        }
    }
    let mut seen = HashSet::new();
    errors.retain(|d: &Diagnostic| seen.insert((d.code, d.labels[0].0.file, d.labels[0].0.lo, d.message.clone())));
    if errors.is_empty() { Ok(kernels) } else { Err(errors) }
}

/// The generic that `#[kernel(D = [64, 96])]` lists, each value with the suffix it gives the name.
type Choice = Option<(String, Generic, String)>;

fn choices(program: &Program, item: &KernelItem) -> Result<Vec<Choice>, Vec<Diagnostic>> {
    let attr = item.item.attrs.iter().find(|a| a.path().is_ident("kernel")).expect("selected by it");
    let syn::Meta::List(list) = &attr.meta else { return Ok(vec![None]) };
    let bad = |at: &dyn Fn() -> ir::Span, message: String| {
        let d = Diagnostic::new(Code::Instance, at(), message, "no list of instances");
        vec![d.help("write `#[kernel]`, `#[kernel(D = [64, 128])]` or `#[kernel(W = [f16, has(value)])]`")]
    };
    let whole = || syntax::span(item.file, attr);
    let assign: syn::ExprAssign = list.parse_args().map_err(|e| bad(&whole, format!("instances: {e}")))?;
    let (syn::Expr::Path(name), syn::Expr::Array(values)) = (&*assign.left, &*assign.right) else {
        return Err(bad(&whole, "instances are a list".into()));
    };
    let name = name.to_token_stream().to_string();
    let mut out = Vec::new();
    for value in &values.elems {
        if let Some(method) = method_asked_for(value) {
            let has = |format: &&String| program.functions.contains_key(&format!("{format}::{method}"));
            let before = out.len();
            for format in program.formats.keys().filter(has) {
                let generic = Generic::Elem(Elem::Block(format.clone()));
                out.push(Some((name.clone(), generic, format.to_lowercase())));
            }
            if out.len() == before {
                let at = || syntax::span(item.file, value);
                return Err(bad(&at, format!("no format has a method `{method}`")));
            }
            continue;
        }
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

/// `has(method)`: all formats with this method, in the order of their names.
fn method_asked_for(value: &syn::Expr) -> Option<String> {
    let syn::Expr::Call(call) = value else { return None };
    let name = |e: &syn::Expr| match e {
        syn::Expr::Path(p) => p.path.get_ident().map(|name| name.to_string()),
        _ => None,
    };
    let mut args = call.args.iter();
    let method = name(args.next()?)?;
    (name(&call.func)? == "has" && args.next().is_none()).then_some(method)
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
        self.signature(item)?;
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
        self.parameters = self.vars.len();
        for input in &sig.inputs {
            let (ident, ty) = self.parameter(input)?;
            if self.scalar_type(ty).is_none() {
                self.buffer(ident, ty)?;
            }
        }
        let requires = self.requires(item)?;
        let (body, ()) = self.block(|c| c.unit(&item.item.block.stmts))?;
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

    /// What a kernel's declaration may not say, and names that are declared twice in it.
    fn signature(&mut self, item: &KernelItem) -> Checked<()> {
        let sig = &item.item.sig;
        let qualifiers: [(Option<ir::Span>, &str); 6] = [
            (sig.constness.as_ref().map(|t| self.span(t)), "`const`"),
            (sig.asyncness.as_ref().map(|t| self.span(t)), "`async`"),
            (sig.unsafety.as_ref().map(|t| self.span(t)), "`unsafe`"),
            (sig.abi.as_ref().map(|t| self.span(t)), "`extern`"),
            (sig.generics.where_clause.as_ref().map(|t| self.span(t)), "`where`"),
            (matches!(sig.output, syn::ReturnType::Type(..)).then(|| self.span(&sig.output)), "the result of a kernel"),
        ];
        if let Some((at, what)) = qualifiers.into_iter().find_map(|(at, what)| Some((at?, what))) {
            let d = Diagnostic::new(Code::Unsupported, at, format!("{what} is not part of the language"), "used here");
            return self.fail(d.help("a kernel is `fn name<N: Dim>(x: &Ten<f32, N>, y: &mut Ten<f32, N>) { .. }`"));
        }
        let mut names: Vec<(String, ir::Span)> = Vec::new();
        for g in &sig.generics.params {
            if let syn::GenericParam::Type(syn::TypeParam { ident, .. })
            | syn::GenericParam::Const(syn::ConstParam { ident, .. }) = g
            {
                names.push((ident.to_string(), self.span(ident)));
            }
        }
        for input in &sig.inputs {
            let (name, _) = self.parameter(input)?;
            names.push((name, self.span(input)));
        }
        for (i, (name, at)) in names.iter().enumerate() {
            if let Some((_, first)) = names[..i].iter().find(|(n, _)| n == name) {
                let message = format!("`{name}` is declared twice");
                let d = Diagnostic::new(Code::Duplicate, *at, message, "again here").label(*first, "first here");
                return self.fail(d.help("give each parameter a name of its own"));
            }
        }
        Ok(())
    }

    fn dims(&mut self, generics: &syn::Generics) -> Checked<Vec<ir::Var>> {
        let mut dims = Vec::new();
        for g in &generics.params {
            let (ident, bound) = match g {
                syn::GenericParam::Type(t) => (t.ident.to_string(), t.bounds.to_token_stream().to_string()),
                syn::GenericParam::Const(c) => (c.ident.to_string(), "const".into()),
                syn::GenericParam::Lifetime(_) => {
                    return self.error(
                        Code::Unsupported,
                        self.span(g),
                        "a lifetime is not part of the language",
                        "used here",
                    );
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
                    let message = match bound {
                        "" => format!("`{ident}` has no kind"),
                        _ => format!("`{ident}: {bound}` has no fitting instance"),
                    };
                    let d = Diagnostic::new(Code::Instance, self.span(g), message, "stands for nothing");
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
            if i.mutability.is_some() {
                let message = "`mut` is not part of the language";
                return self.error(Code::Unsupported, self.span(i), message, "what is written is `&mut Ten<..>`");
            }
            return Ok((i.ident.to_string(), &p.ty));
        }
        self.error(Code::Unsupported, self.span(input), "a kernel's parameter is a name and a type", "not of this form")
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
                    "no parameter is this",
                );
                return self.fail(d.help(help));
            }
        };
        let (scalar, elem_bytes, index_below, text) = match &elem {
            Elem::Scalar(s, _) => (Some(*s), s.bytes(), None, s.name().to_string()),
            Elem::Block(f) => (None, self.program.formats[f].bytes, None, f.clone()),
            Elem::Index(below) => (Some(Scalar::I32), 4, Some(below.clone()), "i32".to_string()),
        };
        let (fields, elements) = match &elem {
            Elem::Block(f) => (self.program.formats[f].fields.clone(), self.program.formats[f].elements),
            _ => (Vec::new(), 1),
        };
        self.buffers.push(ir::Buffer {
            name: name.clone(),
            elem_bytes,
            elem: text,
            scalar,
            fields,
            elements,
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
        if let Some(of) = p.path.segments.iter().rev().nth(1) {
            let format = self.format_of(&of.ident.to_string())?;
            return self.program.types.get(&format!("{format}::{name}")).map(|(format, _)| Elem::Block(format.clone()));
        }
        if let Some(Generic::Elem(e)) = self.generics.get(&name) {
            return Some(e.clone());
        }
        if name == "Index" {
            let syn::PathArguments::AngleBracketed(angle) = &segment.arguments else { return None };
            let [below] = &angle.args.iter().collect::<Vec<_>>()[..] else { return None };
            return self.extent(below).ok().map(Elem::Index);
        }
        if self.program.formats.contains_key(&name) && segment.arguments.is_none() {
            return Some(Elem::Block(name));
        }
        syntax::scalar_type(segment).map(|(s, range)| Elem::Scalar(s, range))
    }

    /// The format of this name, or that a generic of this name stands for.
    pub(super) fn format_of(&self, name: &str) -> Option<String> {
        match self.generics.get(name) {
            Some(Generic::Elem(Elem::Block(format))) => Some(format.clone()),
            Some(_) => None,
            None => self.program.formats.contains_key(name).then(|| name.to_string()),
        }
    }

    fn extent(&mut self, arg: &syn::GenericArgument) -> Checked<Expr> {
        let e: syn::Expr = match arg {
            syn::GenericArgument::Type(t) => syn::parse_quote!(#t),
            syn::GenericArgument::Const(e) => e.clone(),
            _ => return self.error(Code::Type, self.span(arg), "an extent is a size", "this is none"),
        };
        match self.expr(&e)? {
            Value::Expr(e) if self.is_size(&e) => Ok(e),
            _ => {
                let message = "an extent is a size that a launch can compute";
                let d = Diagnostic::new(Code::Type, self.span(arg), message, "this is none");
                self.fail(d.help("extents are dims, integer parameters, constants, and arithmetic on them in `{ .. }`"))
            }
        }
    }

    fn requires(&mut self, item: &KernelItem) -> Checked<Vec<(Expr, String)>> {
        let mut requires = Vec::new();
        for attr in item.item.attrs.iter().filter(|a| a.path().is_ident("require")) {
            let span = self.span(attr);
            let Ok(e) = attr.parse_args::<syn::Expr>() else {
                return self.error(Code::Syntax, span, "`#[require]` takes a comparison", "no expression");
            };
            let cond = self.number(&e)?;
            let (op, a, b) = match &cond.kind {
                Kind::Binary(op @ (BinOp::Le | BinOp::Lt), a, b) if self.is_size(a) && self.is_size(b) => (op, a, b),
                _ => {
                    let message = "`#[require]` takes a comparison of sizes";
                    let d = Diagnostic::new(Code::Type, cond.span, message, "this is none");
                    return self.fail(d.help("write `a <= b` or `a < b` over dims and integer parameters"));
                }
            };
            let difference = self.binary(BinOp::Sub, b.clone(), a.clone(), span)?;
            let fact = match op {
                BinOp::Lt => self.binary(BinOp::Sub, difference, int(1, span), span)?,
                _ => difference,
            };
            self.facts.push(fact);
            requires.push((node(cond.kind.clone(), Ty::Bool, span), syntax::text(&e)));
        }
        Ok(requires)
    }
}
