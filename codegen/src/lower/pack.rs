//! Dots of bytes through the schedule's instruction: four neighbours a lane, exact partial sums a lane.
use super::axis::give;
use super::build::int;
use super::overrun::mentions;
use super::{Env, Lower, Lowered, Op, Val};
use crate::ir::{Axis, BinOp, Block, Expr, Kind, Node, Place, Scalar, Stmt, Ty, Var, walk};
use crate::loop_ir;
use std::collections::HashMap;
use std::rc::Rc;

impl Lower<'_> {
    /// `isum(lo..lo + len, |i| a(i) * b(i))` with unsigned and signed bytes, as partial sums; `None` where it is no such dot.
    pub(super) fn dot(
        &mut self,
        axis: &Axis,
        body: &Block,
        lo: i32,
        len: usize,
        envs: &mut [Env],
    ) -> Lowered<Option<Vec<Val>>> {
        let free = self.lanes_are_free();
        let chunk = if free { 4 * self.width() } else { 4 };
        let Some(instruction) = self.schedule.dot.as_deref() else { return Ok(None) };
        let Some(value) = written_out(body) else { return Ok(None) };
        let Kind::Binary(BinOp::Mul, a, b) = &value.kind else { return Ok(None) };
        let operands =
            [(a, b), (b, a)].into_iter().find(|(u, s)| self.unsigned(u, axis.var) && self.signed(s, axis.var));
        let Some((unsigned, signed)) = operands else { return Ok(None) };
        let inside = self.lane.is_some() || self.width() == 1;
        // Lanes that do iterations of an outer axis have dots of their own, of other lanes they have none.
        let usable = inside && (free || self.width() == 1 || self.schedule.lanes.is_some());
        if !usable || !len.is_multiple_of(chunk) || !fits_i16(instruction, unsigned, signed) {
            return Ok(None);
        }
        let instruction = crate::instructions::instruction(instruction).expect("legal asks the table first").name;
        // All bytes first: loads that stand side by side can be one.
        let mut packs = Vec::new();
        for start in (0..len).step_by(chunk) {
            let first = int(lo + start as i32);
            give(envs, axis.var, if free { Val::Affine { base: first, stride: 1 } } else { Val::Op(first) });
            for env in envs.iter_mut() {
                packs.push((self.pack(unsigned, axis.var, env)?, self.pack(signed, axis.var, env)?));
            }
        }
        let mut sums: Vec<Op> = vec![int(0); envs.len()];
        let mut packs = packs.into_iter();
        for _ in (0..len).step_by(chunk) {
            for (sum, (a, b)) in sums.iter_mut().zip(&mut packs) {
                let varying = sum.varying || a.varying || b.varying;
                let args = vec![sum.e.clone(), a.e, b.e];
                let call = loop_ir::Expr::Call { intrinsic: instruction, args, span: value.span };
                *sum = self.emit(call, loop_ir::Ty::I32, free || varying);
            }
        }
        // Where the lanes do not share it, the sum is whole.
        let value = if free { Val::Partial } else { Val::Op };
        Ok(Some(sums.into_iter().map(value).collect()))
    }

    /// Whether the neighbours of `axis` can be computed byte by byte, every step inside 0..=255.
    fn unsigned(&self, e: &Expr, axis: Var) -> bool {
        if !matches!(e.ty, Ty::Int { lo: 0.., hi: ..=255 }) {
            return false;
        }
        if !mentions(e, axis) {
            return true;
        }
        match &e.kind {
            Kind::Load(p) => p.scalar == Scalar::U8 && self.neighbours(e, axis),
            Kind::Binary(BinOp::And | BinOp::Or | BinOp::Xor | BinOp::Add | BinOp::Sub, a, b) => {
                self.unsigned(a, axis) && self.unsigned(b, axis)
            }
            Kind::Binary(BinOp::Shl | BinOp::Shr, a, by) => self.unsigned(a, axis) && !mentions(by, axis),
            _ => false,
        }
    }

    fn signed(&self, e: &Expr, axis: Var) -> bool {
        matches!(&e.kind, Kind::Load(p) if p.scalar == Scalar::I8) && self.neighbours(e, axis)
    }

    /// Whether a load's index is the axis plus something that does not depend on it.
    fn neighbours(&self, e: &Expr, axis: Var) -> bool {
        let Kind::Load(p) = &e.kind else { return false };
        let plain = p.index.iter().all(|i| !mentions(i, axis));
        plain && p.at.as_ref().is_some_and(|at| offset_by(at, axis))
    }

    fn pack(&mut self, e: &Expr, axis: Var, env: &mut Env) -> Lowered<Op> {
        if !mentions(e, axis) {
            let value = self.uniform(e, env)?;
            return Ok(self.emit(loop_ir::Expr::Splat4(Box::new(value.e)), loop_ir::Ty::U8x4, false));
        }
        match &e.kind {
            Kind::Load(p) => {
                let mut access = self.access(p, 4, env)?;
                if self.rows.is_some() && access.lane_stride != 0 && self.layouts[p.buffer].is_none() {
                    return self.illegal("lanes beyond the last row would read what is not there");
                }
                if self.lanes_are_free() {
                    access.lane_stride = 4;
                }
                let lane_stride = access.lane_stride;
                let ty = if p.scalar == Scalar::U8 { loop_ir::Ty::U8x4 } else { loop_ir::Ty::I8x4 };
                Ok(self.emit(loop_ir::Expr::LoadPack(access), ty, lane_stride != 0))
            }
            Kind::Binary(op @ (BinOp::Shl | BinOp::Shr), a, by) => {
                let (a, by) = (self.pack(a, axis, env)?, self.uniform(by, env)?);
                Ok(self.binary(*op, a, by))
            }
            Kind::Binary(op, a, b) => {
                let (a, b) = (self.pack(a, axis, env)?, self.pack(b, axis, env)?);
                Ok(self.binary(*op, a, b))
            }
            _ => self.illegal("asked to compute bytes that `unsigned` does not know"),
        }
    }
}

/// The value of a block in one expression, without names; `None` where the block does more than give names.
fn written_out(body: &Block) -> Option<Expr> {
    let mut values: HashMap<Var, Expr> = HashMap::new();
    for s in &body.stmts {
        let Stmt::Let { var, value } = s else { return None };
        values.insert(*var, replaced(value, &values)?);
    }
    replaced(&body.value, &values)
}

/// An expression with values in the place of their names; `None` where these are in what has no place in a dot.
fn replaced(e: &Expr, values: &HashMap<Var, Expr>) -> Option<Expr> {
    if values.is_empty() {
        return Some(e.clone());
    }
    let kind = match &e.kind {
        Kind::Var(v) => return Some(values.get(v).unwrap_or(e).clone()),
        Kind::Binary(op, a, b) => Kind::Binary(*op, replaced(a, values)?, replaced(b, values)?),
        Kind::Load(place) => {
            let index = place.index.iter().map(|i| replaced(i, values)).collect::<Option<_>>()?;
            let at = match &place.at {
                Some(at) => Some(replaced(at, values)?),
                None => None,
            };
            Kind::Load(Place { index, at, ..place.clone() })
        }
        _ => return walk::mentioned(&[], [e]).iter().all(|v| !values.contains_key(v)).then(|| e.clone()),
    };
    Some(Rc::new(Node { kind, ..(**e).clone() }))
}

/// `axis + rest` with `rest` free of the axis.
fn offset_by(e: &Expr, axis: Var) -> bool {
    match &e.kind {
        Kind::Var(v) => *v == axis,
        Kind::Binary(BinOp::Add, a, b) => {
            (offset_by(a, axis) && !mentions(b, axis)) || (offset_by(b, axis) && !mentions(a, axis))
        }
        _ => false,
    }
}

/// Whether the instruction's sums of neighbours stay inside `i16`, where it needs that: it saturates otherwise.
fn fits_i16(instruction: &str, unsigned: &Expr, signed: &Expr) -> bool {
    let needs = crate::instructions::instruction(instruction).is_some_and(|i| !i.in_i16.is_empty());
    let (Ty::Int { hi, .. }, Ty::Int { lo: from, hi: to }) = (unsigned.ty, signed.ty) else { return false };
    !needs || (2 * hi * from >= i16::MIN as i64 && 2 * hi * to <= i16::MAX as i64)
}
