//! An outer axis whose iterations the lanes do, each lane one, and weights whose rows lie side by side for them.
use super::axis::give;
use super::build::{float, int, long};
use super::index::Index;
use super::terms::InTerm;
use super::{Env, Lower, Lowered, Op, Val};
use crate::instructions::matrix::ROWS;
use crate::ir::{Axis, BinOp, Buffer, Kind, Place, Scalar};
use crate::layout::{Layout, Run};
use crate::loop_ir::{Access, Bind, Expr, Mem, Stmt};
use crate::schedule::Schedule;

/// Bytes that memory gives at once.
const LINE: i64 = 64;
/// Of so many lines, one is asked for twice.
const EVERY: usize = 4;

impl Lower<'_> {
    /// The layout of each buffer.
    pub(super) fn layouts_of(&self, schedule: &Schedule) -> Lowered<Vec<Option<Layout>>> {
        if let Some(name) = schedule.layout.keys().find(|name| self.kernel.buffers.iter().all(|b| b.name != **name)) {
            return self.illegal(format!("there is no buffer `{name}`"));
        }
        let layout = |buffer: &Buffer| {
            let wanted = schedule.layout.get(&buffer.name)?;
            Some(Layout::of(buffer, wanted).or_else(|why| self.illegal(why)))
        };
        self.kernel.buffers.iter().map(|buffer| layout(buffer).transpose()).collect()
    }

    /// Whether each lane does an iteration of this axis.
    pub(super) fn has_rows(&self, axis: &Axis) -> bool {
        self.schedule.lanes.as_deref() == Some(self.axis_name(axis))
    }

    /// Refuses an axis of lanes that threads do not share, or without lanes.
    pub(super) fn check_rows(&self, split: &[&Axis]) -> Lowered<()> {
        let Some(name) = &self.schedule.lanes else { return Ok(()) };
        if self.width() == 1 {
            return self.illegal(format!("one lane cannot share `{name}`"));
        }
        if self.schedule.parts.is_some() {
            return self.illegal("where workers share the parts of a merge, lanes share them, too");
        }
        if !split.iter().any(|axis| self.has_rows(axis)) {
            return self.illegal(format!("lanes share `{name}`, which is not split over threads"));
        }
        Ok(())
    }

    /// Tile `number` of an axis: `tile` registers of a row a lane, side by side where all of them begin below `hi`, else one
    /// after the other. Lanes beyond the last row compute what nobody stores.
    pub(super) fn rows(
        &mut self,
        axis: &Axis,
        (number, tile): (Op, usize),
        hi: Op,
        envs: &[Env],
        body: impl Fn(&mut Self, &mut Vec<Env>) -> Lowered<()>,
    ) -> Lowered<()> {
        let width = self.width() as i32;
        self.rows = Some((axis.var, hi.clone()));
        self.spread = true;
        let base = self.binary(BinOp::Mul, number, int(tile as i32 * width));
        let registers = |l: &mut Self, base: Op, count: i32| {
            let mut all = Vec::new();
            for env in envs {
                for i in 0..count {
                    let base = l.binary(BinOp::Add, base.clone(), int(i * width));
                    let mut env = vec![env.clone()];
                    give(&mut env, axis.var, Val::Affine { base, stride: 1 });
                    all.append(&mut env);
                }
            }
            body(l, &mut all)
        };
        if tile == 1 {
            registers(self, base, 1)?;
        } else {
            let last = self.binary(BinOp::Add, base.clone(), int((tile as i32 - 1) * width));
            let whole = self.binary(BinOp::Lt, last, hi.clone());
            let (then, ()) = self.inside(|l| registers(l, base.clone(), tile as i32))?;
            let (other, ()) = self.inside(|l| {
                let name = l.axis_name(axis);
                l.each(Bind::Serial, name, (base, hi, width), |l, base| registers(l, base, 1))
            })?;
            self.push(Stmt::If { cond: whole.e, then, other });
        }
        self.spread = false;
        self.rows = None;
        Ok(())
    }

    /// Loads one number a lane; lanes beyond the last row get 0.
    pub(super) fn load_rows(&mut self, from: Access, env: &Env) -> Op {
        let (Some((axis, hi)), scalar) = (self.rows.clone(), in_register(from.scalar)) else { return self.load(from) };
        let Val::Affine { base, .. } = env[&axis].clone() else { unreachable!("lanes have a row each") };
        let left = self.binary(BinOp::Sub, hi, base);
        let whole = self.binary(BinOp::Le, int(self.width() as i32), left.clone());
        let value = self.register("row", if scalar == Scalar::I32 { int(0) } else { float(0.0) }, true);
        let (then, ()) = self.emitted(|l| {
            let loaded = l.load(from.clone());
            l.set(value, loaded);
        });
        let local = self.rest(scalar);
        let (other, ()) = self.emitted(|l| {
            let zero = l.read(value);
            l.store(local(long(0), 4), zero);
            l.each_rest(left, &from, |l, number, at| {
                let loaded = l.load(number);
                l.store(local(at, 0), loaded);
            });
            let loaded = l.load(local(long(0), 4));
            l.set(value, loaded);
        });
        self.push(Stmt::If { cond: whole.e, then, other });
        self.read(value)
    }

    /// Stores a number, or one a lane; of lanes that do rows, only those up to the last row.
    pub(super) fn store_rows(&mut self, to: Access, value: Op, env: &Env) -> Lowered<()> {
        if let Some(there) = self.is_there(env) {
            self.push(Stmt::Store { to, value: value.e, only: Some(there.e), span: self.span });
            return Ok(());
        }
        let Some((axis, hi)) = self.rows.clone() else {
            self.store(to, value);
            return Ok(());
        };
        let Val::Affine { base, .. } = env[&axis].clone() else { unreachable!("lanes have a row each") };
        if to.lane_stride == 0 {
            return self.illegal("all lanes store to one place");
        }
        let left = self.binary(BinOp::Sub, hi, base);
        let whole = self.binary(BinOp::Le, int(self.width() as i32), left.clone());
        let (then, ()) = self.emitted(|l| l.store(to.clone(), value.clone()));
        let local = self.rest(in_register(to.scalar));
        let (other, ()) = self.emitted(|l| {
            l.store(local(long(0), 4), value);
            l.each_rest(left, &to, |l, place, at| {
                let number = l.load(local(at, 0));
                l.store(place, number);
            });
        });
        self.push(Stmt::If { cond: whole.e, then, other });
        Ok(())
    }

    /// An array with a number for each lane: the place of one, or with a stride those of all.
    fn rest(&mut self, scalar: Scalar) -> impl Fn(Op, i32) -> Access + use<> {
        let array = self.array("rest", scalar, self.width());
        move |addr, lane_stride| Access {
            mem: Mem::Local(array),
            addr: Box::new(addr.e),
            lane_stride,
            offset: None,
            scalar,
        }
    }

    /// For each of the `left` lanes that have a row: `f` gets the place of its number, and where that is in [`Lower::rest`].
    fn each_rest(&mut self, left: Op, all: &Access, f: impl FnOnce(&mut Self, Access, Op)) {
        let bytes = long(all.scalar.bytes() as i64);
        let done = self.each(Bind::Serial, "lane", (int(0), left, 1), |l, lane| {
            let wide = l.widen(lane);
            let at = l.long(BinOp::Mul, wide.clone(), long(4));
            let behind = l.long(BinOp::Mul, wide, bytes);
            let first = Op { e: (*all.addr).clone(), ..behind.clone() };
            let addr = l.long(BinOp::Add, first, behind);
            f(l, Access { addr: Box::new(addr.e), lane_stride: 0, ..all.clone() }, at);
            Ok(())
        });
        done.expect("nothing in it is refused");
    }

    /// What `f` emits, which nothing refuses.
    fn emitted(&mut self, f: impl FnOnce(&mut Self)) -> (Vec<Stmt>, ()) {
        let all = self.inside(|l| {
            f(l);
            Ok(())
        });
        all.expect("nothing in it is refused")
    }

    /// `bytes` bytes at a place in a buffer whose rows lie side by side.
    pub(super) fn side_by_side(
        &mut self,
        layout: &Layout,
        place: &Place,
        bytes: usize,
        env: &mut Env,
    ) -> Lowered<Access> {
        let buffer = &self.kernel.buffers[place.buffer];
        let [outer @ .., row, block] = &place.index[..] else { unreachable!("a layout has rows of blocks") };
        let rows = layout.rows as i32;
        // The first lane's row is the first of a tile.
        let axis = self.matrix.rows.or(self.rows.as_ref().map(|(axis, _)| *axis));
        let own = matches!(row.kind, Kind::Var(v) if axis == Some(v));
        let Index { base: row, stride: step, at: own_row } = self.index(row, env)?;
        let side_by_side = if own_row.is_some() { ROWS } else { self.width() };
        let spread = step != 0 || own_row.is_some();
        if spread && (!own || layout.rows != side_by_side) {
            return self.illegal(format!("lanes do not do the rows that lie side by side in `{}`", buffer.name));
        }
        let in_team = self.in_term(place, env);
        let own_row = in_team.as_ref().map(|term| term.at.clone()).or(own_row);
        let extents: Vec<_> = buffer.shape.iter().map(|e| self.uniform(e, env)).collect::<Lowered<_>>()?;
        let [.., row_count, columns] = &extents[..] else { unreachable!("as many as indices") };
        let tiles = self.binary(BinOp::Add, row_count.clone(), int(rows - 1));
        let tiles = self.binary(BinOp::Div, tiles, int(rows));
        let tile = self.binary(BinOp::Div, row.clone(), int(rows));
        let mut column = long(0);
        let mut dims: Vec<(Op, Op)> = Vec::new();
        for (index, extent) in outer.iter().zip(&extents) {
            dims.push((extent.clone(), self.uniform(index, env)?));
        }
        dims.push((tiles, tile));
        dims.push((columns.clone(), self.uniform(block, env)?));
        for (extent, index) in dims {
            let (extent, index) = (self.widen(extent), self.widen(index));
            column = self.long(BinOp::Mul, column, extent);
            column = self.long(BinOp::Add, column, index);
        }
        let tile_column = layout.block_bytes * layout.rows;
        let (mem, base) = match in_team {
            Some(InTerm { array, unit, .. }) => (Mem::Shared(array), unit),
            None => (Mem::Buffer(place.buffer), self.long(BinOp::Mul, column, long(tile_column as i64))),
        };
        let within = if spread { int(0) } else { self.binary(BinOp::Rem, row, int(rows)) };
        let run = layout.runs.iter().find(|r| (r.offset..r.offset + r.bytes).contains(&place.offset));
        let Some(run) = run.copied() else { unreachable!("a field is a run") };
        let own_row = own_row.map(|row| self.binary(BinOp::Mul, row, int(run.piece as i32)));
        let (at, apart) = self.in_run(layout, run, place, bytes, within, env)?;
        if step != 0 && self.schedule.prefetch > 0 {
            self.prefetch((place.buffer, &base, tile_column), &at, layout.rows * run.piece);
        }
        let addr = self.long(BinOp::Add, base, at);
        let offset = self.further(own_row, apart).map(|offset| Box::new(offset.e));
        let lane_stride = if step == 0 { 0 } else { run.piece as i32 };
        let addr = Box::new(addr.e);
        Ok(Access { mem, addr, lane_stride, offset, scalar: place.scalar })
    }

    /// Asks for what comes as far behind a column of blocks as the schedule says: a line with each line of it that is loaded first,
    /// so that the requests are as evenly spread as the loads, in the order of the memory, which processors read ahead best.
    /// One line of [`EVERY`] is asked for half as far again ahead, too, for the processor to go on from there by itself. Where
    /// loops stay loops, this would be more work in them, so the whole column is asked for where it is first met.
    fn prefetch(&mut self, (buffer, column, size): (usize, &Op, usize), at: &Op, bytes: usize) {
        let (ahead, key) = (self.schedule.prefetch as i64, format!("{buffer} {:?}", column.e));
        let lines = match at.e {
            _ if !self.schedule.rolled.is_empty() => 0..1,
            Expr::Long(begin) => begin / LINE..(begin + bytes as i64 - 1) / LINE + 1,
            _ => {
                let further = self.long(BinOp::Add, at.clone(), long(ahead));
                return self.ask_for(buffer, column, further, bytes);
            }
        };
        for line in lines {
            let of_column = self.blocks.iter().flat_map(|b| &b.asked).filter(|(of, _)| *of == key);
            let asked: Vec<i64> = of_column.map(|(_, line)| *line).collect();
            if asked.contains(&line) {
                continue;
            }
            let next = ahead + asked.len() as i64 * LINE;
            if self.schedule.rolled.is_empty() {
                self.ask_for(buffer, column, long(next), LINE as usize);
                if asked.len().is_multiple_of(EVERY) {
                    self.ask_for(buffer, column, long(next + ahead / 2), LINE as usize);
                }
            } else {
                self.ask_for(buffer, column, long(next), size);
            }
            self.blocks.last_mut().expect("a block is open").asked.push((key.clone(), line));
        }
    }

    fn ask_for(&mut self, buffer: usize, column: &Op, further: Op, bytes: usize) {
        let addr = self.long(BinOp::Add, column.clone(), further);
        let (mem, addr) = (Mem::Buffer(buffer), Box::new(addr.e));
        let from = Access { mem, addr, lane_stride: 0, offset: None, scalar: Scalar::U8 };
        self.push(Stmt::Prefetch { from, bytes });
    }

    /// Where in a column of blocks the bytes of a field are that belong to row `within` of the tile, and how much further they are in
    /// each lane.
    fn in_run(
        &mut self,
        layout: &Layout,
        run: Run,
        place: &Place,
        bytes: usize,
        within: Op,
        env: &mut Env,
    ) -> Lowered<(Op, Option<Op>)> {
        let (rows, size) = (layout.rows, place.scalar.bytes());
        let (at, apart) = match &place.at {
            Some(at) => match self.index(at, env)? {
                Index { base, stride: 0, at } => (base, at),
                _ => return self.illegal("a place in a block differs from lane to lane"),
            },
            None => (int(0), None),
        };
        let apart = match apart {
            Some(apart) => Some(self.pieces_of_lanes((rows, run.piece), (&at, apart), (size, bytes))?),
            None => None,
        };
        let (piece, inside) = match at.e {
            Expr::Int(at) => {
                let at = at as usize * size;
                if at % run.piece + bytes > run.piece {
                    return self.illegal(format!("{bytes} bytes that are read at once lie in several pieces"));
                }
                (int((at / run.piece) as i32), int((at % run.piece) as i32))
            }
            _ if bytes > size => match self.divided(&at.e, (run.piece / size) as i32) {
                Some(piece) if bytes == run.piece => (piece, int(0)),
                _ => return self.illegal("bytes that are read at once lie in no one piece that is known"),
            },
            _ => {
                let numbers = int((run.piece / size) as i32);
                let piece = self.binary(BinOp::Div, at.clone(), numbers.clone());
                let inside = self.binary(BinOp::Rem, at, numbers);
                (piece, self.binary(BinOp::Mul, inside, int(size as i32)))
            }
        };
        let piece = self.binary(BinOp::Mul, piece, int((rows * run.piece) as i32));
        let own = self.binary(BinOp::Mul, within, int(run.piece as i32));
        let mut addr = long((run.offset * rows) as i64);
        for part in [piece, inside, own] {
            let part = self.widen(part);
            addr = self.long(BinOp::Add, addr, part);
        }
        Ok((addr, apart))
    }

    /// How many bytes further each lane's piece of a field is, and its place in that, where it has the numbers from `at + apart` on.
    fn pieces_of_lanes(
        &mut self,
        (rows, piece): (usize, usize),
        (at, apart): (&Op, Op),
        (size, bytes): (usize, usize),
    ) -> Lowered<Op> {
        let steps = (0..).map(|n| 1 << n).take_while(|step| *step <= piece);
        let apart = self.binary(BinOp::Mul, apart, int(size as i32));
        let step = steps.filter(|step| self.is_multiple(&apart.e, *step as i32)).last().unwrap_or(1);
        // What lanes have lies at multiples of `step` in the pieces.
        match at.e {
            Expr::Int(at) if at as usize * size % piece % step + bytes <= step && piece.is_multiple_of(step) => {
                if at as usize * size % piece >= step {
                    return self.illegal("lanes begin in the middle of a piece");
                }
            }
            _ => return self.illegal("what lanes read at once lies in several pieces"),
        }
        let number = self.binary(BinOp::Div, apart.clone(), int(piece as i32));
        let number = self.binary(BinOp::Mul, number, int((rows * piece) as i32));
        let inside = self.binary(BinOp::Rem, apart, int(piece as i32));
        Ok(self.binary(BinOp::Add, number, inside))
    }
}

/// How a number lies in an array that is as wide as a register.
fn in_register(scalar: Scalar) -> Scalar {
    if scalar.range().is_some() { Scalar::I32 } else { Scalar::F32 }
}
