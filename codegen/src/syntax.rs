//! Source text to items: formats, functions, kernels and constants. The grammar is Rust's, through syn.
use crate::diagnostic::{Code, Diagnostic, Source};
use crate::ir::{Field, Scalar, Span};
use crate::nesting;
use std::collections::BTreeMap;
use syn::spanned::Spanned;

/// Most elements, and most bytes, of a block.
const BLOCK_MAX: usize = 1 << 16;

/// Everything that was declared in the files compiled together.
#[derive(Default)]
pub struct Program {
    /// Block formats by name.
    pub formats: BTreeMap<String, Format>,
    /// Functions by name; methods as `Format::method`.
    pub functions: BTreeMap<String, Function>,
    /// Kernels in the order of the source.
    pub kernels: Vec<KernelItem>,
    /// The formats that formats name, by `Format::Name`: with the file and the place of the name.
    pub types: BTreeMap<String, (String, Span)>,
    /// Constants by name.
    pub constants: BTreeMap<String, (u32, syn::ItemConst)>,
}

/// A block format: fields at their offsets.
pub struct Format {
    /// Name as declared.
    pub name: String,
    /// Elements in a block.
    pub elements: usize,
    /// Bytes of a block.
    pub bytes: usize,
    /// In the order of the declaration, packed.
    pub fields: Vec<Field>,
    /// Where.
    pub span: Span,
}

/// A function of the language; it is inlined where it is called.
pub struct Function {
    /// File it is in.
    pub file: u32,
    /// Its text.
    pub item: syn::ImplItemFn,
}

/// A kernel before it is instantiated.
pub struct KernelItem {
    /// File it is in.
    pub file: u32,
    /// Its text.
    pub item: syn::ItemFn,
}

/// The place of a piece of syntax.
pub fn span(file: u32, at: &impl Spanned) -> Span {
    span_of(file, at.span())
}

/// The place of a token's span.
pub fn span_of(file: u32, at: proc_macro2::Span) -> Span {
    let range = at.byte_range();
    Span { file, lo: range.start as u32, hi: range.end as u32 }
}

/// Source text as it was written, on one line.
pub fn text(at: &(impl Spanned + quote::ToTokens)) -> String {
    let text = at.span().source_text().unwrap_or_else(|| at.to_token_stream().to_string());
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Reads all items; errors are collected over all files.
pub fn parse(sources: &[Source]) -> (Program, Vec<Diagnostic>) {
    let mut reader = Reader::default();
    for (file, source) in sources.iter().enumerate() {
        reader.file = file as u32;
        match nesting::parse(&source.text) {
            Ok(parsed) => parsed.items.into_iter().for_each(|item| reader.item(item)),
            Err(e) => {
                let at = span_of(reader.file, e.span());
                reader.errors.push(Diagnostic::new(Code::Syntax, at, e.to_string(), "no Rust syntax from here"));
            }
        }
    }
    reader.check_types();
    (reader.program, reader.errors)
}

#[derive(Default)]
struct Reader {
    file: u32,
    program: Program,
    errors: Vec<Diagnostic>,
}

impl Reader {
    fn unsupported(&mut self, at: &impl Spanned, what: &str) {
        let d = Diagnostic::new(
            Code::Unsupported,
            span(self.file, at),
            format!("{what} is not part of the language"),
            "used here",
        );
        self.errors.push(d.help(
            "a file holds formats (`#[format] struct`, `impl`), functions, kernels (`#[kernel] fn`) and constants",
        ));
    }

    fn duplicate(&mut self, at: &impl Spanned, name: &str, first: Option<Span>) {
        let message = format!("`{name}` is declared twice");
        let d = Diagnostic::new(Code::Duplicate, span(self.file, at), message, "again here");
        self.errors.push(match first {
            Some(first) => d.label(first, "first here"),
            None => d,
        });
    }

    fn item(&mut self, item: syn::Item) {
        match item {
            syn::Item::Struct(s) => self.format(s),
            syn::Item::Impl(i) => self.methods(i),
            syn::Item::Fn(f) if f.attrs.iter().any(|a| a.path().is_ident("kernel")) => {
                if let Some(first) = self.program.kernels.iter().find(|k| k.item.sig.ident == f.sig.ident) {
                    let first = span(first.file, &first.item.sig.ident);
                    self.duplicate(&f.sig.ident, &f.sig.ident.to_string(), Some(first));
                }
                self.program.kernels.push(KernelItem { file: self.file, item: f });
            }
            syn::Item::Fn(f) => {
                let item =
                    syn::ImplItemFn { attrs: f.attrs, vis: f.vis, defaultness: None, sig: f.sig, block: *f.block };
                self.function(item.sig.ident.to_string(), item);
            }
            syn::Item::Const(c) => {
                let name = c.ident.to_string();
                if let Some((file, first)) = self.program.constants.get(&name) {
                    let first = span(*file, &first.ident);
                    self.duplicate(&c.ident, &name, Some(first));
                }
                self.program.constants.insert(name, (self.file, c));
            }
            other => self.unsupported(&other, item_name(&other)),
        }
    }

    fn function(&mut self, name: String, item: syn::ImplItemFn) {
        if let Some(first) = self.program.functions.get(&name) {
            let first = span(first.file, &first.item.sig.ident);
            self.duplicate(&item.sig.ident, &name, Some(first));
        }
        self.program.functions.insert(name, Function { file: self.file, item });
    }

    fn methods(&mut self, i: syn::ItemImpl) {
        let syn::Type::Path(path) = &*i.self_ty else { return self.unsupported(&i.self_ty, "an impl of this type") };
        let Some(name) = path.path.get_ident().filter(|_| i.trait_.is_none()).map(|n| n.to_string()) else {
            return self.unsupported(&i, "an impl of a trait");
        };
        for item in i.items {
            match item {
                syn::ImplItem::Fn(f) => self.function(format!("{name}::{}", f.sig.ident), f),
                syn::ImplItem::Type(t) => self.named_format(&name, &t),
                other => self.unsupported(&other, "this item in an impl"),
            }
        }
    }

    /// `type Activations = Q8K;`: a format that belongs to this one.
    fn named_format(&mut self, format: &str, t: &syn::ImplItemType) {
        let name = format!("{format}::{}", t.ident);
        let at = span(self.file, &t.ty);
        if let Some((_, first)) = self.program.types.insert(name.clone(), (text(&t.ty), at)) {
            self.duplicate(&t.ident, &name, Some(first));
        }
    }

    /// Whether what formats name are formats.
    fn check_types(&mut self) {
        for (format, at) in self.program.types.values() {
            if !self.program.formats.contains_key(format) {
                let d =
                    Diagnostic::new(Code::UnknownName, *at, format!("there is no format `{format}`"), "unknown name");
                self.errors.push(d.help("a type in an `impl` is another name of a format"));
            }
        }
    }

    fn format_error(&mut self, at: &impl Spanned, message: String, help: &str) {
        let d = Diagnostic::new(Code::Format, span(self.file, at), message, "in this format");
        self.errors.push(d.help(help));
    }

    fn format(&mut self, s: syn::ItemStruct) {
        let name = s.ident.to_string();
        let Some(attr) = s.attrs.iter().find(|a| a.path().is_ident("format")) else {
            return self.unsupported(&s.ident, "a struct without `#[format(elements = .., bytes = ..)]`");
        };
        let (mut elements, mut bytes) = (0, 0);
        let parsed = attr.parse_nested_meta(|meta| {
            let value = meta.value()?.parse::<syn::LitInt>()?.base10_parse()?;
            match meta.path.get_ident().map(|i| i.to_string()).as_deref() {
                Some("elements") => elements = value,
                Some("bytes") => bytes = value,
                _ => return Err(meta.error("expected `elements` or `bytes`")),
            }
            Ok(())
        });
        if let Err(e) = parsed {
            return self.format_error(attr, e.to_string(), "write `#[format(elements = 256, bytes = 144)]`");
        }
        let (mut fields, mut offset) = (Vec::new(), 0);
        for f in &s.fields {
            let Some(ident) = &f.ident else { return self.unsupported(f, "a field without a name") };
            let ty = field_type(&f.ty);
            let end = ty.and_then(|(scalar, _, len)| scalar.bytes().checked_mul(len.unwrap_or(1))?.checked_add(offset));
            let (Some((scalar, range, len)), Some(end)) = (ty, end) else {
                self.format_error(
                    &f.ty,
                    format!("`{}` is no type of a field", text(&f.ty)),
                    "a field is f32, f16, bf16, i32, i16, u16, i8 or u8, an integer with a range as `i8<-127, 127>`, or an array of it",
                );
                continue;
            };
            let name = ident.to_string();
            if fields.iter().any(|f: &Field| f.name == name) {
                self.duplicate(ident, &name, None);
            }
            fields.push(Field { name, offset, scalar, range, len });
            offset = end;
        }
        if bytes > BLOCK_MAX || elements > BLOCK_MAX {
            let message = format!("a block of {elements} elements in {bytes} bytes");
            return self.format_error(attr, message, "a block has at most 65536 elements and bytes");
        }
        if elements == 0 || offset > bytes {
            let message =
                format!("`{name}` declares {elements} elements in {bytes} bytes, but its fields take {offset} bytes");
            return self.format_error(
                attr,
                message,
                "state the number of elements, and at least the bytes of the fields",
            );
        }
        if let Some(first) = self.program.formats.get(&name).map(|f| f.span) {
            self.duplicate(&s.ident, &name, Some(first));
        }
        let span = span(self.file, &s.ident);
        self.program.formats.insert(name.clone(), Format { name, elements, bytes, fields, span });
    }
}

fn field_type(ty: &syn::Type) -> Option<(Scalar, Range, Option<usize>)> {
    match ty {
        syn::Type::Array(a) => {
            let (scalar, range, None) = field_type(&a.elem)? else { return None };
            let syn::Expr::Lit(syn::ExprLit { lit: syn::Lit::Int(n), .. }) = &a.len else { return None };
            Some((scalar, range, Some(n.base10_parse().ok()?)))
        }
        syn::Type::Path(p) => {
            let (scalar, range) = scalar_type(p.path.segments.last()?)?;
            Some((scalar, range, None))
        }
        _ => None,
    }
}

/// The least and largest value, where a declaration narrows them.
type Range = Option<(i64, i64)>;

/// A scalar, and the range that narrows an integer: `i8<-127, 127>`.
pub fn scalar_type(segment: &syn::PathSegment) -> Option<(Scalar, Range)> {
    let scalar = Scalar::from_name(&segment.ident.to_string())?;
    if segment.arguments.is_none() {
        return Some((scalar, None));
    }
    let (lo, hi) = range_arguments(&segment.arguments)?;
    let (least, most) = scalar.range()?;
    (least <= lo && hi <= most).then_some((scalar, Some((lo, hi))))
}

/// `<lo, hi>` with two integer literals inside `i32`.
pub fn range_arguments(arguments: &syn::PathArguments) -> Option<(i64, i64)> {
    let syn::PathArguments::AngleBracketed(angle) = arguments else { return None };
    let numbers: Vec<i64> = angle.args.iter().map(integer_argument).collect::<Option<_>>()?;
    let [lo, hi] = numbers[..] else { return None };
    (lo <= hi && lo >= i32::MIN as i64 && hi <= i32::MAX as i64).then_some((lo, hi))
}

fn integer_argument(argument: &syn::GenericArgument) -> Option<i64> {
    let syn::GenericArgument::Const(e) = argument else { return None };
    match e {
        syn::Expr::Lit(syn::ExprLit { lit: syn::Lit::Int(n), .. }) => n.base10_parse().ok(),
        syn::Expr::Unary(syn::ExprUnary { op: syn::UnOp::Neg(_), expr, .. }) => {
            let syn::Expr::Lit(syn::ExprLit { lit: syn::Lit::Int(n), .. }) = &**expr else { return None };
            n.base10_parse::<i64>().ok().map(|n| -n)
        }
        _ => None,
    }
}

fn item_name(item: &syn::Item) -> &'static str {
    match item {
        syn::Item::Enum(_) => "an enum",
        syn::Item::Use(_) => "`use`",
        syn::Item::Mod(_) => "a module",
        syn::Item::Static(_) => "a static",
        syn::Item::Trait(_) => "a trait",
        syn::Item::Type(_) => "a type alias",
        syn::Item::Macro(_) => "a macro",
        _ => "this item",
    }
}
