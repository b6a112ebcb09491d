//! Blocks that members of a team, of which each does products of its own, copy to shared memory for each term of a sum: those of all
//! their rows or columns. The blocks of the next term are under way while this one is computed.
use super::axis::give;
use super::build::{int, long};
use super::index::Index;
use super::matrix::Local;
use super::{Env, Lower, Lowered, Op, Val};
use crate::ir::{self, Axis, BinOp, Expr, Kind, Place, Scalar};
use crate::loop_ir::{Access, Bind, Mem, Stmt, Var};

/// Bytes of a piece that a lane copies.
const PIECE: usize = 16;

/// A buffer whose blocks are copied.
#[derive(Clone)]
pub(super) struct Term {
    buffer: usize,
    /// The axis of its rows, and that of the sum.
    axes: [ir::Var; 2],
    /// Rows that are copied as one unit: those that lie side by side, or a single one.
    rows: usize,
    /// Bytes of a unit, and from one to the next in the team's memory.
    bytes: usize,
    stride: usize,
    /// Units that the team's rows are.
    units: usize,
    /// Bytes of all units of a term; there are two of these.
    half: usize,
}

/// Where the blocks of a term are.
pub(super) struct Here {
    term: Term,
    array: Var,
    /// The first byte of this term's half.
    half: Op,
}

/// A place in a unit of a term.
pub(super) struct InTerm {
    pub array: Var,
    /// The first byte of the unit that the rows of the product begin with.
    pub unit: Op,
    /// Bytes from a row to the next, where a unit is one.
    pub stride: i32,
    /// How many rows further each lane's is.
    pub at: Op,
}

impl Lower<'_> {
    /// What the schedule says is copied, where members of a team do products of their own.
    pub(super) fn terms_of_sums(&self) -> Lowered<Vec<Term>> {
        let mut names = self.schedule.stage.clone();
        names.sort();
        names.dedup();
        if names.len() < self.schedule.stage.len() {
            return self.illegal("a buffer is named twice");
        }
        names.iter().map(|name| self.term_of(name)).collect()
    }

    fn term_of(&self, name: &str) -> Lowered<Term> {
        let Some(buffer) = self.kernel.buffers.iter().position(|b| b.name == name && !b.written) else {
            return self.illegal(format!("there is no buffer `{name}` that is read"));
        };
        let info = &self.kernel.buffers[buffer];
        let mut axes: Vec<Option<[ir::Var; 2]>> = Vec::new();
        self.kernel.places(&mut |place| {
            if place.buffer == buffer {
                axes.push(match &place.index[..] {
                    [row, term] => variable(row).zip(variable(term)).map(|(row, term)| [row, term]),
                    _ => None,
                });
            }
        });
        let (Some(Some(of)), true) = (axes.first(), axes.windows(2).all(|two| two[0] == two[1])) else {
            return self.illegal(format!("`{name}` is not read by a row and a term of one sum"));
        };
        let Some(axis) = self.kernel.nest().0.into_iter().find(|axis| axis.var == of[0]) else {
            return self.illegal(format!("the rows of `{name}` are no outer axis"));
        };
        let several = self.of_team(axis) * self.tile(axis) * self.at_once(axis);
        let (rows, block) = self.layouts[buffer].as_ref().map_or((1, info.elem_bytes), |l| (l.rows, l.block_bytes));
        let bytes = rows * block;
        if self.at_once(axis) == 1 || !several.is_multiple_of(rows) || !bytes.is_multiple_of(PIECE) {
            return self.illegal(format!("the blocks of `{name}` that a team needs are no whole pieces"));
        }
        // Rows of an odd number of pieces: what lanes read of eight of them lies in different banks.
        let stride = if rows == 1 { bytes / PIECE / 2 * 2 * PIECE + PIECE } else { bytes };
        let units = several / rows;
        Ok(Term { buffer, axes: *of, rows, bytes, stride, units, half: units * stride })
    }

    /// A loop over the terms of a sum, in which the blocks of each are there.
    pub(super) fn terms(
        &mut self,
        axis: &Axis,
        (lo, hi): (Op, Op),
        envs: &mut [Env],
        f: impl FnOnce(&mut Self, &mut [Env], Op) -> Lowered<()>,
    ) -> Lowered<()> {
        let own: Vec<Term> = self.terms.iter().filter(|term| term.axes[1] == axis.var).cloned().collect();
        if own.is_empty() {
            return self.each(Bind::Serial, self.axis_name(axis), (lo, hi, 1), |l, index| {
                give(envs, axis.var, Val::Op(index.clone()));
                f(l, envs, index)
            });
        }
        if self.loops() > self.outer_loops || !self.is_size(&axis.lo) || !self.is_size(&axis.hi) {
            let name = self.axis_name(axis);
            return self.illegal(format!("not all members of a team surely come to the sum over `{name}` alike"));
        }
        let arrays: Vec<Var> = own.iter().map(|t| self.team_array("terms", Scalar::U8, 2 * t.half)).collect();
        self.push(Stmt::Barrier);
        let any = self.binary(BinOp::Lt, lo.clone(), hi.clone());
        let begin = |l: &mut Self, envs: &mut [Env], index: Op, half: Op| {
            own.iter().zip(&arrays).try_for_each(|(term, array)| l.begin_term(term, *array, (&index, &half), envs))
        };
        let (then, ()) = self.inside(|l| begin(l, envs, lo.clone(), int(0)))?;
        self.push(Stmt::If { cond: any.e, then, other: Vec::new() });
        self.each(Bind::Serial, self.axis_name(axis), (lo.clone(), hi.clone(), 1), |l, index| {
            l.push(Stmt::Await);
            l.push(Stmt::Barrier);
            let number = l.binary(BinOp::Sub, index.clone(), lo);
            let half = l.binary(BinOp::And, number, int(1));
            let other = l.binary(BinOp::Sub, int(1), half.clone());
            let next = l.binary(BinOp::Add, index.clone(), int(1));
            let more = l.binary(BinOp::Lt, next.clone(), hi);
            let (then, ()) = l.inside(|l| begin(l, envs, next, other))?;
            l.push(Stmt::If { cond: more.e, then, other: Vec::new() });
            for (term, array) in own.iter().zip(&arrays) {
                let half = l.widen(half.clone());
                let half = l.long(BinOp::Mul, half, long(term.half as i64));
                l.here.push(Here { term: term.clone(), array: *array, half });
            }
            give(envs, axis.var, Val::Op(index.clone()));
            f(l, envs, index)?;
            l.here.clear();
            Ok(())
        })?;
        self.release(own.iter().zip(arrays).map(|(t, array)| (array, Scalar::U8, 2 * t.half)));
        Ok(())
    }

    /// Begins to copy the blocks of one term: units by members in turn, and pieces of a unit by lanes. Behind the last row, that row's
    /// are copied again.
    fn begin_term(&mut self, term: &Term, array: Var, (index, half): (&Op, &Op), envs: &mut [Env]) -> Lowered<()> {
        let [row_axis, _] = term.axes;
        let ends = self.matrix.of_team[&row_axis].clone();
        let extent = self.kernel.buffers[term.buffer].shape[1].clone();
        let columns = self.uniform(&extent, &mut envs[0])?;
        let columns = self.widen(columns);
        let [first, last] = [ends.0, ends.1].map(|row| self.binary(BinOp::Div, row, int(term.rows as i32)));
        let index = self.widen(index.clone());
        let half = self.widen(half.clone());
        let half = self.long(BinOp::Mul, half, long(term.half as i64));
        let member = Op { e: self.team_member(), ..int(0) };
        let (width, pieces) = (self.width(), term.bytes / PIECE);
        let lane = self.read(self.lane.expect("copies are inside of the lane loop"));
        self.each(Bind::Serial, "unit", (member, int(term.units as i32), self.schedule.team as i32), |l, unit| {
            let row = l.binary(BinOp::Add, first, unit.clone());
            let row = l.binary(BinOp::Min, row, last);
            let row = l.widen(row);
            let from = l.long(BinOp::Mul, row, columns);
            let from = l.long(BinOp::Add, from, index);
            let from = l.long(BinOp::Mul, from, long(term.bytes as i64));
            let unit = l.widen(unit);
            let to = l.long(BinOp::Mul, unit, long(term.stride as i64));
            let to = l.long(BinOp::Add, to, half);
            for done in (0..pieces).step_by(width) {
                let left = int((pieces - done) as i32);
                let only = (pieces - done < width).then(|| l.binary(BinOp::Lt, lane.clone(), left).e);
                let mut place = |mem, addr: &Op| {
                    let addr = l.long(BinOp::Add, addr.clone(), long((done * PIECE) as i64));
                    Access { mem, addr: Box::new(addr.e), lane_stride: PIECE as i32, offset: None, scalar: Scalar::U8 }
                };
                let (to, from) = (place(Mem::Shared(array), &to), place(Mem::Buffer(term.buffer), &from));
                l.push(Stmt::Copy { to, from, len: PIECE, only });
            }
            Ok(())
        })
    }

    /// Where the rows of a place are in the team's memory, if its blocks are there.
    pub(super) fn in_term(&mut self, place: &Place, env: &Env) -> Option<InTerm> {
        let here = self.here.iter().find(|here| here.term.buffer == place.buffer)?;
        let (term, array, half) = (here.term.clone(), here.array, here.half.clone());
        let Local { part, product, at } = self.local(&env[&term.axes[0]]);
        let (rows, stride) = (term.rows as i32, term.stride as i32);
        let part = self.binary(BinOp::Div, part, int(rows));
        let part = self.binary(BinOp::Mul, part, int(stride));
        let part = self.widen(part);
        let unit = self.long(BinOp::Add, half, part);
        let unit = self.long(BinOp::Add, unit, long((product / rows * stride).into()));
        Some(InTerm { array, unit, stride, at })
    }

    /// A place in a block of a term that is there, of a buffer whose rows do not lie side by side.
    pub(super) fn access_in_term(&mut self, place: &Place, env: &mut Env) -> Lowered<Access> {
        let size = place.scalar.bytes();
        let InTerm { array, mut unit, stride, at } = self.in_term(place, env).expect("the blocks are there");
        let mut apart = Some(self.binary(BinOp::Mul, at, int(stride)));
        if let Some(at) = &place.at {
            let Index { base, stride: 0, at } = self.index(at, env)? else {
                return self.illegal("a place in a block differs from lane to lane");
            };
            let base = self.widen(base);
            let inside = self.long(BinOp::Mul, base, long(size as i64));
            unit = self.long(BinOp::Add, unit, inside);
            let at = at.map(|at| self.binary(BinOp::Mul, at, int(size as i32)));
            apart = self.further(apart, at);
        }
        let addr = self.long(BinOp::Add, unit, long(place.offset as i64));
        let offset = apart.map(|apart| Box::new(apart.e));
        Ok(Access { mem: Mem::Shared(array), addr: Box::new(addr.e), lane_stride: 0, offset, scalar: place.scalar })
    }

    /// Whether the blocks of a buffer are there.
    pub(super) fn has_term(&self, buffer: usize) -> bool {
        self.here.iter().any(|here| here.term.buffer == buffer)
    }

    /// Whether an array holds blocks of this term: nothing changes it meanwhile.
    pub(super) fn holds_terms(&self, array: Var) -> bool {
        self.here.iter().any(|here| here.array == array)
    }

    /// How many loops this is inside of.
    pub(super) fn loops(&self) -> usize {
        self.blocks.iter().filter(|block| block.repeats).count()
    }

    /// Whether a number is made of parameters alone.
    fn is_size(&self, e: &Expr) -> bool {
        let parameters = || self.kernel.dims.iter().chain(&self.kernel.scalars);
        ir::walk::mentioned(&[], [e]).iter().all(|var| parameters().any(|parameter| parameter == var))
    }
}

fn variable(e: &Expr) -> Option<ir::Var> {
    if let Kind::Var(var) = e.kind { Some(var) } else { None }
}
