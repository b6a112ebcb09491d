//! The algorithm IR: what a kernel means, with no word of threads, registers or instructions.
//!
//! A kernel is a list of statements over index axes; values are expressions, made by [`operators`] from numbers, which
//! lie in memory as [`Scalar`]s. [`interp`] evaluates them and is the definition of the language. Every node knows its place in
//! the source.
//!
//! Integers are mathematical integers whose range is proved to lie inside `i32`; floats are IEEE binary32 and each
//! operation rounds by itself. What may be done in any order (integer sums, maxima) is a [`Reduce`](Kind::Reduce);
//! what may not is a [`Sum`](Kind::Sum) with a declared [`Shape`] or a [`Merge`](Stmt::Merge) in ascending order.
pub mod inline;
pub mod interp;
pub mod operators;
pub mod print;
pub(crate) mod rewrite;
mod scalar;
pub mod sum_order;
pub mod walk;

pub use operators::{BinOp, ReduceOp, UnOp};
pub use scalar::Scalar;

use std::rc::Rc;
use sum_order::Shape;

/// A kernel: parameters, facts that a launch must satisfy, and what is stored.
#[derive(Clone, Debug)]
pub struct Kernel {
    /// Name with its instance, as `matvec_q4k`.
    pub name: String,
    /// Runtime sizes (`T: Dim`), each at least 1. `Var`s 0..dims.len() are these, in order.
    pub dims: Vec<Var>,
    /// Scalar parameters, after the dims.
    pub scalars: Vec<Var>,
    /// Buffers, in the order of the source.
    pub buffers: Vec<Buffer>,
    /// Conditions over dims and integer scalars that the launch checks, with their source text.
    pub requires: Vec<(Expr, String)>,
    /// What it does.
    pub body: Vec<Stmt>,
    /// Name and type of every `Var`.
    pub vars: Vec<VarInfo>,
    /// Where it was written.
    pub span: Span,
}

/// A tensor in memory, row-major, elements packed.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct Buffer {
    pub name: String,
    /// Bytes of one element: a number, or a block of a format.
    pub elem_bytes: usize,
    /// Name of the element's type, for messages.
    pub elem: String,
    /// The number itself where the element is one; `None` for a block.
    pub scalar: Option<Scalar>,
    /// Of a block; none where the element is a number.
    pub fields: Vec<Field>,
    /// Elements that a block stands for; 1 where the element is a number.
    pub elements: usize,
    /// Extents, expressions over the dims.
    pub shape: Vec<Expr>,
    /// Whether the kernel writes it. A kernel never reads what it writes.
    pub written: bool,
    /// Its values are indices into something of this extent; a launch checks them.
    pub index_below: Option<Expr>,
}

/// A number or an array of numbers in a block.
#[derive(Clone, Debug)]
pub struct Field {
    /// Name.
    pub name: String,
    /// Byte offset in the block.
    pub offset: usize,
    /// How one number lies in memory.
    pub scalar: Scalar,
    /// Values it may hold where the declaration narrows them.
    pub range: Option<(i64, i64)>,
    /// Length of an array.
    pub len: Option<usize>,
}

/// The kinds of statement.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub enum Stmt {
    Let {
        var: Var,
        value: Expr,
    },
    /// For every index in ascending order: compute the `part`, which does not see the state, then replace the state by
    /// `next`, all at once. `state` is each variable with its first value; afterwards the variables hold the result.
    Merge {
        axis: Axis,
        part: Vec<Stmt>,
        state: Vec<(Var, Expr)>,
        next: Rc<MergeStep>,
    },
    /// Iterations are independent and may run in any order or at once.
    Par {
        axis: Axis,
        body: Vec<Stmt>,
    },
    /// Writes one number, a NaN as the canonical one. No two parallel iterations write the same number (checked).
    Store {
        place: Place,
        value: Expr,
    },
}

/// How a [`Stmt::Merge`] goes on: statements, then one value for each state variable.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct MergeStep {
    pub stmts: Vec<Stmt>,
    pub values: Vec<Expr>,
}

/// An index that runs over `lo..hi` (empty where `hi <= lo`).
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct Axis {
    pub var: Var,
    pub lo: Expr,
    pub hi: Expr,
}

/// Statements and a result.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct Block {
    pub stmts: Vec<Stmt>,
    pub value: Expr,
}

/// An expression. Shared, immutable.
pub type Expr = Rc<Node>;

/// A node of an expression.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct Node {
    pub kind: Kind,
    pub ty: Ty,
    pub span: Span,
}

/// The kinds of expression.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub enum Kind {
    Int(i64),
    Float(f32),
    Bool(bool),
    Var(Var),
    /// A number in a buffer.
    Load(Place),
    /// An element of an array; the index is proved to be below its length.
    At {
        array: Var,
        index: Expr,
    },
    Unary(UnOp, Expr),
    Binary(BinOp, Expr, Expr),
    /// `a * b + c`, rounded once.
    Fma(Expr, Expr, Expr),
    /// `if c { a } else { b }`; only the chosen side is evaluated.
    Select(Expr, Expr, Expr),
    /// An exact reduction, in any order.
    Reduce {
        op: ReduceOp,
        axis: Axis,
        body: Rc<Block>,
    },
    /// A float sum in the declared order. Each of its parts starts at +0.0 and folds its elements in ascending order by
    /// `step`, which sees the running value as `acc`.
    Sum {
        shape: Shape,
        axis: Axis,
        acc: Var,
        step: Rc<Block>,
    },
    /// An array: an element for each index.
    Map {
        axis: Axis,
        body: Rc<Block>,
    },
}

/// A number in a buffer: the element's index, and for a block the number inside it.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct Place {
    /// Index into [`Kernel::buffers`].
    pub buffer: usize,
    pub index: Vec<Expr>,
    /// Byte offset of the number inside the element: `offset + index * scalar size`.
    pub offset: usize,
    pub at: Option<Expr>,
    pub scalar: Scalar,
}

/// What an expression evaluates to.
#[derive(Clone, Copy, Debug, PartialEq)]
#[allow(missing_docs)] // `lo..=hi` and the capacity are said where they stand
pub enum Ty {
    /// IEEE binary32.
    F32,
    /// A 16-bit float as it lies in memory; only converted, never computed with.
    Half(Scalar),
    /// An integer proved to be in `lo..=hi`, which lies inside `i32`.
    Int { lo: i64, hi: i64 },
    /// A truth value.
    Bool,
    /// At most `cap` floats, by value.
    Array { cap: usize },
}

/// A value's name. Unique in its kernel; [`Kernel::vars`] has what it was called in the source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Var(pub u32);

/// Name and type of a [`Var`].
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct VarInfo {
    pub name: String,
    pub ty: Ty,
}

/// A place in the source: file index, and the byte range in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// Index into the files that were compiled together.
    pub file: u32,
    /// First byte.
    pub lo: u32,
    /// One past the last byte.
    pub hi: u32,
}
