//! Merges by a team in which lanes work ahead: what merging a part needs of the parts before it are often extremes alone, and what
//! follows from these (in attention, two powers of two) is computed for as many parts at once as the team has lanes. Then all merge the
//! parts in order.
use super::build::int;
use super::parts::{Kept, Left, Parts};
use super::{Env, Lower, Lowered, Op, Val};
use crate::ir::{BinOp, Expr, Kind, Scalar, Stmt, Ty, Var, walk};
use crate::loop_ir::{self, Bind};
use std::collections::{HashMap, HashSet};

/// How the statements of a merge are shared out.
pub(super) struct MergeFactors<'k> {
    /// The states that are extremes of all parts so far.
    extremes: Vec<Extreme>,
    /// The numbers of parts that these or what is done in order need.
    numbers: Vec<Var>,
    /// What follows from the extremes before a part, and from its numbers;
    ahead: Vec<&'k Stmt>,
    /// of this, what is needed in order.
    needed: Vec<Var>,
    /// What is done in order,
    in_order: Vec<&'k Stmt>,
    /// and the other states, with their next values.
    states: Vec<Var>,
    next: Vec<&'k Expr>,
}

/// A state that is the largest or smallest number of all parts so far.
struct Extreme {
    state: Var,
    op: BinOp,
    /// The part's number.
    number: Var,
}

impl Lower<'_> {
    /// What lanes can do ahead, where a team merges.
    pub(super) fn merge_factors<'k>(&self, p: &Parts<'k>, kept: &[Kept]) -> Option<MergeFactors<'k>> {
        let lets: HashMap<Var, &Expr> = p.next.stmts.iter().filter_map(named).collect();
        let numbers: HashSet<Var> = kept.iter().filter(|k| !k.array).map(|k| k.var).collect();
        let (mut extremes, mut states, mut next) = (Vec::new(), Vec::new(), Vec::new());
        for ((state, _), value) in p.state.iter().zip(&p.next.values) {
            match extreme(*state, value, &lets, &numbers) {
                Some(extreme) => extremes.push(extreme),
                None => {
                    states.push(*state);
                    next.push(value);
                }
            }
        }
        // What the others change, or is an array, is known in order only.
        let mut later: HashSet<Var> = states.iter().copied().collect();
        later.extend(kept.iter().filter(|k| k.array).map(|k| k.var));
        let (mut ahead, mut in_order, mut known) = (Vec::new(), Vec::new(), HashSet::new());
        for s in &p.next.stmts {
            let mentions = walk::mentioned(std::slice::from_ref(s), []);
            match named(s) {
                Some((var, value)) if !matches!(value.ty, Ty::Array { .. }) && mentions.is_disjoint(&later) => {
                    known.insert(var);
                    ahead.push(s);
                }
                made => {
                    later.extend(made.map(|(var, _)| var));
                    in_order.push(s);
                }
            }
        }
        let mut mentioned = walk::mentioned(&[], next.iter().copied());
        in_order.iter().for_each(|s| mentioned.extend(walk::mentioned(std::slice::from_ref(*s), [])));
        let needed: Vec<Var> = ahead.iter().filter_map(|s| named(s)).map(|(var, _)| var).collect();
        let needed: Vec<Var> = needed.into_iter().filter(|var| mentioned.contains(var)).collect();
        let floats = needed.iter().all(|var| self.kernel.vars[var.0 as usize].ty == Ty::F32);
        let apart = extremes.iter().all(|extreme| !mentioned.contains(&extreme.state));
        let of_use = !extremes.is_empty() && !needed.is_empty() && floats && apart;
        let number = |var: &Var| mentioned.contains(var) || extremes.iter().any(|extreme| extreme.number == *var);
        let numbers = kept.iter().filter(|k| !k.array).map(|k| k.var).filter(number).collect();
        of_use.then_some(MergeFactors { extremes, numbers, ahead, needed, in_order, states, next })
    }

    /// Merges all parts, whose items begin with `first`, as many at a time as the team has lanes.
    pub(super) fn merge_by_factors(
        &mut self,
        (p, f): (&Parts, &MergeFactors),
        (left, first): (&Left, Op),
        (lo, hi): (Op, Op),
        envs: &mut [Env],
    ) -> Lowered<()> {
        self.begin_states(p.state, envs)?;
        let lanes = (self.width() * self.schedule.team) as i32;
        self.each(Bind::Serial, "batch", (lo, hi.clone(), lanes), |l, begin| {
            let count = l.binary(BinOp::Sub, hi, begin.clone());
            let count = l.binary(BinOp::Min, count, int(lanes));
            let first = l.binary(BinOp::Add, first, begin.clone());
            let arrays = l.work_ahead(f, left, (first.clone(), count.clone()), envs)?;
            let vars = || f.numbers.iter().chain(&f.needed);
            l.each(Bind::Serial, l.axis_name(p.axis), (int(0), count, 1), |l, place| {
                let item = l.binary(BinOp::Add, first, place.clone());
                l.give_left(left, &item, envs, |k| k.array);
                let index = l.binary(BinOp::Add, begin, place.clone());
                super::axis::give(envs, p.axis.var, Val::Op(index));
                for (env, arrays) in envs.iter_mut().zip(&arrays) {
                    for (var, array) in vars().zip(arrays) {
                        let from = l.element(*array, place.clone(), 0);
                        env.insert(*var, Val::Op(l.load(from)));
                    }
                }
                l.each_of(&f.in_order, envs)?;
                l.next_states(&f.states, &f.next, envs)
            })?;
            l.meet_once();
            Ok(())
        })
    }

    /// The numbers of each part of a batch and what is needed of it, in arrays, for each iteration of the tile. The extremes are then those of the batch, too.
    fn work_ahead(
        &mut self,
        f: &MergeFactors,
        left: &Left,
        (first, count): (Op, Op),
        envs: &[Env],
    ) -> Lowered<Vec<Vec<loop_ir::Var>>> {
        let lanes = self.width() * self.schedule.team;
        let arrays = |l: &mut Self, name: &str, n: usize| -> Vec<Vec<loop_ir::Var>> {
            let one = |l: &mut Self| l.new_team_array(name, Scalar::F32, lanes);
            envs.iter().map(|_| (0..n).map(|_| one(l)).collect()).collect()
        };
        let base = self.own_base();
        let own = self.op(Val::Affine { base, stride: 1 });
        let mut own_envs = envs.to_vec();
        self.give_numbers(&own, left, (first, count.clone()), &mut own_envs);
        let numbers = arrays(self, "number", f.numbers.len());
        self.leave_own(&numbers, &f.numbers, &own_envs)?;
        self.extremes_before(f, (&own, count), &numbers, envs, &mut own_envs)?;
        let outside = std::mem::replace(&mut self.spread, true);
        let done = self.each_of(&f.ahead, &mut own_envs);
        self.spread = outside;
        done?;
        let factors = arrays(self, "factor", f.needed.len());
        self.leave_own(&factors, &f.needed, &own_envs)?;
        Ok(numbers.into_iter().zip(factors).map(|(numbers, factors)| [numbers, factors].concat()).collect())
    }

    /// The number in the team that the member's first lane has.
    fn own_base(&mut self) -> Op {
        let member = self.member().expect("a team merges");
        self.binary(BinOp::Mul, member, int(self.width() as i32))
    }

    /// Gives each lane the numbers of its own part; those behind the last have the last one's.
    fn give_numbers(&mut self, own: &Op, left: &Left, (first, count): (Op, Op), envs: &mut [Env]) {
        let last = self.binary(BinOp::Sub, count, int(1));
        let part = self.binary(BinOp::Min, own.clone(), last);
        let bytes = self.scratch.as_ref().map_or(0, |scratch| scratch.item_bytes);
        let offset = self.binary(BinOp::Mul, part, int(bytes as i32));
        let base = self.left_base(left, &first);
        for (env, kept) in envs.iter_mut().zip(left.kept) {
            for k in kept.iter().filter(|k| !k.array) {
                let mut from = self.scratch(&base, k.at, int(0), 0);
                from.offset = Some(Box::new(offset.e.clone()));
                env.insert(k.var, Val::Op(self.load(from)));
            }
        }
    }

    /// Each lane leaves values of its own part for all others.
    fn leave_own(&mut self, arrays: &[Vec<loop_ir::Var>], vars: &[Var], envs: &[Env]) -> Lowered<()> {
        let all: Vec<loop_ir::Var> = arrays.iter().flatten().copied().collect();
        let base = self.own_base();
        self.overwrite(&all, |l| {
            for (env, arrays) in envs.iter().zip(arrays) {
                for (var, array) in vars.iter().zip(arrays) {
                    let value = l.op(env[var].clone());
                    let to = l.element(*array, base.clone(), 1);
                    l.store(to, value);
                }
            }
            Ok(())
        })
    }

    /// Gives each lane the extremes before its own part, and brings the states to the end of the batch.
    fn extremes_before(
        &mut self,
        f: &MergeFactors,
        (own, count): (&Op, Op),
        numbers: &[Vec<loop_ir::Var>],
        envs: &[Env],
        own_envs: &mut [Env],
    ) -> Lowered<()> {
        let mut running = Vec::new();
        for ((env, own_env), numbers) in envs.iter().zip(own_envs).zip(numbers) {
            for extreme in &f.extremes {
                let array = f.numbers.iter().zip(numbers).find(|(var, _)| **var == extreme.number);
                let array = *array.expect("an extreme's number is left").1;
                let Val::Op(Op { e: loop_ir::Expr::Var(state), .. }) = env[&extreme.state] else {
                    unreachable!("a state that is a number is a register")
                };
                let so_far = self.read(state);
                let before = self.register("before", so_far, true);
                own_env.insert(extreme.state, Val::Op(self.read(before)));
                running.push((state, before, extreme.op, array));
            }
        }
        self.each(Bind::Serial, "part", (int(0), count, 1), |l, place| {
            let mine = l.binary(BinOp::Eq, own.clone(), place.clone());
            for (state, before, op, array) in running {
                let (so_far, kept) = (l.read(state), l.read(before));
                let chosen = l.select(mine.clone(), so_far.clone(), kept);
                l.set(before, chosen);
                let from = l.element(array, place.clone(), 0);
                let number = l.load(from);
                let next = l.binary(op, so_far, number);
                l.set(state, next);
            }
            Ok(())
        })
    }
}

/// What a statement names.
fn named(s: &Stmt) -> Option<(Var, &Expr)> {
    match s {
        Stmt::Let { var, value } => Some((*var, value)),
        _ => None,
    }
}

/// Whether the next value of a state is the larger or smaller of it and a part's number.
fn extreme(state: Var, value: &Expr, lets: &HashMap<Var, &Expr>, numbers: &HashSet<Var>) -> Option<Extreme> {
    let value = match value.kind {
        Kind::Var(var) => lets.get(&var).copied().unwrap_or(value),
        _ => value,
    };
    let Kind::Binary(op @ (BinOp::Max | BinOp::Min), a, b) = &value.kind else { return None };
    let (Kind::Var(a), Kind::Var(b)) = (&a.kind, &b.kind) else { return None };
    let number = if *a == state { *b } else { *a };
    ((*a == state || *b == state) && numbers.contains(&number)).then_some(Extreme { state, op: *op, number })
}
