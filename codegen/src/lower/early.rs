//! Weights that are asked for early: those of each worker's first item, before its launch waits for the one before it. They are
//! constant, so the memory need not be idle while activations are still being computed.
use super::build::{int, long};
use super::{Lower, Lowered, Op};
use crate::ir::{Axis, BinOp, Kind, Scalar};
use crate::loop_ir::{Access, Bind, Expr, Mem, Stmt};

impl<'a> Lower<'a> {
    /// Asks for the rows of weights that the lanes do in the first item, where the schedule says so.
    pub(super) fn early(&mut self, split: &[&'a Axis], work: &Expr) -> Lowered<()> {
        if !self.schedule.early {
            return Ok(());
        }
        let Some(axis) = split.iter().find(|axis| self.has_rows(axis)) else {
            return self.illegal("weights are asked for early where lanes do their rows");
        };
        if self.schedule.tile.contains_key(self.axis_name(axis)) {
            return self.illegal("weights are asked for early where an item has one register of rows");
        }
        let weights = self.rows_of(axis);
        if weights.is_empty() {
            return self.illegal("there are no weights with their rows side by side to be asked for early");
        }
        let work = Op { e: work.clone(), ..int(0) };
        let place = split.iter().position(|s| s.var == axis.var).expect("found above");
        self.each(Bind::First, "first", (int(0), work, 1), |l, item| {
            let tile = l.numbers(split, item)?.swap_remove(place).given.expect("a split axis has a number");
            let ask = |l: &mut Self, member: Op| {
                l.lane_loop(|l| weights.iter().try_for_each(|buffer| l.ask(*buffer, &tile, &member)))
            };
            match l.schedule.team as i32 {
                1 => ask(l, int(0)),
                team => l.each(Bind::Team, "member", (int(0), int(team), 1), ask),
            }
        })?;
        self.lane = None;
        Ok(())
    }

    /// The buffers with a layout whose rows are this axis.
    fn rows_of(&self, axis: &Axis) -> Vec<usize> {
        let mut found = Vec::new();
        self.kernel.places(&mut |place| {
            let own = matches!(&place.index[..], [row, _] if matches!(row.kind, Kind::Var(v) if v == axis.var));
            if own && self.layouts[place.buffer].is_some() && !found.contains(&place.buffer) {
                found.push(place.buffer);
            }
        });
        found
    }

    /// Asks for a tile of rows: members take its columns of blocks in turns.
    fn ask(&mut self, buffer: usize, tile: &Op, member: &Op) -> Lowered<()> {
        let layout = self.layouts[buffer].as_ref().expect("it has one");
        let bytes = layout.block_bytes * layout.rows;
        let columns = self.uniform(&self.kernel.buffers[buffer].shape[1], &mut self.parameters())?;
        let (wide, tile) = (self.widen(columns.clone()), self.widen(tile.clone()));
        let first = self.long(BinOp::Mul, tile, wide);
        self.each(Bind::Serial, "column", (member.clone(), columns, self.schedule.team as i32), |l, column| {
            let column = l.widen(column);
            let column = l.long(BinOp::Add, first, column);
            let addr = l.long(BinOp::Mul, column, long(bytes as i64));
            let mem = Mem::Buffer(buffer);
            let from = Access { mem, addr: Box::new(addr.e), lane_stride: 0, offset: None, scalar: Scalar::U8 };
            l.push(Stmt::Prefetch { from, bytes });
            Ok(())
        })
    }
}
