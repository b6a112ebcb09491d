//! Rows of buffers that a team copies to its own memory, as soon as it is known which, and reads from there. Where the last extents
//! of a buffer are constants, a row is all of what they span.
use super::build::{int, long};
use super::{Env, Lower, Lowered, Op};
use crate::ir::{BinOp, Expr, Kind, Place, Scalar, walk};
use crate::loop_ir::{Access, Bind, Mem, Stmt, Var};
use std::collections::HashMap;

/// Bytes that a copy can take at once.
const PIECES: [usize; 3] = [16, 8, 4];

/// A buffer whose rows are copied.
#[derive(Clone)]
pub(super) struct Staged {
    buffer: usize,
    /// How many of a place's indices say which row it is in.
    lead: usize,
    /// These indices of each place that is read.
    rows: Vec<Vec<Expr>>,
    /// Bytes of a row at most.
    bytes: usize,
    /// Bytes of a piece: what the rows begin at multiples of, and their length is one of.
    piece: usize,
}

/// The rows that are in the team's memory: by buffer and indices.
pub(super) type Copied = HashMap<(usize, String), Var>;

/// Rows that are being copied.
pub(super) struct Begun {
    rows: Vec<((usize, String), Var, usize)>,
    of: Vec<Staged>,
}

impl Lower<'_> {
    /// The buffers that the schedule says.
    pub(super) fn staged(&self) -> Lowered<Vec<Staged>> {
        let mut names = self.schedule.stage.clone();
        names.sort();
        names.dedup();
        if names.len() < self.schedule.stage.len() {
            return self.illegal("a buffer is named twice");
        }
        self.schedule.stage.iter().map(|name| self.staged_buffer(name)).collect()
    }

    fn staged_buffer(&self, name: &str) -> Lowered<Staged> {
        let Some(buffer) = self.kernel.buffers.iter().position(|b| b.name == name && !b.written) else {
            return self.illegal(format!("there is no buffer `{name}` that is read"));
        };
        let info = &self.kernel.buffers[buffer];
        if self.layouts[buffer].is_some() {
            return self.illegal(format!("rows of `{name}` that lie side by side are not copied one by one"));
        }
        let lead = lead(&info.shape);
        let mut rows = Vec::new();
        self.kernel.visit(&mut |e| match &e.kind {
            Kind::Load(place) if place.buffer == buffer => rows.push(place.index[..lead].to_vec()),
            _ => {}
        });
        if rows.is_empty() {
            return self.illegal(format!("no row of `{name}` is read"));
        }
        let constants =
            info.shape[lead..].iter().map(|extent| if let Kind::Int(n) = extent.kind { n as usize } else { 1 });
        let unit = constants.product::<usize>() * info.elem_bytes;
        let Some(piece) = PIECES.into_iter().find(|piece| unit.is_multiple_of(*piece)) else {
            return self.illegal(format!("an element of `{name}` has {unit} bytes, which are no pieces of 4"));
        };
        let mut all = info.shape[lead..].iter().map(|extent| self.most_of(extent));
        let most = all.try_fold(info.elem_bytes, |bytes, extent| bytes.checked_mul(extent?));
        // What does not fit is for the printer to say; here it must be a length at all.
        let Some(bytes) = most.filter(|bytes| *bytes <= i32::MAX as usize) else {
            return self.illegal(format!("`most` does not bound the length of the rows of `{name}`"));
        };
        Ok(Staged { buffer, lead, rows, bytes, piece })
    }

    /// The largest value of a size under the schedule.
    pub(super) fn most_of(&self, e: &Expr) -> Option<usize> {
        match &e.kind {
            Kind::Int(v) => usize::try_from(*v).ok(),
            Kind::Var(v) => {
                let most = self.schedule.most.get(&self.kernel.vars[v.0 as usize].name)?;
                usize::try_from(*most).ok()
            }
            Kind::Binary(BinOp::Add, a, b) => self.most_of(a)?.checked_add(self.most_of(b)?),
            Kind::Binary(BinOp::Mul, a, b) => self.most_of(a)?.checked_mul(self.most_of(b)?),
            _ => None,
        }
    }

    /// `f` with those rows in the team's memory that are known from here on.
    pub(super) fn with_rows(
        &mut self,
        envs: &mut Vec<Env>,
        f: impl FnOnce(&mut Self, &mut Vec<Env>) -> Lowered<()>,
    ) -> Lowered<()> {
        let begun = self.begin_rows(envs)?;
        let there = self.await_rows(begun);
        f(self, envs)?;
        self.end_rows(there);
        Ok(())
    }

    /// Begins to copy those rows that are known from here on. Nothing may read them before [`Lower::await_rows`].
    pub(super) fn begin_rows(&mut self, envs: &mut [Env]) -> Lowered<Begun> {
        let known =
            |s: &Staged| s.rows.iter().all(|row| walk::mentioned(&[], row).iter().all(|v| envs[0].contains_key(v)));
        let (now, later) = std::mem::take(&mut self.stage).into_iter().partition(known);
        let now: Vec<Staged> = now;
        self.stage = later;
        let mut rows = Vec::new();
        for staged in &now {
            for env in envs.iter_mut() {
                for row in &staged.rows {
                    self.begin_row(staged, row, env, &mut rows)?;
                }
            }
        }
        let begun = Begun { rows, of: now };
        // Until they are there, they are not known to be.
        self.stage.extend(begun.of.iter().cloned());
        Ok(begun)
    }

    /// All members wait for rows that are being copied.
    pub(super) fn await_rows(&mut self, begun: Begun) -> Begun {
        self.stage.retain(|staged| !begun.of.iter().any(|of| of.buffer == staged.buffer));
        if !begun.rows.is_empty() {
            self.push(Stmt::Await);
            self.push(Stmt::Barrier);
        }
        self.copied.extend(begun.rows.iter().map(|(key, array, _)| (key.clone(), *array)));
        begun
    }

    /// Gives back the memory of rows.
    pub(super) fn end_rows(&mut self, there: Begun) {
        if there.of.is_empty() {
            return;
        }
        self.copied.retain(|key, _| !there.rows.iter().any(|(of, ..)| of == key));
        self.release(there.rows.into_iter().map(|(_, array, bytes)| (array, Scalar::U8, bytes)));
        self.stage.extend(there.of);
    }

    /// Begins to copy a row, unless that has been done.
    fn begin_row(
        &mut self,
        staged: &Staged,
        row: &[Expr],
        env: &mut Env,
        begun: &mut Vec<((usize, String), Var, usize)>,
    ) -> Lowered<()> {
        let index = row.iter().map(|e| self.uniform(e, env)).collect::<Lowered<Vec<Op>>>()?;
        let key = (staged.buffer, name(&index));
        if self.copied.contains_key(&key) || begun.iter().any(|(other, ..)| *other == key) {
            return Ok(());
        }
        let array = self.team_array("row", Scalar::U8, staged.bytes);
        self.copy_row(staged, index, array, env)?;
        begun.push((key, array, staged.bytes));
        Ok(())
    }

    /// Pieces by all lanes of all members in turn; those that do not fill the lanes by the first lanes.
    fn copy_row(&mut self, staged: &Staged, index: Vec<Op>, array: Var, env: &mut Env) -> Lowered<()> {
        let kernel = self.kernel;
        let (buffer, piece) = (&kernel.buffers[staged.buffer], staged.piece as i64);
        let mut start = long(0);
        for (d, extent) in buffer.shape.iter().enumerate().skip(1) {
            if let Some(index) = index.get(d - 1) {
                let index = self.widen(index.clone());
                start = self.long(BinOp::Add, start, index);
            }
            let extent = self.uniform(extent, env)?;
            let extent = self.widen(extent);
            start = self.long(BinOp::Mul, start, extent);
        }
        let start = self.long(BinOp::Mul, start, long(buffer.elem_bytes as i64));
        let pieces = match &buffer.shape[staged.lead..] {
            [len] if buffer.elem_bytes.is_multiple_of(staged.piece) => {
                let len = self.uniform(len, env)?;
                self.binary(BinOp::Mul, len, int((buffer.elem_bytes / staged.piece) as i32))
            }
            _ => int((staged.bytes / staged.piece) as i32),
        };
        let (member, team) = (self.member().expect("rows are copied by a team"), self.schedule.team as i32);
        let width = self.width() as i32;
        let begin = |l: &mut Self, from: Op, to: Op, width: i32| {
            l.each(Bind::Serial, "piece", (from, to, team), |l, number| {
                let number = l.widen(number);
                let to = l.long(BinOp::Mul, number, long(width as i64 * piece));
                let from = l.long(BinOp::Add, start.clone(), to.clone());
                let lane_stride = if width > 1 { piece as i32 } else { 0 };
                let place = |mem, addr: Op| Access {
                    mem,
                    addr: Box::new(addr.e),
                    lane_stride,
                    offset: None,
                    scalar: Scalar::U8,
                };
                let (to, from) = (place(Mem::Shared(array), to), place(Mem::Buffer(staged.buffer), from));
                l.push(Stmt::Copy { to, from, len: staged.piece, only: None });
                Ok(())
            })
        };
        let whole = self.binary(BinOp::Div, pieces.clone(), int(width));
        begin(self, member.clone(), whole.clone(), width)?;
        if width > 1 {
            let done = self.binary(BinOp::Mul, whole, int(width));
            let from = self.binary(BinOp::Add, done, member);
            begin(self, from, pieces, 1)?;
        }
        Ok(())
    }

    /// The team's copy of the row that a place is in, where it has one, and how many indices say which row that is. An error where
    /// it should have one.
    pub(super) fn row_of(&mut self, place: &Place, env: &mut Env) -> Lowered<Option<(Var, usize)>> {
        let name_of = |l: &Self| l.kernel.buffers[place.buffer].name.clone();
        if self.stage.iter().any(|staged| staged.buffer == place.buffer) {
            return self.illegal(format!("which rows of `{}` are read is known too late", name_of(self)));
        }
        if !self.copied.keys().any(|(buffer, _)| *buffer == place.buffer) {
            return Ok(None);
        }
        let lead = lead(&self.kernel.buffers[place.buffer].shape);
        let index = place.index[..lead].iter().map(|e| self.uniform(e, env)).collect::<Lowered<Vec<Op>>>()?;
        match self.copied.get(&(place.buffer, name(&index))) {
            Some(array) => Ok(Some((*array, lead))),
            None => self.illegal(format!("a row of `{}` is read that was not copied", name_of(self))),
        }
    }
}

/// How many indices say which row a place is in: all but the last, or all but those of the constant extents at the end.
fn lead(shape: &[Expr]) -> usize {
    let constant = |extent: &&Expr| matches!(extent.kind, Kind::Int(_));
    shape.len() - shape.iter().rev().take_while(constant).count().max(1)
}

fn name(index: &[Op]) -> String {
    format!("{index:?}")
}
