//! Rows of buffers that a team copies to its own memory, as soon as it is known which, and reads from there.
use super::build::{int, long};
use super::{Env, Lower, Lowered, Op};
use crate::ir::{BinOp, Expr, Kind, Place, Scalar, walk};
use crate::loop_ir::{Access, Bind, Mem, Stmt, Var};
use std::collections::HashMap;

/// Bytes that a copy can take at once.
const PIECES: [usize; 3] = [16, 8, 4];

/// A buffer whose rows are copied.
pub(super) struct Staged {
    buffer: usize,
    /// All indices but the last of each place that is read.
    rows: Vec<Vec<Expr>>,
    /// Bytes of a row at most.
    bytes: usize,
    /// Bytes of a piece: what the rows begin at multiples of, and their length is one of.
    piece: usize,
}

/// The rows that are in the team's memory: by buffer and indices.
pub(super) type Copied = HashMap<(usize, String), Var>;

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
        let last = info.shape.len() - 1;
        let mut rows = Vec::new();
        self.kernel.visit(&mut |e| match &e.kind {
            Kind::Load(place) if place.buffer == buffer => rows.push(place.index[..last].to_vec()),
            _ => {}
        });
        if rows.is_empty() {
            return self.illegal(format!("no row of `{name}` is read"));
        }
        let Some(piece) = PIECES.into_iter().find(|piece| info.elem_bytes.is_multiple_of(*piece)) else {
            let reason = format!("an element of `{name}` has {} bytes, which are no pieces of 4", info.elem_bytes);
            return self.illegal(reason);
        };
        let most = self.most_of(&info.shape[last]).and_then(|most| most.checked_mul(info.elem_bytes));
        // What does not fit is for the printer to say; here it must be a length at all.
        let Some(bytes) = most.filter(|bytes| *bytes <= i32::MAX as usize) else {
            return self.illegal(format!("`most` does not bound the length of the rows of `{name}`"));
        };
        Ok(Staged { buffer, rows, bytes, piece })
    }

    /// The largest value of a size under the schedule.
    fn most_of(&self, e: &Expr) -> Option<usize> {
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
        let known =
            |s: &Staged| s.rows.iter().all(|row| walk::mentioned(&[], row).iter().all(|v| envs[0].contains_key(v)));
        let (now, later) = std::mem::take(&mut self.stage).into_iter().partition(known);
        let now: Vec<Staged> = now;
        self.stage = later;
        if now.is_empty() {
            return f(self, envs);
        }
        let mut copied = Vec::new();
        for staged in &now {
            for env in envs.iter_mut() {
                for row in &staged.rows {
                    copied.extend(self.begin_row(staged, row, env)?);
                }
            }
        }
        self.push(Stmt::Await);
        self.push(Stmt::Barrier);
        f(self, envs)?;
        self.copied.retain(|_, array| !copied.iter().any(|(of, ..)| of == array));
        self.release(copied);
        self.stage.extend(now);
        Ok(())
    }

    /// Begins to copy a row, unless that has been done; the array that it is copied to.
    fn begin_row(&mut self, staged: &Staged, row: &[Expr], env: &mut Env) -> Lowered<Option<(Var, Scalar, usize)>> {
        let index = row.iter().map(|e| self.uniform(e, env)).collect::<Lowered<Vec<Op>>>()?;
        let key = (staged.buffer, name(&index));
        if self.copied.contains_key(&key) {
            return Ok(None);
        }
        let array = self.team_array("row", Scalar::U8, staged.bytes);
        self.copy_row(staged, index, array, env)?;
        self.copied.insert(key, array);
        Ok(Some((array, Scalar::U8, staged.bytes)))
    }

    /// Pieces by all lanes of all members in turn; those that do not fill the lanes by the first lanes.
    fn copy_row(&mut self, staged: &Staged, index: Vec<Op>, array: Var, env: &mut Env) -> Lowered<()> {
        let kernel = self.kernel;
        let (buffer, piece) = (&kernel.buffers[staged.buffer], staged.piece as i64);
        let mut start = long(0);
        for (extent, index) in buffer.shape[1..].iter().zip(index) {
            let (extent, index) = (self.uniform(extent, env)?, self.widen(index));
            let extent = self.widen(extent);
            start = self.long(BinOp::Add, start, index);
            start = self.long(BinOp::Mul, start, extent);
        }
        let start = self.long(BinOp::Mul, start, long(buffer.elem_bytes as i64));
        let len = self.uniform(&buffer.shape[buffer.shape.len() - 1], env)?;
        let pieces = self.binary(BinOp::Mul, len, int((buffer.elem_bytes / staged.piece) as i32));
        let (member, team) = (self.member().expect("rows are copied by a team"), self.schedule.team as i32);
        let width = self.width() as i32;
        let begin = |l: &mut Self, from: Op, to: Op, width: i32| {
            l.each(Bind::Serial, "piece", (from, to, team), |l, number| {
                let number = l.widen(number);
                let to = l.long(BinOp::Mul, number, long(width as i64 * piece));
                let from = l.long(BinOp::Add, start.clone(), to.clone());
                let lane_stride = if width > 1 { piece as i32 } else { 0 };
                let place = |mem, addr: Op| Access { mem, addr: Box::new(addr.e), lane_stride, scalar: Scalar::U8 };
                let (to, from) = (place(Mem::Shared(array), to), place(Mem::Buffer(staged.buffer), from));
                l.push(Stmt::Copy { to, from, len: staged.piece });
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

    /// The team's copy of the row that a place is in, where it has one. An error where it should have.
    pub(super) fn row_of(&mut self, place: &Place, env: &mut Env) -> Lowered<Option<Var>> {
        let name_of = |l: &Self| l.kernel.buffers[place.buffer].name.clone();
        if self.stage.iter().any(|staged| staged.buffer == place.buffer) {
            return self.illegal(format!("which rows of `{}` are read is known too late", name_of(self)));
        }
        if !self.copied.keys().any(|(buffer, _)| *buffer == place.buffer) {
            return Ok(None);
        }
        let lead = &place.index[..place.index.len() - 1];
        let index = lead.iter().map(|e| self.uniform(e, env)).collect::<Lowered<Vec<Op>>>()?;
        match self.copied.get(&(place.buffer, name(&index))) {
            Some(array) => Ok(Some(*array)),
            None => self.illegal(format!("a row of `{}` is read that was not copied", name_of(self))),
        }
    }
}

fn name(index: &[Op]) -> String {
    format!("{index:?}")
}
