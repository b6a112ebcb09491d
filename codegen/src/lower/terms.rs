//! Blocks that members of a team, of which each does products of its own, copy to shared memory for each term of a sum: those of all
//! their rows or columns. The blocks of the next term are under way while this one is computed.
use super::axis::give;
use super::build::{int, long};
use super::index::Index;
use super::matrix::Local;
use super::{Env, Lower, Lowered, Op, Val};
use crate::ir::{self, Axis, BinOp, Expr, Kind, Place, ReduceOp, Scalar};
use crate::loop_ir::{self, Access, Bind, Mem, Stmt, Var};

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
    /// Bytes from a piece of a unit to its next one.
    apart: usize,
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
    /// Bytes from a piece of a row to its next one.
    pub apart: usize,
    /// How many rows further each lane's is.
    pub at: Op,
}

/// Pieces that lanes copy from or to.
struct Pieces<'o> {
    mem: Mem,
    /// The first byte of the first,
    first: Op,
    /// and bytes from one to the next.
    apart: usize,
    /// How many bytes further each lane's are, where lanes do not have one piece after the other.
    of_lane: Option<&'o Op>,
}

impl Pieces<'_> {
    /// Those from number `done` on.
    fn at(&self, l: &mut Lower, done: usize) -> Access {
        let addr = l.long(BinOp::Add, self.first.clone(), long((done * self.apart) as i64));
        let lane_stride = if self.of_lane.is_some() { 0 } else { self.apart as i32 };
        let offset = self.of_lane.map(|own| Box::new(own.e.clone()));
        Access { mem: self.mem, addr: Box::new(addr.e), lane_stride, offset, scalar: Scalar::U8 }
    }
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
        let units = several / rows;
        let (stride, apart) = match rows {
            // Pieces of all rows side by side, as wide products read them.
            1 if self.schedule.wide && self.has_columns(axis) => (PIECE, units * PIECE),
            1 => (stride(bytes, self.read_at_once(buffer)), PIECE),
            _ => (bytes, PIECE),
        };
        let half = if apart == PIECE { units * stride } else { bytes / PIECE * apart };
        Ok(Term { buffer, axes: *of, rows, bytes, stride, apart, units, half })
    }

    /// Bytes of a buffer that a lane reads at once: those of its packs in a product.
    fn read_at_once(&self, buffer: usize) -> usize {
        let mut widest = 4;
        self.kernel.visit(&mut |e| {
            let Kind::Reduce { op: ReduceOp::ISum, axis, body } = &e.kind else { return };
            let (Kind::Int(lo), Kind::Int(hi)) = (&axis.lo.kind, &axis.hi.kind) else { return };
            let mut bytes = false;
            let mut note = |e: &ir::Node| {
                bytes |= matches!(&e.kind, Kind::Load(p) if p.buffer == buffer && p.scalar == Scalar::I8);
            };
            body.visit(&mut note);
            if bytes && (hi - lo) % 32 == 0 {
                widest = 8;
            }
        });
        widest
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
        if term.rows == 1 && term.units.is_multiple_of(8) && self.width().is_multiple_of(8) {
            return self.begin_rows_of(term, array, (index, half), ends, columns);
        }
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
            let to = Pieces { mem: Mem::Shared(array), first: to, apart: term.apart, of_lane: None };
            let from = Pieces { mem: Mem::Buffer(term.buffer), first: from, apart: PIECE, of_lane: None };
            l.copy_pieces((pieces, width), &lane, &to, &from);
            Ok(())
        })
    }

    /// The same of single rows: some pieces of eight rows at once, so that lanes write to different banks where rows lie by pieces, and no
    /// lane is idle where a row has few.
    fn begin_rows_of(
        &mut self,
        term: &Term,
        array: Var,
        (index, half): (&Op, &Op),
        (first, last): (Op, Op),
        columns: Op,
    ) -> Lowered<()> {
        const ROWS: usize = 8;
        let (at_once, pieces) = (self.width() / ROWS, term.bytes / PIECE);
        let lane = self.read(self.lane.expect("copies are inside of the lane loop"));
        let row = self.binary(BinOp::Rem, lane.clone(), int(ROWS as i32));
        let piece = self.binary(BinOp::Div, lane, int(ROWS as i32));
        let to_piece = self.binary(BinOp::Mul, piece.clone(), int(term.apart as i32));
        let to_row = self.binary(BinOp::Mul, row.clone(), int(term.stride as i32));
        let to_own = self.binary(BinOp::Add, to_row, to_piece);
        let from_piece = self.binary(BinOp::Mul, piece.clone(), int(PIECE as i32));
        let member = Op { e: self.team_member(), ..int(0) };
        let (index, half) = (self.widen(index.clone()), self.widen(half.clone()));
        let half = self.long(BinOp::Mul, half, long(term.half as i64));
        let wide = self.widen(columns.clone());
        let eights = int((term.units / ROWS) as i32);
        self.each(Bind::Serial, "unit", (member, eights, self.schedule.team as i32), |l, unit| {
            let before = l.binary(BinOp::Mul, unit, int(ROWS as i32));
            let start = l.binary(BinOp::Add, first, before.clone());
            let base = l.binary(BinOp::Min, start.clone(), last.clone());
            let own = l.binary(BinOp::Add, row, start);
            let own = l.binary(BinOp::Min, own, last);
            let own = l.binary(BinOp::Sub, own, base.clone());
            let own = l.binary(BinOp::Mul, own, columns);
            let own = l.binary(BinOp::Mul, own, int(term.bytes as i32));
            let from_own = l.binary(BinOp::Add, own, from_piece);
            let base = l.widen(base);
            let from = l.long(BinOp::Mul, base, wide);
            let from = l.long(BinOp::Add, from, index);
            let from = l.long(BinOp::Mul, from, long(term.bytes as i64));
            let before = l.widen(before);
            let to = l.long(BinOp::Mul, before, long(term.stride as i64));
            let to = l.long(BinOp::Add, to, half);
            let to = Pieces { mem: Mem::Shared(array), first: to, apart: term.apart, of_lane: Some(&to_own) };
            let from = Pieces { mem: Mem::Buffer(term.buffer), first: from, apart: PIECE, of_lane: Some(&from_own) };
            l.copy_pieces((pieces, at_once), &piece, &to, &from);
            Ok(())
        })
    }

    /// Copies pieces, so many at once, of which a lane has number `own`.
    fn copy_pieces(&mut self, (pieces, at_once): (usize, usize), own: &Op, to: &Pieces, from: &Pieces) {
        for done in (0..pieces).step_by(at_once) {
            let left = int((pieces - done) as i32);
            let only = (pieces - done < at_once).then(|| self.binary(BinOp::Lt, own.clone(), left).e);
            let (to, from) = (to.at(self, done), from.at(self, done));
            self.push(Stmt::Copy { to, from, len: PIECE, only });
        }
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
        Some(InTerm { array, unit, stride, apart: term.apart, at })
    }

    /// A place in a block of a term that is there, of a buffer whose rows do not lie side by side.
    pub(super) fn access_in_term(&mut self, place: &Place, bytes: usize, env: &mut Env) -> Lowered<Access> {
        let size = place.scalar.bytes();
        let InTerm { array, mut unit, stride, apart: pieces, at } =
            self.in_term(place, env).expect("the blocks are there");
        let mut apart = Some(self.binary(BinOp::Mul, at, int(stride)));
        if let Some(at) = &place.at {
            let Index { base, stride: 0, at } = self.index(at, env)? else {
                return self.illegal("a place in a block differs from lane to lane");
            };
            let at = at.map(|at| self.binary(BinOp::Mul, at, int(size as i32)));
            if pieces != PIECE {
                let (addr, further) = self.in_pieces(base, at, (place.offset, size, bytes), pieces)?;
                let addr = self.long(BinOp::Add, unit, addr);
                let offset = self.further(apart, further).map(|apart| Box::new(apart.e));
                let addr = Box::new(addr.e);
                return Ok(Access { mem: Mem::Shared(array), addr, lane_stride: 0, offset, scalar: place.scalar });
            }
            let base = self.widen(base);
            let inside = self.long(BinOp::Mul, base, long(size as i64));
            unit = self.long(BinOp::Add, unit, inside);
            apart = self.further(apart, at);
        }
        let offset = place.offset / PIECE * pieces + place.offset % PIECE;
        let addr = self.long(BinOp::Add, unit, long(offset as i64));
        let offset = apart.map(|apart| Box::new(apart.e));
        Ok(Access { mem: Mem::Shared(array), addr: Box::new(addr.e), lane_stride: 0, offset, scalar: place.scalar })
    }

    /// Where `bytes` bytes of a field at `offset` are in a block whose pieces lie apart, and how much further they are in each lane: from
    /// number `base` on, and bytes `at`.
    fn in_pieces(
        &mut self,
        base: Op,
        at: Option<Op>,
        (offset, size, bytes): (usize, usize, usize),
        apart: usize,
    ) -> Lowered<(Op, Option<Op>)> {
        let loop_ir::Expr::Int(base) = base.e else {
            return self.illegal("a place in a block whose pieces lie apart is not known");
        };
        let first = offset + base as usize * size;
        let step = match &at {
            Some(at) => (0..=4).rev().map(|n| 1 << n).find(|step| self.is_multiple(&at.e, *step)).unwrap_or(1) as usize,
            None => PIECE,
        };
        // What lanes have lies at multiples of `step` in the pieces.
        if first % PIECE + bytes > step {
            return self.illegal("what lanes read at once lies in several pieces");
        }
        let addr = long((first / PIECE * apart + first % PIECE) as i64);
        let further = at.map(|at| {
            let number = self.binary(BinOp::Div, at.clone(), int(PIECE as i32));
            let number = self.binary(BinOp::Mul, number, int(apart as i32));
            let inside = self.binary(BinOp::Rem, at, int(PIECE as i32));
            self.binary(BinOp::Add, number, inside)
        });
        Ok((addr, further))
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

/// From a row to the next, so that what lanes read of it at once and of its neighbours lies in different banks: 128 bytes of memory are
/// read in a turn, those of four lanes for each row.
fn stride(bytes: usize, at_once: usize) -> usize {
    let of_four = 4 * at_once;
    bytes.div_ceil(of_four) / 2 * 2 * of_four + of_four
}

fn variable(e: &Expr) -> Option<ir::Var> {
    if let Kind::Var(var) = e.kind { Some(var) } else { None }
}
