//! A merge whose parts workers or teams share: each computes one and leaves it in scratch memory, and the last of them to arrive
//! merges all, in the kernel's order.
use super::axis::give;
use super::build::{int, long};
use super::{Env, Lower, Lowered, Op, Val};
use crate::ir::{self, Axis, BinOp, Kind, MergeStep, Scalar, Stmt, Var, walk};
use crate::loop_ir::{Access, Expr, Mem, Owner, Scratch, Stmt as Out, Ty};
use std::collections::{HashMap, HashSet};

/// A merge that is spread over workers.
pub(super) struct Parts<'k> {
    pub axis: &'k Axis,
    /// The most parts that an iteration can have, over the parameters.
    pub most: Expr,
    /// The number of tiles of iterations, over the parameters.
    pub tiles: Expr,
    before: &'k [Stmt],
    part: &'k [Stmt],
    pub state: &'k [(Var, ir::Expr)],
    pub next: &'k MergeStep,
    after: &'k [Stmt],
}

/// What comes before a merge, by what needs it.
#[derive(Default)]
struct Before<'k> {
    /// Its bounds,
    bounds: Vec<&'k Stmt>,
    /// the parts and the merging both,
    both: Vec<&'k Stmt>,
    /// the parts alone,
    parts: Vec<&'k Stmt>,
    /// or the merging alone and what comes after it.
    merging: Vec<&'k Stmt>,
}

impl<'k> Parts<'k> {
    fn before(&self) -> Before<'k> {
        let mut bounds = walk::mentioned(&[], [&self.axis.lo, &self.axis.hi]);
        let mut parts = walk::mentioned(self.part, []);
        let inits = self.state.iter().map(|(_, init)| init);
        let mut merging = walk::mentioned(&self.next.stmts, self.next.values.iter().chain(inits));
        merging.extend(walk::mentioned(self.after, []));
        let mut before = Before::default();
        for s in self.before.iter().rev() {
            let own = walk::mentioned(std::slice::from_ref(s), []);
            let needed = |by: &mut HashSet<Var>| {
                let needed = made(s).iter().any(|var| by.contains(var));
                by.extend(own.iter().filter(|_| needed));
                needed
            };
            let group = match (needed(&mut bounds), needed(&mut parts), needed(&mut merging)) {
                (true, ..) => &mut before.bounds,
                (_, true, true) => &mut before.both,
                (_, true, _) => &mut before.parts,
                _ => &mut before.merging,
            };
            group.insert(0, s);
        }
        before
    }
}

/// A work item that is a part.
pub(super) struct Item {
    /// Its number among all parts,
    pub item: Op,
    /// that of the tile of iterations whose part it is,
    pub number: Op,
    /// and that of the part among those of the tile.
    pub index: Op,
    /// How many items merge the parts of this tile, where these are items of their own.
    pub mergers: Option<Op>,
}

/// What the parts of a tile have left: they are neighbours in scratch memory.
pub(super) struct Left<'x> {
    /// The number of the tile.
    number: &'x Op,
    /// Bytes in a part's memory before what is merged.
    begin: Op,
    /// For each iteration that is merged.
    pub kept: &'x [Vec<Kept>],
}

/// A value of a part that merging needs, with its place in the part's scratch memory in floats.
pub(super) struct Kept {
    pub var: Var,
    pub at: usize,
    /// Floats, and whether they are an array.
    len: usize,
    pub array: bool,
    /// The number of an array's elements, where it is known here.
    count: Option<Op>,
}

impl<'a> Lower<'a> {
    /// The merge whose parts the schedule shares, in the body of the outer axes.
    pub(super) fn parts(&self, outer: &[&'a Axis], tiles: &Expr, body: &'a [Stmt]) -> Lowered<Option<Parts<'a>>> {
        let lanes = self.schedule.parts.is_some() && self.schedule.team > 1 && self.width() > 1;
        if self.schedule.factors && !lanes {
            return self.illegal("only the lanes of a team that shares the parts of a merge compute factors of it");
        }
        if self.schedule.merge_items && (self.schedule.parts.is_none() || self.schedule.team < 2) {
            return self.illegal("only teams merge parts in items of their own");
        }
        let Some(name) = &self.schedule.parts else { return Ok(None) };
        let found = body.iter().enumerate().find_map(|(i, s)| match s {
            Stmt::Merge { axis, part, state, next } if self.kernel.vars[axis.var.0 as usize].name == *name => {
                Some((i, axis, part, state, next))
            }
            _ => None,
        });
        let Some((i, axis, part, state, next)) = found else {
            return self.illegal(format!("there is no merge over `{name}` right inside of the outer axes"));
        };
        if body[..i].iter().any(stores) {
            return self
                .illegal(format!("what is stored before the merge over `{name}` would be stored by all workers"));
        }
        let mut known: HashMap<Var, Bound> = HashMap::new();
        known.extend(outer.iter().map(|axis| (axis.var, Bound::Below(&axis.hi))));
        known.extend(body[..i].iter().filter_map(|s| match s {
            Stmt::Let { var, value } => Some((*var, Bound::Is(value))),
            _ => None,
        }));
        let most = match axis.lo.kind {
            Kind::Int(0) => self.most(&axis.hi, &known),
            _ => None,
        };
        let Some(most) = most else {
            return self.illegal(format!("the most iterations of `{name}` are no size known at launch"));
        };
        // An iteration without parts has an item, too: someone must merge nothing and go on.
        let most = Expr::Binary(BinOp::Max, Box::new(most), Box::new(Expr::Int(1)));
        let tiles = tiles.clone();
        Ok(Some(Parts { axis, most, tiles, before: &body[..i], part, state, next, after: &body[i + 1..] }))
    }

    /// One part of the iterations of a tile; `number` is the tile's, `item` the part's among all. The last to arrive merges all parts,
    /// unless that is an item of its own. What the parts leave.
    pub(super) fn part(&mut self, p: &Parts, of: Item, envs: &mut [Env]) -> Lowered<Vec<Vec<Kept>>> {
        let before = p.before();
        let Item { item, number, index, mergers } = of;
        self.each_of(&before.bounds, envs)?;
        let (lo, hi) = self.bounds(p.axis, envs)?;
        // An iteration without parts is merged by whoever would have done its first.
        let count = self.binary(BinOp::Max, hi.clone(), int(1));
        let mine = self.binary(BinOp::Lt, index.clone(), count.clone());
        let (then, kept) = self.inside(|l| {
            l.each_of(&before.both, envs)?;
            let exists = l.binary(BinOp::Lt, index.clone(), hi.clone());
            let (leave, kept) = l.inside(|l| {
                give(envs, p.axis.var, Val::Op(index));
                let begun = l.begin_rows(envs)?;
                l.each_of(&before.parts, envs)?;
                let there = l.await_rows(begun);
                l.stmts(p.part, envs)?;
                let kept = l.leave(p, &item, envs)?;
                l.end_rows(there);
                Ok(kept)
            })?;
            l.push(Out::If { cond: exists.e, then: leave, other: Vec::new() });
            let last = l.var("last", Ty::Bool, false);
            let by = if l.member().is_some() { Owner::Team } else { Owner::Worker };
            let arrivals = mergers.clone().map_or(count.clone(), |n| l.binary(BinOp::Add, count, n));
            l.push(Out::Arrive { last, counter: number.e.clone(), of: arrivals.e, by });
            if mergers.is_none() {
                let (merge, ()) = l.inside(|l| {
                    l.each_of(&before.merging, envs)?;
                    l.merge_all(p, &Left { number: &number, begin: long(0), kept: &kept }, (lo, hi), envs)?;
                    l.stmts(p.after, envs)
                })?;
                let last = l.read(last);
                l.push(Out::If { cond: last.e, then: merge, other: Vec::new() });
            }
            Ok(kept)
        })?;
        self.push(Out::If { cond: mine.e, then, other: Vec::new() });
        Ok(kept)
    }

    /// Merges the parts of iteration `place` of a tile, when all are there. `left` is what the parts of the tile leave for each.
    pub(super) fn merge_item(
        &mut self,
        p: &Parts,
        (number, place, mergers): (Op, Op, Op),
        left: &[Vec<Kept>],
        env: &mut Env,
    ) -> Lowered<()> {
        let (before, envs) = (p.before(), std::slice::from_mut(env));
        self.each_of(&before.bounds, envs)?;
        let (lo, hi) = self.bounds(p.axis, envs)?;
        let count = self.binary(BinOp::Max, hi.clone(), int(1));
        let of = self.binary(BinOp::Add, count.clone(), mergers);
        self.push(Out::AwaitArrivals { counter: number.e.clone(), arrivals: count.e, of: of.e });
        self.each_of(&before.both, envs)?;
        self.each_of(&before.merging, envs)?;
        let floats = left[0].iter().map(|k| k.len).sum::<usize>();
        let begin = self.widen(place);
        let begin = self.long(BinOp::Mul, begin, long(4 * floats as i64));
        self.merge_all(p, &Left { number: &number, begin, kept: &left[..1] }, (lo, hi), envs)?;
        self.stmts(p.after, envs)
    }

    /// Statements that are not neighbours in the source.
    pub(super) fn each_of(&mut self, list: &[&Stmt], envs: &mut [Env]) -> Lowered<()> {
        list.iter().try_for_each(|s| self.stmts(std::slice::from_ref(*s), envs))
    }

    /// Writes what merging needs of a part to scratch memory, for each iteration of the tile.
    fn leave(&mut self, p: &Parts, item: &Op, envs: &[Env]) -> Lowered<Vec<Vec<Kept>>> {
        let used = walk::mentioned(&p.next.stmts, &p.next.values);
        let vars: Vec<Var> = p.part.iter().flat_map(made).filter(|var| used.contains(var)).collect();
        let mut floats = 0;
        let mut kept = Vec::new();
        for env in envs {
            kept.push(vars.iter().map(|var| self.keep(*var, &env[var], &mut floats)).collect::<Lowered<Vec<_>>>()?);
        }
        // Merging may need nothing of a part but that it was there.
        self.scratch = Some(Scratch { item_bytes: 4 * floats.max(1), counters: p.tiles.clone() });
        let base = self.scratch_base(item);
        for (env, kept) in envs.iter().zip(&kept) {
            kept.iter().try_for_each(|k| self.leave_value(env[&k.var].clone(), k.at, &base))?;
        }
        Ok(kept)
    }

    /// A place for a value, behind what has one already.
    fn keep(&self, var: Var, value: &Val, floats: &mut usize) -> Lowered<Kept> {
        let (len, array) = match value {
            Val::Array(array) => (self.array_len(*array), true),
            _ if self.kernel.vars[var.0 as usize].ty == ir::Ty::F32 => (self.width(), false),
            _ => return self.illegal("a part that is spread over workers is made of floats"),
        };
        let count = self.count(value).filter(|count| matches!(count.e, Expr::Int(_)));
        let at = *floats;
        *floats += len;
        Ok(Kept { var, at, len, array, count })
    }

    fn leave_value(&mut self, value: Val, at: usize, base: &Op) -> Lowered<()> {
        match value {
            Val::Array(from) => self.each_element(from, |l, i, stride| {
                let source = l.element(from, i.clone(), stride);
                let value = l.load(source);
                let to = l.scratch(base, at, i, stride);
                l.store(to, value);
            }),
            value => {
                let value = self.op(value);
                let to = self.scratch(base, at, int(0), 0);
                self.by_one_member(|l| {
                    l.store(to, value);
                    Ok(())
                })
            }
        }
    }

    fn merge_all(&mut self, p: &Parts, left: &Left, bounds: (Op, Op), envs: &mut [Env]) -> Lowered<()> {
        let most = self.emit(p.most.clone(), Ty::I32, false);
        let first = self.binary(BinOp::Mul, left.number.clone(), most);
        if self.schedule.factors {
            let Some(factors) = self.merge_factors(p, &left.kept[0]) else {
                let axis = self.axis_name(p.axis);
                return self.illegal(format!("nothing of the merge over `{axis}` depends on extremes alone"));
            };
            return self.merge_by_factors((p, &factors), (left, first), bounds, envs);
        }
        self.merge_with(p.axis, bounds, (p.state, p.next), envs, |l, envs| {
            let Val::Op(index) = envs[0][&p.axis.var].clone() else { unreachable!("a serial loop gives an index") };
            let item = l.binary(BinOp::Add, first, index);
            l.give_left(left, &item, envs, |_| true);
            Ok(())
        })
    }

    /// Gives what an item has left, or some of it.
    pub(super) fn give_left(&mut self, left: &Left, item: &Op, envs: &mut [Env], which: fn(&Kept) -> bool) {
        let base = self.left_base(left, item);
        for (env, kept) in envs.iter_mut().zip(left.kept) {
            for k in kept.iter().filter(|k| which(k)) {
                let value = if k.array {
                    Val::Left { base: base.clone(), at: k.at, len: k.len, count: k.count.clone() }
                } else {
                    let from = self.scratch(&base, k.at, int(0), 0);
                    Val::Op(self.load(from))
                };
                env.insert(k.var, value);
            }
        }
    }

    /// The first byte of what an item has left for what is merged.
    pub(super) fn left_base(&mut self, left: &Left, item: &Op) -> Op {
        let base = self.scratch_base(item);
        self.long(BinOp::Add, base, left.begin.clone())
    }

    /// The first byte of an item's scratch memory.
    fn scratch_base(&mut self, item: &Op) -> Op {
        let bytes = self.scratch.as_ref().map_or(0, |scratch| scratch.item_bytes);
        let wide = self.widen(item.clone());
        self.long(BinOp::Mul, wide, long(bytes as i64))
    }

    /// Float `at + index` from `base` on (and the next ones in the other lanes, with `stride` 1).
    pub(super) fn scratch(&mut self, base: &Op, at: usize, index: Op, stride: i32) -> Access {
        let wide = self.widen(index);
        let bytes = self.long(BinOp::Mul, wide, long(4));
        let addr = self.long(BinOp::Add, base.clone(), bytes);
        let addr = self.long(BinOp::Add, addr, long(4 * at as i64));
        Access { mem: Mem::Scratch, addr: Box::new(addr.e), lane_stride: 4 * stride, offset: None, scalar: Scalar::F32 }
    }

    /// The largest value of an integer, over the parameters.
    fn most(&self, e: &ir::Expr, known: &HashMap<Var, Bound>) -> Option<Expr> {
        let bin = |op, a: Expr, b: Expr| Expr::Binary(op, Box::new(a), Box::new(b));
        match &e.kind {
            Kind::Var(v) => match known.get(v) {
                Some(Bound::Is(value)) => self.most(value, known),
                Some(Bound::Below(end)) => Some(bin(BinOp::Sub, self.most(end, known)?, Expr::Int(1))),
                None => self.size(e),
            },
            Kind::Binary(op @ (BinOp::Add | BinOp::Min | BinOp::Max), a, b) => {
                Some(bin(*op, self.most(a, known)?, self.most(b, known)?))
            }
            Kind::Binary(BinOp::Sub, a, b) if matches!(b.kind, Kind::Int(_)) => {
                Some(bin(BinOp::Sub, self.most(a, known)?, self.size(b)?))
            }
            Kind::Binary(BinOp::Sub, a, b) if matches!(b.ty, ir::Ty::Int { lo: 0.., .. }) => self.most(a, known),
            // A product or quotient by a positive constant grows with what it is made of.
            Kind::Binary(op @ (BinOp::Mul | BinOp::Div), a, b) if matches!(b.kind, Kind::Int(1..)) => {
                Some(bin(*op, self.most(a, known)?, self.size(b)?))
            }
            Kind::Int(_) => self.size(e),
            _ => None,
        }
    }
}

/// What is known of a variable.
enum Bound<'k> {
    Is(&'k ir::Expr),
    /// An index from 0 to below this.
    Below(&'k ir::Expr),
}

/// The variables that a statement gives values.
fn made(s: &Stmt) -> Vec<Var> {
    match s {
        Stmt::Let { var, .. } => vec![*var],
        Stmt::Merge { state, .. } => state.iter().map(|(var, _)| *var).collect(),
        Stmt::Par { .. } | Stmt::Store { .. } => Vec::new(),
    }
}

/// Whether a statement writes memory.
fn stores(s: &Stmt) -> bool {
    match s {
        Stmt::Store { .. } => true,
        Stmt::Let { .. } => false,
        Stmt::Par { body, .. } => body.iter().any(stores),
        Stmt::Merge { part, next, .. } => part.iter().chain(&next.stmts).any(stores),
    }
}
