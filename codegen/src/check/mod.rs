//! From items to the algorithm IR: names, types, integer ranges, shapes, bounds and races are checked, functions inlined.
//!
//! Every kernel is checked for each of its instances. A statement that fails is reported and its names become
//! [`Value::Unknown`], so that several errors come out at once and none is caused by another.
mod arith;
mod bounds;
mod builtin;
mod call;
mod convert;
mod expr;
mod kernel;
mod lookup;
mod memory;
mod nearest;
mod races;
mod range;
mod stmt;

pub use kernel::instances;

use crate::diagnostic::{Code, Diagnostic};
use crate::ir::{self, Expr, Field, Span, Stmt, Ty, Var, VarInfo};
use crate::syntax::Program;
use crate::text;
use std::collections::{HashMap, HashSet};
use std::rc::Rc;

/// Largest runtime size; so that indices and their products stay inside `i32`.
pub const DIM_MAX: i64 = 1 << 22;

/// Largest length of an array value.
pub const ARRAY_MAX: i64 = 4096;

/// Largest index expression that is repeated where its name is used; a larger one is computed once.
const INDEX_NODES: u32 = 64;

/// An error that has been reported.
pub struct Failed;

type Checked<T> = Result<T, Failed>;

/// What an expression of the source stands for.
#[derive(Clone)]
enum Value {
    /// A number, a truth value, or (a variable of) an array.
    Expr(Expr),
    Tuple(Vec<Value>),
    /// A tensor with some of its indices given. With all given and an element that is a block: the block.
    View(View),
    /// An array field of a block.
    Field(View, Field),
    /// The elements of a constant table.
    Table(Rc<[i64]>),
    /// `lo..hi`.
    Range(Expr, Expr),
    Unit,
    /// Something that has been reported.
    Unknown,
}

#[derive(Clone)]
struct View {
    buffer: usize,
    index: Vec<Expr>,
}

/// Type of a tensor's elements.
#[derive(Clone)]
enum Elem {
    Scalar(ir::Scalar, Option<(i64, i64)>),
    /// By name of the format.
    Block(String),
    /// An index below this extent.
    Index(Expr),
}

/// What a generic parameter stands for in an instance.
#[derive(Clone)]
enum Generic {
    Elem(Elem),
    Const(i64),
}

/// Checks one instance of a kernel.
struct Checker<'p> {
    program: &'p Program,
    errors: Vec<Diagnostic>,
    /// File of the function that is being read.
    file: u32,
    vars: Vec<VarInfo>,
    /// Bounds of index variables.
    axes: HashMap<Var, ir::Axis>,
    /// Extents of array variables.
    extents: HashMap<Var, Expr>,
    buffers: Vec<ir::Buffer>,
    elems: Vec<Elem>,
    /// Stated by `#[require]`: each is an expression that is not negative.
    facts: Vec<Expr>,
    /// Integers whose range nothing has checked.
    unverified: HashSet<Var>,
    /// Narrower ranges that hold in a branch.
    refined: Vec<(Expr, i64, i64)>,
    /// How many of `vars` are dims and scalars: the first ones.
    parameters: usize,
    /// Open parallel axes, outermost first.
    open: Vec<Var>,
    stores: Vec<races::Stored>,
    generics: HashMap<String, Generic>,
    scopes: Vec<HashMap<String, Value>>,
    /// Statement lists under construction, innermost last.
    blocks: Vec<Vec<Stmt>>,
    /// Functions being inlined, with where they were called.
    calls: Vec<(String, Span)>,
    /// How many there were so far.
    inlined: usize,
    /// Depth of closures: they compute values and store nothing.
    closures: usize,
}

impl<'p> Checker<'p> {
    fn new(program: &'p Program, file: u32) -> Self {
        Checker {
            program,
            errors: Vec::new(),
            file,
            vars: Vec::new(),
            axes: HashMap::new(),
            extents: HashMap::new(),
            buffers: Vec::new(),
            elems: Vec::new(),
            facts: Vec::new(),
            unverified: HashSet::new(),
            refined: Vec::new(),
            parameters: 0,
            open: Vec::new(),
            stores: Vec::new(),
            generics: HashMap::new(),
            scopes: vec![HashMap::new()],
            blocks: vec![Vec::new()],
            calls: Vec::new(),
            inlined: 0,
            closures: 0,
        }
    }

    fn fail<T>(&mut self, mut d: Diagnostic) -> Checked<T> {
        if let Some((name, at)) = self.calls.last()
            && !d.labels.iter().any(|(span, _)| span == at)
        {
            let how = if self.program.constants.contains_key(name) { "use" } else { "call" };
            d.labels.push((*at, format!("in this {how} of `{name}`")));
        }
        self.errors.push(d);
        Err(Failed)
    }

    fn error<T>(&mut self, code: Code, at: Span, message: impl Into<String>, label: impl Into<String>) -> Checked<T> {
        self.fail(Diagnostic::new(code, at, message, label))
    }

    fn span(&self, at: &impl syn::spanned::Spanned) -> Span {
        crate::syntax::span(self.file, at)
    }

    fn var(&mut self, name: &str, ty: Ty) -> Var {
        self.vars.push(VarInfo { name: name.to_string(), ty });
        Var(self.vars.len() as u32 - 1)
    }

    fn use_var(&self, var: Var, span: Span) -> Expr {
        node(ir::Kind::Var(var), self.vars[var.0 as usize].ty, span)
    }

    fn emit(&mut self, stmt: Stmt) {
        self.blocks.last_mut().expect("a block is open").push(stmt);
    }

    /// Gives a computed value a name, so that it is computed once. Constants, names and index arithmetic stay as they are.
    fn bind(&mut self, name: &str, value: Expr) -> Expr {
        if is_index(&value, &mut INDEX_NODES.clone()) {
            return value;
        }
        let var = self.var(name, value.ty);
        if matches!(value.ty, Ty::Int { .. }) && self.unverified(&value) {
            self.unverified.insert(var);
        }
        if let (Ty::Array { .. }, ir::Kind::Map { axis, .. }) = (value.ty, &value.kind) {
            self.extents.insert(var, axis.hi.clone());
        }
        let span = value.span;
        self.emit(Stmt::Let { var, value });
        self.use_var(var, span)
    }

    fn declare(&mut self, name: String, value: Value) {
        self.scopes.last_mut().expect("a scope is open").insert(name, value);
    }

    /// [`Checker::block`] for a closure.
    fn closure_block<T>(&mut self, f: impl FnOnce(&mut Self) -> Checked<T>) -> Checked<(Vec<Stmt>, T)> {
        self.closures += 1;
        let result = self.block(f);
        self.closures -= 1;
        result
    }

    /// Whether `e` is made of dims and integer parameters, so that a launch can compute it.
    fn is_size(&self, e: &Expr) -> bool {
        matches!(e.ty, Ty::Int { .. }) && is_index(e, &mut INDEX_NODES.clone())
    }

    /// Runs `f` in a scope of its own and collects the statements it makes.
    fn block<T>(&mut self, f: impl FnOnce(&mut Self) -> Checked<T>) -> Checked<(Vec<Stmt>, T)> {
        self.blocks.push(Vec::new());
        self.scopes.push(HashMap::new());
        let result = f(self);
        self.scopes.pop();
        let stmts = self.blocks.pop().expect("pushed above");
        result.map(|value| (stmts, value))
    }

    /// A new index variable over `lo..hi`.
    fn axis(&mut self, name: &str, lo: Expr, hi: Expr) -> Checked<ir::Axis> {
        let ((from, last_from), (first_to, to)) = (range::of(&lo), range::of(&hi));
        // Loops count past the end by up to a tile, and lengths are differences.
        let most = i32::MAX as i64 - (1 << 16);
        if from < -most || to > most || to - from > most || first_to - last_from < -most {
            let message = format!(
                "the ends of this range are {} and {}",
                text::range((from, last_from)),
                text::range((first_to, to))
            );
            let d = Diagnostic::new(Code::Range, hi.span, message, "a loop over it may leave i32");
            return self.fail(d.help(format!("keep the ends and the length of a range below {most}")));
        }
        let var = self.var(name, Ty::Int { lo: from, hi: (to - 1).max(from) });
        if self.unverified(&lo) || self.unverified(&hi) {
            self.unverified.insert(var);
        }
        let axis = ir::Axis { var, lo, hi };
        self.axes.insert(var, axis.clone());
        Ok(axis)
    }

    /// Whether an integer's range rests on what a declaration says of the memory it was loaded from. No launch looks at
    /// that (but for `Index`), so such an integer may be computed with, but never be an index.
    fn unverified(&self, e: &Expr) -> bool {
        match &e.kind {
            ir::Kind::Int(_) | ir::Kind::Float(_) | ir::Kind::Bool(_) | ir::Kind::At { .. } => false,
            ir::Kind::Var(v) => self.unverified.contains(v),
            ir::Kind::Load(p) => match (&self.elems[p.buffer], e.ty) {
                (Elem::Index(_), _) => false,
                (_, Ty::Int { lo, hi }) => p.scalar.range() != Some((lo, hi)),
                _ => false,
            },
            ir::Kind::Unary(_, a) => self.unverified(a),
            ir::Kind::Binary(_, a, b) => self.unverified(a) || self.unverified(b),
            ir::Kind::Fma(a, b, c) | ir::Kind::Select(a, b, c) => [a, b, c].iter().any(|x| self.unverified(x)),
            ir::Kind::Reduce { axis, body, .. } => self.unverified.contains(&axis.var) || self.unverified(&body.value),
            ir::Kind::Sum { .. } | ir::Kind::Map { .. } => false,
        }
    }
}

fn node(kind: ir::Kind, ty: Ty, span: Span) -> Expr {
    Rc::new(ir::Node { kind, ty, span })
}

fn int(value: i64, span: Span) -> Expr {
    node(ir::Kind::Int(value), Ty::Int { lo: value, hi: value }, span)
}

fn float(value: f32, span: Span) -> Expr {
    node(ir::Kind::Float(value), Ty::F32, span)
}

/// Constants, names and integer arithmetic on them, of at most `budget` nodes.
fn is_index(e: &Expr, budget: &mut u32) -> bool {
    if *budget == 0 {
        return false;
    }
    *budget -= 1;
    match &e.kind {
        ir::Kind::Int(_) | ir::Kind::Float(_) | ir::Kind::Bool(_) | ir::Kind::Var(_) => true,
        ir::Kind::Binary(_, a, b) => matches!(e.ty, Ty::Int { .. }) && is_index(a, budget) && is_index(b, budget),
        ir::Kind::Unary(ir::UnOp::Neg | ir::UnOp::Abs, a) => matches!(e.ty, Ty::Int { .. }) && is_index(a, budget),
        _ => false,
    }
}
