//! What a producer stores, and where a consumer reads it.
use crate::ir::operators::BinOp;
use crate::ir::{Axis, Expr, Kernel, Kind, Node, Place, Span, Stmt, Ty, Var, print};
use std::rc::Rc;

/// What a producer stores, and the axis of each index of it.
pub(super) struct Stored<'k> {
    pub buffer: usize,
    pub axes: Vec<Var>,
    pub value: &'k Expr,
    /// What is named before the inner axes, for all their iterations.
    pub before: &'k [Stmt],
    /// The axes around that.
    pub outer: Vec<Var>,
}

impl<'k> Stored<'k> {
    pub fn of(kernel: &'k Kernel) -> Result<Stored<'k>, String> {
        let (mut axes, mut list) = kernel.nest();
        let outer = axes.iter().map(|axis| axis.var).collect();
        let names = list.iter().take_while(|s| matches!(s, Stmt::Let { .. })).count();
        let mut before = &list[..0];
        if let [Stmt::Par { .. }] = &list[names..] {
            before = &list[..names];
            list = &list[names..];
        }
        while let [Stmt::Par { axis, body }] = list {
            axes.push(axis);
            list = body;
        }
        let [Stmt::Store { place, value }] = list else {
            return Err(format!("{} does not store one number in each of its iterations", kernel.name));
        };
        let index: Vec<Var> =
            place.index.iter().filter_map(|e| if let Kind::Var(var) = e.kind { Some(var) } else { None }).collect();
        let each_once = axes.len() == index.len() && axes.iter().all(|axis| index.contains(&axis.var));
        if index.len() < place.index.len() || !each_once || place.at.is_some() {
            return Err(format!("{} does not store its numbers by its axes", kernel.name));
        }
        let buffer = &kernel.buffers[place.buffer];
        let text = |e: &Expr| print::expr(e, &kernel.vars);
        let whole = |(var, extent): (&Var, &Expr)| {
            let own = |axis: &&&Axis| axis.var == *var && matches!(axis.lo.kind, Kind::Int(0));
            axes.iter().find(own).is_some_and(|axis| text(&axis.hi) == text(extent))
        };
        if !index.iter().zip(&buffer.shape).all(whole) {
            return Err(format!("{} does not store all of its numbers", kernel.name));
        }
        if value.ty != Ty::F32 || buffer.elem_bytes != 4 {
            return Err(format!("{} does not store floats", kernel.name));
        }
        Ok(Stored { buffer: place.buffer, axes: index, value, before, outer })
    }

    /// Whether the value may be written down in several places: it has no axes of its own, so it is cheap, too.
    pub fn is_plain(&self) -> bool {
        fn plain(e: &Expr) -> bool {
            match &e.kind {
                Kind::Int(_) | Kind::Float(_) | Kind::Bool(_) | Kind::Var(_) | Kind::Load(_) | Kind::At { .. } => true,
                Kind::Unary(_, a) => plain(a),
                Kind::Binary(_, a, b) => plain(a) && plain(b),
                Kind::Fma(a, b, c) | Kind::Select(a, b, c) => plain(a) && plain(b) && plain(c),
                Kind::Reduce { .. } | Kind::Sum { .. } | Kind::Map { .. } => false,
            }
        }
        plain(self.value)
    }

    /// The iteration that stores what is read at a place in a buffer of this shape: the value of each axis, in the reader's names.
    /// The last index of what is stored may be several there.
    pub fn iteration(&self, place: &Place, shape: &[Expr]) -> Vec<Expr> {
        let alike = self.axes.len() - 1;
        let (first, rest) = place.index.split_at(alike);
        let mut dims = rest.iter().zip(&shape[alike..]);
        let start = dims.next().expect("a buffer that is read has as many indices at least").0.clone();
        let last = dims.fold(start, |outer, (inner, extent)| {
            integer(BinOp::Add, integer(BinOp::Mul, outer, extent.clone()), inner.clone())
        });
        first.iter().cloned().chain([last]).collect()
    }
}

/// The product of extents.
pub(super) fn product(extents: &[Expr]) -> Expr {
    let mut extents = extents.iter().cloned();
    let first = extents.next().expect("there is one at least");
    extents.fold(first, |a, b| integer(BinOp::Mul, a, b))
}

/// An operation on indices and extents, none of which is negative.
fn integer(op: BinOp, a: Expr, b: Expr) -> Expr {
    let ty = Ty::Int { lo: 0, hi: i32::MAX.into() };
    Rc::new(Node { kind: Kind::Binary(op, a, b), ty, span: Span::default() })
}
