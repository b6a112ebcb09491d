//! Dots of bytes through the schedule's instruction: four neighbours a lane, exact partial sums a lane.
use super::axis::give;
use super::build::int;
use super::overrun::mentions;
use super::{Env, Lower, Lowered, Op, Val};
use crate::cpu::row::Slot;
use crate::instructions::{Instruction, instruction};
use crate::ir::{Axis, BinOp, Block, Expr, Kind, Node, Place, Scalar, Stmt, Ty, Var, walk};
use crate::loop_ir::{self, Bind};
use std::collections::HashMap;
use std::rc::Rc;

/// A dot of unsigned and signed bytes that are neighbours along an axis.
struct Dot<'a> {
    instruction: &'static Instruction,
    axis: Var,
    unsigned: &'a Expr,
    signed: &'a Expr,
    lo: i32,
    /// Neighbours that all lanes take at once.
    chunk: usize,
}

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
        let Some(name) = self.schedule.dot.as_deref() else { return Ok(None) };
        let instruction = instruction(name).expect("legal asks the table first");
        let Some(value) = written_out(body) else { return Ok(None) };
        let Kind::Binary(BinOp::Mul, a, b) = &value.kind else { return Ok(None) };
        let operands =
            [(a, b), (b, a)].into_iter().find(|(u, s)| self.unsigned(u, axis.var) && self.signed(s, axis.var));
        let Some((unsigned, signed)) = operands else { return Ok(None) };
        let free = self.lanes_are_free();
        let chunk = if free { 4 * self.width() } else { 4 };
        let dot = Dot { instruction, axis: axis.var, unsigned, signed, lo, chunk };
        let inside = self.lane.is_some() || self.width() == 1;
        // Lanes that do iterations of an outer axis have dots of their own, of other lanes they have none.
        let usable = inside && (free || self.width() == 1 || self.schedule.lanes.is_some());
        let halves = instruction.result == Slot::H;
        if !usable || !len.is_multiple_of(chunk) || dot.in_i16() == 0 {
            return Ok(None);
        }
        if halves && self.schedule.dot2.is_none() {
            return self.illegal(format!("what `{name}` leaves needs an instruction for `dot2`"));
        }
        let chunks = len / chunk;
        // So many can be added up before they are too large.
        let together = if halves { dot.in_i16().min(chunks) } else { chunks };
        let outer = std::mem::replace(&mut self.span, value.span);
        let sums = if self.is_rolled(axis) {
            if free || together < chunks {
                return self.illegal(format!("the dots over `{}` can be no loop", self.axis_name(axis)));
            }
            vec![self.dot_loop(&dot, chunks, envs)?]
        } else {
            let starts: Vec<usize> = (0..chunks).collect();
            starts.chunks(together).map(|chunks| self.dot_chunks(&dot, chunks, envs)).collect::<Lowered<_>>()?
        };
        self.span = outer;
        let of_env = |n: usize| sums.iter().map(|all| all[n].clone()).collect::<Vec<Op>>();
        let mut values = Vec::new();
        for n in 0..envs.len() {
            values.push(match of_env(n) {
                sums if halves && free => Val::Partial(self.add_halves(int(0), int(1), sums)),
                halves if instruction.result == Slot::H => Val::Halves { scale: int(1), halves },
                mut sum if free => Val::Partial(sum.remove(0)),
                // Where the lanes do not share it, the sum is whole.
                mut sum => Val::Op(sum.remove(0)),
            });
        }
        Ok(Some(values))
    }

    /// The sum of some chunks for each iteration, one chunk after the other.
    fn dot_chunks(&mut self, dot: &Dot, chunks: &[usize], envs: &mut [Env]) -> Lowered<Vec<Op>> {
        // All bytes first: loads that stand side by side can be one.
        let mut packs = Vec::new();
        for chunk in chunks {
            packs.extend(self.packs(dot, int(dot.lo + (chunk * dot.chunk) as i32), envs)?);
        }
        let zero = self.zero(dot);
        let mut sums: Vec<Op> = vec![zero; envs.len()];
        for (n, (a, b)) in packs.into_iter().enumerate() {
            let sum = &mut sums[n % envs.len()];
            let varying = self.lanes_are_free() || sum.varying || a.varying || b.varying;
            let (ty, call) = (sum.ty, self.dot_call(dot, [sum.clone(), a, b]));
            *sum = self.emit(call, ty, varying);
        }
        Ok(sums)
    }

    /// The same of all chunks, in a loop.
    fn dot_loop(&mut self, dot: &Dot, chunks: usize, envs: &mut [Env]) -> Lowered<Vec<Op>> {
        let var = self.var("chunk", loop_ir::Ty::I32, false);
        let index = self.read(var);
        let (mut body, packs) = self.inside(|l| {
            let at = l.binary(BinOp::Mul, index, int(dot.chunk as i32));
            let at = l.binary(BinOp::Add, at, int(dot.lo));
            l.packs(dot, at, envs)
        })?;
        let mut sums = Vec::new();
        for (a, b) in packs {
            let zero = self.zero(dot);
            let sum = self.register("dot", zero, a.varying || b.varying);
            let sum = self.read(sum);
            let value = self.dot_call(dot, [sum.clone(), a, b]);
            let loop_ir::Expr::Var(var) = sum.e else { unreachable!("a register is a variable") };
            body.push(loop_ir::Stmt::Set { var, value });
            sums.push(sum);
        }
        let (lo, hi) = (loop_ir::Expr::Int(0), loop_ir::Expr::Int(chunks as i32));
        self.push(loop_ir::Stmt::For { bind: Bind::Rolled, var, lo, hi, step: 1, body });
        Ok(sums)
    }

    fn zero(&mut self, dot: &Dot) -> Op {
        if dot.instruction.result == Slot::H { self.pair(int(0), int(0)) } else { int(0) }
    }

    fn dot_call(&self, dot: &Dot, args: [Op; 3]) -> loop_ir::Expr {
        let args = args.into_iter().map(|a| a.e).collect();
        loop_ir::Expr::Call { intrinsic: dot.instruction.name, args, span: self.span }
    }

    /// The bytes of both sides from `first` on, for each iteration.
    fn packs(&mut self, dot: &Dot, first: Op, envs: &mut [Env]) -> Lowered<Vec<(Op, Op)>> {
        let free = self.lanes_are_free();
        give(envs, dot.axis, if free { Val::Affine { base: first, stride: 1 } } else { Val::Op(first) });
        let both = |l: &mut Self, env: &mut Env| {
            Ok((l.pack(dot.unsigned, dot.axis, env)?, l.pack(dot.signed, dot.axis, env)?))
        };
        envs.iter_mut().map(|env| both(self, env)).collect()
    }

    /// Whether the neighbours of `axis` can be computed byte by byte, every step inside 0..=255.
    pub(super) fn unsigned(&self, e: &Expr, axis: Var) -> bool {
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

    pub(super) fn signed(&self, e: &Expr, axis: Var) -> bool {
        matches!(&e.kind, Kind::Load(p) if p.scalar == Scalar::I8) && self.neighbours(e, axis)
    }

    /// Whether a load's index is the axis plus something that does not depend on it.
    pub(super) fn neighbours(&self, e: &Expr, axis: Var) -> bool {
        let Kind::Load(p) = &e.kind else { return false };
        let plain = p.index.iter().all(|i| !mentions(i, axis));
        plain && p.at.as_ref().is_some_and(|at| offset_by(at, axis))
    }

    pub(super) fn pack(&mut self, e: &Expr, axis: Var, env: &mut Env) -> Lowered<Op> {
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
                let varying = access.varies();
                let ty = match p.scalar {
                    Scalar::U8 => loop_ir::Ty::U8x4,
                    Scalar::I8 => loop_ir::Ty::I8x4,
                    _ => loop_ir::Ty::I16x2,
                };
                Ok(self.emit(loop_ir::Expr::LoadPack(access), ty, varying))
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
pub(super) fn written_out(body: &Block) -> Option<Expr> {
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

impl Dot<'_> {
    /// How many sums of two neighbours can be added up in `i16`, where the instruction needs that: it saturates otherwise.
    fn in_i16(&self) -> usize {
        let (Ty::Int { hi, .. }, Ty::Int { lo: from, hi: to }) = (self.unsigned.ty, self.signed.ty) else { return 0 };
        match 2 * hi * to.max(-from) {
            _ if self.instruction.in_i16.is_empty() => usize::MAX,
            0 => usize::MAX,
            most => (i16::MAX as i64 / most) as usize,
        }
    }
}
