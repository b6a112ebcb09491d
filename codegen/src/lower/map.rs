//! Maps: arrays, filled by lanes or one element at a time; where a team does the item, by its members in turns.
use super::build::int;
use super::team::Turns;
use super::{Env, Lower, Lowered, Op, Val};
use crate::ir::{Axis, Block, Scalar};
use crate::loop_ir::{self, Access, Bind};

impl Lower<'_> {
    pub(super) fn map(&mut self, axis: &Axis, body: &Block, cap: usize, envs: &mut [Env]) -> Lowered<Vec<Val>> {
        if self.spread {
            return self.illegal("a map inside lanes");
        }
        let (lo, hi) = self.bounds(axis, envs)?;
        let len = cap.next_multiple_of(self.width());
        let arrays: Vec<_> = envs.iter().map(|_| self.shared_array("map", len)).collect();
        let fill = |l: &mut Self, envs: &mut [Env]| {
            let values = l.block(body, envs)?;
            for ((array, value), env) in arrays.iter().zip(values).zip(envs.iter()) {
                let (index, stride) = match env[&axis.var].clone() {
                    Val::Affine { base, stride } => (base, stride),
                    Val::Op(index) => (index, 0),
                    _ => unreachable!("an index is a number"),
                };
                let to = l.element(*array, index, stride);
                let value = l.op(value);
                l.store(to, value);
            }
            Ok(())
        };
        let lanes = self.can_spread(axis, &body.stmts, Some(&body.value));
        let overrun = lanes && self.can_overrun(axis, body, cap, envs);
        match self.member() {
            Some(member) => {
                let turns = if overrun { Turns::Overrun } else { Turns::of(lanes) };
                let name = self.axis_name(axis);
                self.overwrite(&arrays, |l| {
                    l.shared_out(name, member, (lo, hi.clone()), turns, |l, base, stride| {
                        l.iterations(axis.var, (base, stride), envs, fill)
                    })
                })?;
            }
            None if lanes => self.spread(axis.var, (lo, hi.clone()), envs, overrun, fill)?,
            None => self.serial(axis.var, (lo, hi.clone()), envs, fill)?,
        }
        arrays.iter().for_each(|array| self.filled(*array, hi.clone(), overrun));
        Ok(arrays.into_iter().map(Val::Array).collect())
    }

    pub(super) fn array_len(&self, array: loop_ir::Var) -> usize {
        let declared = self.arrays.iter().find_map(|s| match s {
            loop_ir::Stmt::Array { var, len, .. } if *var == array => Some(*len),
            _ => None,
        });
        declared.expect("arrays are declared when they are made")
    }

    /// An array that all who do the item fill together: of the team, where there is one, else of the worker.
    pub(super) fn shared_array(&mut self, name: &str, len: usize) -> loop_ir::Var {
        match self.member() {
            Some(_) => self.new_team_array(name, Scalar::F32, len),
            None => self.array(name, Scalar::F32, len),
        }
    }

    /// The element of an array, wherever it is, at `index` (and at the next ones in the other lanes, with `stride` 1).
    pub(super) fn element_of(&mut self, array: &Val, index: Op, stride: i32) -> Access {
        match array {
            Val::Array(array) => self.element(*array, index, stride),
            Val::Left { base, at, .. } => self.scratch(base, *at, index, stride),
            _ => unreachable!("arrays are bound to arrays"),
        }
    }

    /// A copy of an array, under another name.
    pub(super) fn copied_array(&mut self, name: &str, from: &Val) -> Lowered<loop_ir::Var> {
        let len = match from {
            Val::Array(array) => self.array_len(*array),
            Val::Left { len, .. } => *len,
            _ => unreachable!("arrays are bound to arrays"),
        };
        let to = self.shared_array(name, len);
        let count = match self.count(from) {
            Some(count) => count,
            None if self.schedule.team == 1 => int(len as i32),
            None => return self.illegal("how long an array of a part is, only the part knows"),
        };
        self.filled(to, count, false);
        self.copy(from, to)?;
        Ok(to)
    }

    /// Copies all elements to an array that has as many.
    pub(super) fn copy(&mut self, from: &Val, to: loop_ir::Var) -> Lowered<()> {
        let one = |l: &mut Self, i: Op, stride: i32| {
            let source = l.element_of(from, i.clone(), stride);
            let value = l.load(source);
            let to = l.element(to, i, stride);
            l.store(to, value);
        };
        match self.member() {
            Some(_) => self.overwrite(&[to], |l| l.each_element(to, one)),
            None => self.each_element(to, one),
        }
    }

    /// All elements of an array, a register at a time: `f` gets the first one's index and the lanes' stride. Where a team does the
    /// item, its members take turns. Without teams, what is behind the last element up to a whole register counts, too.
    pub(super) fn each_element(&mut self, array: loop_ir::Var, f: impl Fn(&mut Self, Op, i32)) -> Lowered<()> {
        let lanes = self.lane.is_some();
        let each = |l: &mut Self, i: Op, stride: i32| {
            f(l, i, stride);
            Ok(())
        };
        let count = match self.schedule.team {
            1 => int(self.array_len(array) as i32),
            _ => self.count(&Val::Array(array)).expect("arrays are filled when they are made"),
        };
        if let Some(member) = self.member() {
            return self.shared_out("i", member, (int(0), count), Turns::of(lanes), each);
        }
        if !lanes {
            return self.each(Bind::Serial, "i", (int(0), count, 1), |l, i| each(l, i, 0));
        }
        let end = self.whole_registers(&int(0), count.clone());
        self.each(Bind::Serial, "i", (int(0), end.clone(), self.width() as i32), |l, i| each(l, i, 1))?;
        if self.schedule.team > 1 {
            self.each(Bind::Serial, "i", (end, count, 1), |l, i| each(l, i, 0))?;
        }
        Ok(())
    }
}
