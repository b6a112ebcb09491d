//! Where things lie: indices that differ from lane to lane by a constant, and byte addresses.
use super::build::{int, long};
use super::{Env, Lower, Lowered, Op, Val};
use crate::ir::{BinOp, Expr, Place};
use crate::loop_ir::{self, Access, Mem};

/// An index: `base + stride * lane`, or `base` and what it is further in each lane.
pub(super) struct Index {
    pub base: Op,
    pub stride: i32,
    pub at: Option<Op>,
}

impl Lower<'_> {
    /// An index of the algorithm IR.
    pub(super) fn index(&mut self, e: &Expr, env: &mut Env) -> Lowered<Index> {
        match self.eval(e, env)? {
            Val::Lanes { base, at, .. } => Ok(Index { base, stride: 0, at: Some(at) }),
            other => self.evenly(other).map(|(base, stride)| Index { base, stride, at: None }),
        }
    }

    /// An integer of the algorithm IR as `base + stride * lane`.
    pub(super) fn affine(&mut self, e: &Expr, env: &mut Env) -> Lowered<(Op, i32)> {
        let value = self.eval(e, env)?;
        self.evenly(value)
    }

    fn evenly(&mut self, value: Val) -> Lowered<(Op, i32)> {
        match value {
            Val::Affine { base, stride } => Ok((base, stride)),
            Val::Op(op) if !op.varying => Ok((op, 0)),
            Val::Partial(op) => Ok((self.lane_sum(op), 0)),
            halves @ Val::Halves { .. } => match self.op(halves) {
                op if !op.varying => Ok((op, 0)),
                _ => self.illegal("an index differs from lane to lane by no constant"),
            },
            _ => self.illegal("an index differs from lane to lane by no constant"),
        }
    }

    /// An integer that is the same in all lanes.
    pub(super) fn uniform(&mut self, e: &Expr, env: &mut Env) -> Lowered<Op> {
        match self.affine(e, env)? {
            (op, 0) => Ok(op),
            _ => self.illegal("a size or bound differs from lane to lane"),
        }
    }

    /// A place in a buffer as bytes, of which `bytes` are wanted.
    pub(super) fn access(&mut self, place: &Place, bytes: usize, env: &mut Env) -> Lowered<Access> {
        if let Some(layout) = self.layouts[place.buffer].clone() {
            return self.side_by_side(&layout, place, bytes, env);
        }
        if self.has_term(place.buffer) {
            return self.access_in_term(place, bytes, env);
        }
        let buffer = &self.kernel.buffers[place.buffer];
        let size = place.scalar.bytes() as i32;
        let row = self.row_of(place, env)?;
        let first = row.map_or(0, |(_, lead)| lead);
        let (mut element, mut stride, mut apart) = (long(0), 0, None);
        for (d, (extent, index)) in buffer.shape.iter().zip(&place.index).enumerate().skip(first) {
            let Index { base, stride: step, at } = self.index(index, env)?;
            if step != 0 && d + 1 < buffer.shape.len() {
                return self.illegal(format!("lanes are not neighbours in `{}`", buffer.name));
            }
            if d > first {
                let extent = self.uniform(extent, env)?;
                apart = apart.map(|apart| self.binary(BinOp::Mul, apart, extent.clone()));
                let extent = self.widen(extent);
                element = self.long(BinOp::Mul, element, extent);
            }
            let base = self.widen(base);
            element = self.long(BinOp::Add, element, base);
            apart = self.further(apart, at);
            stride += step * buffer.elem_bytes as i32;
        }
        let mut addr = self.long(BinOp::Mul, element, long(buffer.elem_bytes as i64));
        apart = apart.map(|apart| self.binary(BinOp::Mul, apart, int(buffer.elem_bytes as i32)));
        if let Some(at) = &place.at {
            let Index { base, stride: step, at } = self.index(at, env)?;
            let at = at.map(|at| self.binary(BinOp::Mul, at, int(size)));
            apart = self.further(apart, at);
            let base = self.widen(base);
            let inside = self.long(BinOp::Mul, base, long(size as i64));
            addr = self.long(BinOp::Add, addr, inside);
            stride += step * size;
        }
        addr = self.long(BinOp::Add, addr, long(place.offset as i64));
        if stride != 0 && stride != size {
            return self.illegal(format!("lanes are not neighbours in `{}`", buffer.name));
        }
        let mem = row.map_or(Mem::Buffer(place.buffer), |(array, _)| Mem::Shared(array));
        let offset = apart.map(|apart| Box::new(apart.e));
        Ok(Access { mem, addr: Box::new(addr.e), lane_stride: stride, offset, scalar: place.scalar })
    }

    /// How far lanes are apart by two indices.
    pub(super) fn further(&mut self, a: Option<Op>, b: Option<Op>) -> Option<Op> {
        match (a, b) {
            (Some(a), Some(b)) => Some(self.binary(BinOp::Add, a, b)),
            (a, b) => a.or(b),
        }
    }

    /// An integer divided by `by`, where its definition shows that nothing is left over.
    pub(super) fn divided(&mut self, e: &loop_ir::Expr, by: i32) -> Option<Op> {
        match e {
            loop_ir::Expr::Int(n) => (n % by == 0).then(|| int(n / by)),
            loop_ir::Expr::Var(v) => {
                let definition = self.definitions.get(v)?.clone();
                self.divided(&definition, by)
            }
            loop_ir::Expr::Binary(BinOp::Add, a, b) => {
                let (a, b) = (self.divided(a, by)?, self.divided(b, by)?);
                Some(self.binary(BinOp::Add, a, b))
            }
            loop_ir::Expr::Binary(BinOp::Mul, a, b) => {
                let loop_ir::Expr::Int(times) = **b else { return None };
                let a = Op { e: (**a).clone(), ty: loop_ir::Ty::I32, varying: false };
                (times % by == 0).then(|| self.binary(BinOp::Mul, a, int(times / by)))
            }
            _ => None,
        }
    }

    /// Whether the definition of an integer shows that it is a multiple of a number.
    pub(super) fn is_multiple(&self, e: &loop_ir::Expr, by: i32) -> bool {
        match e {
            loop_ir::Expr::Int(n) => n % by == 0,
            loop_ir::Expr::Var(v) => self.definitions.get(v).is_some_and(|e| self.is_multiple(e, by)),
            loop_ir::Expr::Binary(BinOp::Add, a, b) => self.is_multiple(a, by) && self.is_multiple(b, by),
            loop_ir::Expr::Binary(BinOp::Mul, a, b) => {
                let mut parts = (1..=by).filter(|part| by % part == 0);
                parts.any(|part| self.is_multiple(a, part) && self.is_multiple(b, by / part))
            }
            _ => by == 1,
        }
    }

    /// Arithmetic on integers that may differ from lane to lane; affine results stay affine.
    pub(super) fn affine_binary(&mut self, op: BinOp, a: Val, b: Val) -> Lowered<Val> {
        if matches!(a, Val::Lanes { .. }) || matches!(b, Val::Lanes { .. }) {
            return Ok(self.lanes_binary(op, a, b));
        }
        let ((a, s), (b, t)) = (parts(a), parts(b));
        Ok(match (op, &a.e, &b.e) {
            (BinOp::Add, ..) => affine(self.binary(op, a, b), s + t),
            (BinOp::Sub, ..) => affine(self.binary(op, a, b), s - t),
            (BinOp::Mul, crate::loop_ir::Expr::Int(n), _) if s == 0 => affine(self.binary(op, a.clone(), b), n * t),
            (BinOp::Mul, _, crate::loop_ir::Expr::Int(n)) if t == 0 => {
                let n = *n;
                affine(self.binary(op, a, b), s * n)
            }
            _ => {
                let (a, b) = (self.spread_out(a, s), self.spread_out(b, t));
                Val::Op(self.binary(op, a, b))
            }
        })
    }

    /// The same where one of them is of lanes that do not lie evenly.
    fn lanes_binary(&mut self, op: BinOp, a: Val, b: Val) -> Val {
        let parts = |v: &Val| match v {
            Val::Lanes { base, at, .. } => Some((base.clone(), Some(at.clone()))),
            Val::Op(op) if !op.varying => Some((op.clone(), None)),
            _ => None,
        };
        if let (Some((base, at)), Some((other, further))) = (parts(&a), parts(&b)) {
            let at = match (op, at, further) {
                (BinOp::Add, at, further) => self.further(at, further),
                (BinOp::Sub, at, None) => at,
                (BinOp::Mul, Some(at), None) => Some(self.binary(op, at, other.clone())),
                (BinOp::Mul, None, Some(at)) => Some(self.binary(op, at, base.clone())),
                _ => None,
            };
            if let Some(at) = at {
                return Val::Lanes { base: self.binary(op, base, other), at, share: None };
            }
        }
        let (a, b) = (self.op(a), self.op(b));
        Val::Op(self.binary(op, a, b))
    }

    /// `base + stride * lane` as one value a lane.
    pub(super) fn spread_out(&mut self, base: Op, stride: i32) -> Op {
        if stride == 0 {
            return base;
        }
        let lane = self.lane.expect("lanes differ only inside the lane loop");
        let lane = self.read(lane);
        let scaled = self.binary(BinOp::Mul, lane, int(stride));
        self.binary(BinOp::Add, scaled, base)
    }
}

fn affine(base: Op, stride: i32) -> Val {
    match stride {
        0 => Val::Op(base),
        stride => Val::Affine { base, stride },
    }
}

fn parts(v: Val) -> (Op, i32) {
    match v {
        Val::Affine { base, stride } => (base, stride),
        Val::Op(op) | Val::Partial(op) => (op, 0),
        Val::Halves { .. } | Val::Array(_) | Val::Left { .. } | Val::Lanes { .. } => {
            unreachable!("halves are added up before, arrays are no operands")
        }
    }
}
