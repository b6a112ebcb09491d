//! Items that the members of a team do together: they share the segments or the terms of a sum, the elements of an argmax or of
//! a map, and the iterations of a parallel axis inside of the item. What is stored outside of such an axis, the first of them
//! stores.
//!
//! All else is computed by every member, so that all have the same values and meet at the same barriers.
use super::axis::give;
use super::build::{float, int};
use super::sum::Fold;
use super::{Env, Lower, Lowered, Op, Val};
use crate::ir::{self, Axis, BinOp, Block, Scalar};
use crate::loop_ir::{Access, Bind, Expr, Mem, Owner, Stmt, Ty, Var};
use std::collections::{HashMap, HashSet};

/// What the members of a team share.
#[derive(Default)]
pub(super) struct Team {
    /// The member's number.
    member: Option<Var>,
    /// Whether each member is at work of its own here.
    apart: bool,
    /// Whether there is anything that they share.
    shares: bool,
    /// Arrays that may be used again: all members are done with them.
    free: Vec<(Var, Scalar, usize)>,
    /// All arrays of the team.
    owned: HashSet<Var>,
    /// What is in the arrays that maps and merges fill.
    filled: HashMap<Var, Filled>,
}

/// What is in an array: so many elements, and whether they are whole registers, with what is behind the last of them.
struct Filled {
    count: Op,
    whole: bool,
}

impl Team {
    /// Whether an array is the team's.
    pub(super) fn owns(&self, array: Var) -> bool {
        self.owned.contains(&array)
    }
}

/// How members take turns in a range.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Turns {
    /// By single elements, which all lanes do alike.
    Single,
    /// By registers; what fills none is left over.
    Registers,
    /// By registers, of which the last may run over the end.
    Overrun,
}

impl Turns {
    /// By registers where lanes can do the range.
    pub(super) fn of(lanes: bool) -> Turns {
        if lanes { Turns::Registers } else { Turns::Single }
    }
}

impl Lower<'_> {
    /// What the members do with an item, given to all of them.
    pub(super) fn team_loop(&mut self, f: impl FnOnce(&mut Self) -> Lowered<()>) -> Lowered<()> {
        let team = self.schedule.team;
        match team {
            0 => return self.illegal("a team has at least one member"),
            1 if self.schedule.stage.is_empty() => return f(self),
            1 => return self.illegal("rows are copied for the members of a team: there is none"),
            _ => {}
        }
        self.each(Bind::Team, "member", (int(0), int(team as i32), 1), |l, member| {
            let Expr::Var(var) = member.e else { unreachable!("a loop gives a variable") };
            l.team.member = Some(var);
            // Members that do products of their own share what they copy, and nothing else.
            l.team.apart = !l.schedule.members.is_empty();
            l.team.shares |= l.team.apart;
            f(l)
        })?;
        if self.team.shares { Ok(()) } else { self.illegal("there is nothing that a team could share") }
    }

    /// The member's number; `None` where all is done by one worker.
    pub(super) fn member(&self) -> Option<Op> {
        self.team.member.filter(|_| !self.team.apart).map(|member| self.read(member))
    }

    /// The member's number, also where each is at work of its own. There is a team.
    pub(super) fn team_member(&self) -> Expr {
        Expr::Var(self.team.member.expect("a team has members"))
    }

    /// An array of the team. [`Lower::release`] gives it back.
    pub(super) fn team_array(&mut self, name: &str, scalar: Scalar, len: usize) -> Var {
        let free = self.team.free.iter().position(|(_, s, l)| (*s, *l) == (scalar, len));
        if let Some(i) = free {
            return self.team.free.swap_remove(i).0;
        }
        self.new_team_array(name, scalar, len)
    }

    /// An array of the team that is used for nothing else.
    pub(super) fn new_team_array(&mut self, name: &str, scalar: Scalar, len: usize) -> Var {
        let var = self.var(name, Ty::F32, false);
        self.arrays.push(Stmt::Array { var, scalar, len, of: Owner::Team });
        self.team.owned.insert(var);
        var
    }

    /// Notes what an array has got: so many elements, with `overrun` up to the end of a register.
    pub(super) fn filled(&mut self, array: Var, count: Op, overrun: bool) {
        let registers = matches!(count.e, Expr::Int(n) if (n as usize).is_multiple_of(self.width()));
        self.team.filled.insert(array, Filled { count, whole: overrun || registers });
    }

    /// How many elements an array has, as far as that is known here.
    pub(super) fn count(&self, array: &Val) -> Option<Op> {
        match array {
            Val::Array(array) => self.team.filled.get(array).map(|filled| filled.count.clone()),
            Val::Left { count, .. } => count.clone(),
            _ => None,
        }
    }

    /// Whether whole registers of an array can be read, also where its elements end inside of one. Of a worker's own array they
    /// always can.
    pub(super) fn has_whole_registers(&self, array: &Val) -> bool {
        match array {
            Val::Array(array) => !self.team.owns(*array) || self.team.filled[array].whole,
            _ => self.schedule.team == 1,
        }
    }

    /// What members write to arrays of the team: before it all are done with what was there, after it all can read what is there.
    pub(super) fn overwrite(&mut self, arrays: &[Var], write: impl FnOnce(&mut Self) -> Lowered<()>) -> Lowered<()> {
        if !self.have_met_since(arrays) {
            self.push(Stmt::Barrier);
        }
        write(self)?;
        self.push(Stmt::Barrier);
        Ok(())
    }

    /// Whether all members have surely met since any of them touched one of these arrays.
    fn have_met_since(&self, arrays: &[Var]) -> bool {
        for block in self.blocks.iter().rev() {
            for s in block.stmts.iter().rev() {
                if matches!(s, Stmt::Barrier | Stmt::Arrive { by: Owner::Team, .. } | Stmt::AwaitArrivals { .. }) {
                    return true;
                }
                if arrays.iter().any(|array| touches(s, *array)) {
                    return false;
                }
            }
            // The end of a loop's body comes before its beginning.
            if block.repeats {
                return false;
            }
        }
        false
    }

    /// All members come here before an array is used again.
    pub(super) fn release(&mut self, arrays: impl IntoIterator<Item = (Var, Scalar, usize)>) {
        self.push(Stmt::Barrier);
        self.team.free.extend(arrays);
    }

    /// Stores that one member does for all.
    pub(super) fn by_one_member(&mut self, stores: impl FnOnce(&mut Self) -> Lowered<()>) -> Lowered<()> {
        let Some(member) = self.member() else { return stores(self) };
        let first = self.binary(BinOp::Eq, member, int(0));
        let (then, ()) = self.inside(stores)?;
        self.push(Stmt::If { cond: first.e, then, other: Vec::new() });
        Ok(())
    }

    /// `n` segments of `size` elements, each by one member. Then all merge all of them, in their order. Where lanes do rows, each
    /// lane has a value.
    pub(super) fn team_segments(
        &mut self,
        (n, size, member): (i32, Op, Op),
        fold: &Fold,
        bounds: (Op, Op),
        envs: &mut [Env],
    ) -> Lowered<Vec<Val>> {
        let len = n as usize * envs.len() * if self.spread { self.width() } else { 1 };
        let slots = self.team_array("segments", Scalar::F32, len);
        let team = self.schedule.team as i32;
        let one = |l: &mut Self, s: Op| {
            let values = l.apart(|l| l.segment(s.clone(), size, fold, bounds, envs))?;
            l.put(values, (slots, n), &s);
            Ok(())
        };
        // Each member has one segment: there is no loop.
        if team == n {
            one(self, member)?
        } else {
            self.each(Bind::Serial, "segment", (member, int(n), team), one)?
        }
        self.push(Stmt::Barrier);
        let mut totals = Vec::new();
        for i in 0..envs.len() as i32 {
            let first = self.slot(slots, int(0), i * n);
            let first = self.load(first);
            let varying = first.varying;
            totals.push(self.register("total", first, varying));
        }
        self.add_up("segment", (slots, n), (int(1), int(n)), &totals)?;
        self.release([(slots, Scalar::F32, len)]);
        Ok(totals.into_iter().map(|total| Val::Op(self.read(total))).collect())
    }

    /// A chain whose terms do not depend on the running value: a round of terms, each by one member, then all add them in order.
    pub(super) fn team_terms(
        &mut self,
        member: Op,
        fold: &Fold,
        term: &Block,
        (lo, hi): (Op, Op),
        envs: &mut [Env],
    ) -> Lowered<Vec<Val>> {
        let team = self.schedule.team as i32;
        let len = self.schedule.team * envs.len() * if self.spread { self.width() } else { 1 };
        let spread = self.spread;
        let totals: Vec<_> = envs.iter().map(|_| self.register("acc", float(0.0), spread)).collect();
        let slots = self.team_array("terms", Scalar::F32, len);
        self.each(Bind::Serial, "round", (lo, hi.clone(), team), |l, first| {
            let own = l.binary(BinOp::Add, first.clone(), member.clone());
            let there = l.binary(BinOp::Lt, own.clone(), hi.clone());
            give(envs, fold.axis.var, Val::Op(own));
            let (then, ()) = l.inside(|l| {
                let values = l.apart(|l| l.block_ops(term, envs))?;
                l.put(values, (slots, team), &member);
                Ok(())
            })?;
            l.push(Stmt::If { cond: there.e, then, other: Vec::new() });
            l.push(Stmt::Barrier);
            let count = l.binary(BinOp::Sub, hi, first);
            let count = l.binary(BinOp::Min, count, int(team));
            l.add_up("term", (slots, team), (int(0), count), &totals)?;
            l.push(Stmt::Barrier);
            Ok(())
        })?;
        self.team.free.push((slots, Scalar::F32, len));
        Ok(totals.into_iter().map(|total| Val::Op(self.read(total))).collect())
    }

    /// A parallel axis inside of an item: the members take turns in it, and each stores what it computes.
    pub(super) fn team_par(&mut self, axis: &Axis, body: &[ir::Stmt], member: Op, envs: &mut [Env]) -> Lowered<()> {
        let bounds = self.bounds(axis, envs)?;
        let turns = Turns::of(self.can_spread(axis, body, None));
        self.shared_out(self.axis_name(axis), member, bounds, turns, |l, base, stride| {
            l.iterations(axis.var, (base, stride), envs, |l, envs| l.stmts(body, envs))
        })
    }

    /// A range in which the members take turns; what is left over, the first does. `f` gets the first index of a turn and how far
    /// apart the lanes are.
    pub(super) fn shared_out(
        &mut self,
        name: &str,
        member: Op,
        (lo, hi): (Op, Op),
        turns: Turns,
        mut f: impl FnMut(&mut Self, Op, i32) -> Lowered<()>,
    ) -> Lowered<()> {
        let Some(end) = self.in_turns(name, member.clone(), (lo, hi.clone()), turns, &mut f)? else { return Ok(()) };
        let first = self.binary(BinOp::Eq, member, int(0));
        let (then, ()) =
            self.inside(|l| l.apart(|l| l.each(Bind::Serial, name, (end, hi, 1), |l, base| f(l, base, 0))))?;
        self.push(Stmt::If { cond: first.e, then, other: Vec::new() });
        Ok(())
    }

    /// The iteration at `base`, or with a stride those from there on, each by a lane.
    pub(super) fn iterations(
        &mut self,
        axis: ir::Var,
        (base, stride): (Op, i32),
        envs: &mut [Env],
        f: impl FnOnce(&mut Self, &mut [Env]) -> Lowered<()>,
    ) -> Lowered<()> {
        give(envs, axis, if stride > 0 { Val::Affine { base, stride } } else { Val::Op(base) });
        let outside = self.spread;
        self.spread |= stride > 0;
        let result = f(self, envs);
        self.spread = outside;
        result
    }

    /// What each member does by itself, and may do in another number of rounds than the others.
    fn apart<T>(&mut self, f: impl FnOnce(&mut Self) -> Lowered<T>) -> Lowered<T> {
        self.team.shares = true;
        let outside = std::mem::replace(&mut self.team.apart, true);
        let result = f(self);
        self.team.apart = outside;
        result
    }

    /// The part of a range that is this member's, and where what is left over begins, unless nothing is.
    pub(super) fn in_turns(
        &mut self,
        name: &str,
        member: Op,
        (lo, hi): (Op, Op),
        turns: Turns,
        mut f: impl FnMut(&mut Self, Op, i32) -> Lowered<()>,
    ) -> Lowered<Option<Op>> {
        let lanes = turns != Turns::Single;
        let width = if lanes { self.width() as i32 } else { 1 };
        let end = if turns == Turns::Registers {
            let len = self.binary(BinOp::Sub, hi.clone(), lo.clone());
            self.whole_registers(&lo, len)
        } else {
            hi.clone()
        };
        let even = matches!((&end.e, &hi.e), (Expr::Int(end), Expr::Int(hi)) if end == hi);
        let first = self.binary(BinOp::Mul, member, int(width));
        let first = self.binary(BinOp::Add, lo, first);
        let step = width * self.schedule.team as i32;
        self.each(Bind::Serial, name, (first, end.clone(), step), |l, base| l.apart(|l| f(l, base, i32::from(lanes))))?;
        Ok((turns == Turns::Registers && !even).then_some(end))
    }

    /// Puts the values of the tile's iterations into slot `at`, for all members; each iteration has `n` slots.
    fn put(&mut self, values: Vec<Op>, (slots, n): (Var, i32), at: &Op) {
        for (i, value) in values.into_iter().enumerate() {
            let to = self.slot(slots, at.clone(), i as i32 * n);
            self.store(to, value);
        }
    }

    /// Adds the slots `lo..hi` of each of the tile's iterations to its total, in their order.
    fn add_up(&mut self, name: &str, (slots, n): (Var, i32), (lo, hi): (Op, Op), totals: &[Var]) -> Lowered<()> {
        self.each(Bind::Serial, name, (lo, hi, 1), |l, s| {
            for (i, total) in totals.iter().enumerate() {
                let slot = l.slot(slots, s.clone(), i as i32 * n);
                let (so_far, value) = (l.read(*total), l.load(slot));
                let sum = l.binary(BinOp::Add, so_far, value);
                l.set(*total, sum);
            }
            Ok(())
        })
    }

    /// Where a value is left; those of an iteration of the tile begin at `first`.
    fn slot(&mut self, slots: Var, at: Op, first: i32) -> Access {
        let index = self.binary(BinOp::Add, at, int(first));
        let (lanes, stride) = if self.spread { (self.width() as i32, 1) } else { (1, 0) };
        let index = self.binary(BinOp::Mul, index, int(lanes));
        self.element(slots, index, stride)
    }
}

/// Whether a statement, or one in it, reads or writes an array of the team.
fn touches(s: &Stmt, array: Var) -> bool {
    let is = |a: &Access| a.mem == Mem::Shared(array);
    let mut found = matches!(s, Stmt::Store { to, .. } | Stmt::Copy { to, .. } if is(to));
    let mut note = |e: &Expr| found |= matches!(e, Expr::Load(a) | Expr::LoadPack(a) if is(a));
    s.exprs().into_iter().for_each(|e| e.visit(&mut note));
    found || s.lists().into_iter().flatten().any(|s| touches(s, array))
}
