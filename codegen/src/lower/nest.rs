//! The outer parallel axes: which threads share, which are tiled, and the order they are walked in.
use super::build::{arithmetic, int};
use super::{Env, Lower, Lowered, Op, Val};
use crate::ir::{self, Axis, BinOp, Kind, ReduceOp, Stmt};
use crate::loop_ir::{Bind, Expr, Stmt as Out, Var};
use std::collections::{BTreeSet, HashSet};

/// Most iterations that are done side by side: each has registers and code of its own.
const MOST_TOGETHER: usize = 64;

/// An axis of the nest.
pub(super) struct Level<'k> {
    pub axis: &'k Axis,
    pub tile: usize,
    /// Its tile's number, where threads share the axis.
    pub given: Option<Op>,
}

impl<'a> Lower<'a> {
    /// Lowers the kernel; gives the number of work items.
    pub(super) fn nest(&mut self) -> Lowered<Expr> {
        let (axes, body) = self.kernel.nest();
        if axes.is_empty() {
            return self.illegal(
                "its body is not one nest of `for .. in par(..)`: nothing may stand before or beside the first",
            );
        }
        for name in self.schedule.split.iter().chain(self.schedule.tile.keys()) {
            if !axes.iter().any(|a| self.axis_name(a) == name) {
                return self.illegal(format!("there is no outer parallel axis `{name}`"));
            }
        }
        if let Some(name) = self.schedule.rolled.iter().find(|name| !reductions(self.kernel).contains(name)) {
            return self.illegal(format!("there is no integer sum over `{name}`"));
        }
        if self.schedule.split.is_empty() {
            return self.illegal("no axis is split over threads");
        }
        let names: HashSet<&str> = axes.iter().map(|a| self.axis_name(a)).collect();
        let threads: HashSet<&String> = self.schedule.split.iter().collect();
        if names.len() < axes.len() || threads.len() < self.schedule.split.len() {
            return self.illegal("an axis is named twice");
        }
        let together: usize = self.schedule.tile.values().fold(1, |n, tile| n.saturating_mul((*tile).max(1)));
        // A lane has four sums of a product.
        let together = if self.schedule.columns.is_some() { together.saturating_mul(4) } else { together };
        if together > MOST_TOGETHER {
            return self.illegal(format!("{together} iterations side by side are more than {MOST_TOGETHER}"));
        }
        let split: Vec<&'a Axis> = (self.schedule.split.iter())
            .map(|name| *axes.iter().find(|a| self.axis_name(a) == name).expect("looked up above"))
            .collect();
        let rest: Vec<&'a Axis> = axes.into_iter().filter(|a| !split.iter().any(|s| s.var == a.var)).collect();
        self.check_rows(&split)?;
        self.check_columns(&split)?;
        let mut work = Expr::Int(1);
        for axis in &split {
            let tiles = self.tiles(axis)?;
            work = arithmetic(BinOp::Mul, work, tiles);
        }
        let parts = self.parts(&split, &work, body)?;
        if let Some(parts) = &parts {
            if !rest.is_empty() {
                return self.illegal("where workers share the parts of a merge, all outer axes are split");
            }
            let mergers = if self.schedule.merge_items { together } else { 0 };
            let merges = arithmetic(BinOp::Mul, work.clone(), Expr::Int(mergers as i32));
            work = arithmetic(BinOp::Mul, work, parts.most.clone());
            work = if mergers > 0 { arithmetic(BinOp::Add, work, merges) } else { work };
        }
        self.early(&split, &work)?;
        match self.schedule.members.is_empty() {
            true => self.stage = self.staged()?,
            false => self.terms = self.terms_of_sums()?,
        }
        let mut env = self.parameters();
        let hi = work.clone();
        let item = self.var("item", crate::loop_ir::Ty::I32, false);
        let (stmts, ()) = self.inside(|l| {
            l.team_loop(|l| {
                l.lane_loop(|l| match &parts {
                    Some(parts) => l.part_or_merge(&split, parts, l.read(item), &env),
                    None => l.item(&split, &rest, body, l.read(item), &mut env),
                })
            })
        })?;
        self.push(Out::For { bind: Bind::Work, var: item, lo: Expr::Int(0), hi, step: 1, body: stmts });
        Ok(work)
    }

    pub(super) fn axis_name(&self, axis: &Axis) -> &'a str {
        &self.kernel.vars[axis.var.0 as usize].name
    }

    pub(super) fn tile(&self, axis: &Axis) -> usize {
        self.schedule.tile.get(self.axis_name(axis)).copied().unwrap_or(1).max(1)
    }

    pub(super) fn lane_loop(&mut self, f: impl FnOnce(&mut Self) -> Lowered<()>) -> Lowered<()> {
        if self.width() == 1 {
            return f(self);
        }
        let width = int(self.width() as i32);
        self.each(Bind::Simd, "lane", (int(0), width, 1), |l, lane| {
            let Expr::Var(var) = lane.e else { unreachable!("a loop gives a variable") };
            l.lane = Some(var);
            f(l)
        })
    }

    /// Number of tiles of an axis, over the parameters alone; 0 where the axis is empty.
    fn tiles(&self, axis: &Axis) -> Lowered<Expr> {
        let tile = (self.tile(axis) * self.at_once(axis) * self.of_team(axis)) as i32;
        let size = self.size(&axis.hi).map(|hi| match axis.hi.ty {
            ir::Ty::Int { lo: 0.., .. } => hi,
            _ => Expr::Binary(BinOp::Max, Box::new(hi), Box::new(Expr::Int(0))),
        });
        match (&axis.lo.kind, size) {
            (Kind::Int(0), Some(hi)) if tile == 1 => Ok(hi),
            (Kind::Int(0), Some(hi)) => {
                let up = Expr::Binary(BinOp::Add, Box::new(hi), Box::new(Expr::Int(tile - 1)));
                Ok(Expr::Binary(BinOp::Div, Box::new(up), Box::new(Expr::Int(tile))))
            }
            _ => self.illegal(format!("the extent of `{}` is no size known at launch", self.axis_name(axis))),
        }
    }

    /// A size over the parameters.
    pub(super) fn size(&self, e: &ir::Expr) -> Option<Expr> {
        match &e.kind {
            Kind::Int(v) => Some(Expr::Int(*v as i32)),
            Kind::Var(v) => {
                let params = self.kernel.dims.iter().chain(&self.kernel.scalars);
                let one = self.is_one(*v);
                let size = |i: usize| if one { Expr::Int(1) } else { Expr::Var(Var(i as u32)) };
                params.enumerate().find(|(_, p)| *p == v).map(|(i, _)| size(i))
            }
            Kind::Binary(op, a, b) => Some(Expr::Binary(*op, Box::new(self.size(a)?), Box::new(self.size(b)?))),
            _ => None,
        }
    }

    /// One work item, which is a tile of each axis that is split.
    fn item(&mut self, split: &[&Axis], rest: &[&Axis], body: &[Stmt], item: Op, env: &mut Env) -> Lowered<()> {
        let mut levels = self.numbers(split, item)?;
        levels.extend(rest.iter().map(|axis| Level { axis, tile: self.tile(axis), given: None }));
        let mut envs = vec![env.clone()];
        self.outer_loops = self.loops();
        self.levels(&levels, body, &mut envs)
    }

    /// A number taken apart into the numbers of the axes' tiles, the last axis fastest.
    pub(super) fn numbers<'x>(&mut self, split: &[&'x Axis], number: Op) -> Lowered<Vec<Level<'x>>> {
        let mut left = number;
        let mut levels = Vec::new();
        for (i, axis) in split.iter().enumerate().rev() {
            let number = match i {
                0 => left.clone(),
                _ => {
                    let tiles = self.tiles(axis)?;
                    let tiles = self.emit(tiles, crate::loop_ir::Ty::I32, false);
                    let number = self.binary(BinOp::Rem, left.clone(), tiles.clone());
                    left = self.binary(BinOp::Div, left, tiles);
                    number
                }
            };
            levels.insert(0, Level { axis, tile: self.tile(axis), given: Some(number) });
        }
        Ok(levels)
    }

    fn levels(&mut self, levels: &[Level], body: &[Stmt], envs: &mut Vec<Env>) -> Lowered<()> {
        self.with_rows(envs, |l, envs| match levels.split_first() {
            Some((level, inner)) => l.level(level, inner, body, envs),
            None => l.stmts(body, envs),
        })
    }

    fn level(&mut self, level: &Level, inner: &[Level], body: &[Stmt], envs: &mut Vec<Env>) -> Lowered<()> {
        let axis = level.axis;
        let (lo, hi) = self.bounds(axis, envs)?;
        match (&level.given, level.tile) {
            (Some(number), tile) if self.schedule.columns.is_some() && self.at_once(axis) > 1 => {
                let number = number.clone();
                self.matrix_axis(axis, (number, tile), hi, envs, |l, envs| l.levels(inner, body, envs))
            }
            (Some(number), tile) if self.has_rows(axis) => {
                let number = number.clone();
                self.rows(axis, (number, tile), hi, envs, |l, envs| l.levels(inner, body, envs))
            }
            (Some(number), 1) => {
                super::axis::give(envs, axis.var, Val::Op(number.clone()));
                self.levels(inner, body, envs)
            }
            (Some(number), tile) => {
                let base = self.binary(BinOp::Mul, number.clone(), int(tile as i32));
                let end = self.binary(BinOp::Add, base.clone(), int(tile as i32));
                let whole = self.binary(BinOp::Le, end, hi.clone());
                let (then, ()) = self.inside(|l| l.tiled(axis, base.clone(), tile, inner, body, envs))?;
                let (other, ()) = self.inside(|l| l.one_by_one(axis, (base, hi), inner, body, envs))?;
                self.push(Out::If { cond: whole.e, then, other });
                Ok(())
            }
            // The innermost axis may be spread over lanes.
            (None, 1) if inner.is_empty() && self.stage.is_empty() => self.par(axis, body, envs),
            (None, 1) => self.one_by_one(axis, (lo, hi), inner, body, envs),
            (None, tile) => self.strips(axis, (lo, hi), tile, inner, body, envs),
        }
    }

    /// An axis in strips of `tile` iterations side by side; what is left, in strips of half as many, down to one.
    fn strips(
        &mut self,
        axis: &Axis,
        (lo, hi): (Op, Op),
        tile: usize,
        inner: &[Level],
        body: &[Stmt],
        envs: &[Env],
    ) -> Lowered<()> {
        if tile == 1 {
            return self.one_by_one(axis, (lo, hi), inner, body, envs);
        }
        let len = self.binary(BinOp::Sub, hi.clone(), lo.clone());
        let len = self.binary(BinOp::Max, len, int(0));
        let whole = self.binary(BinOp::Div, len, int(tile as i32));
        let whole = self.binary(BinOp::Mul, whole, int(tile as i32));
        let end = self.binary(BinOp::Add, lo.clone(), whole);
        let name = self.axis_name(axis);
        self.each(Bind::Serial, name, (lo, end.clone(), tile as i32), |l, base| {
            l.tiled(axis, base, tile, inner, body, envs)
        })?;
        self.strips(axis, (end, hi), tile / 2, inner, body, envs)
    }

    /// `tile` iterations from `base` on, side by side.
    fn tiled(
        &mut self,
        axis: &Axis,
        base: Op,
        tile: usize,
        inner: &[Level],
        body: &[Stmt],
        envs: &[Env],
    ) -> Lowered<()> {
        let mut all = self.of_tile(axis, (base, tile), None, envs);
        self.levels(inner, body, &mut all)
    }

    /// The values for `tile` iterations from `base` on, for each of `envs`; with a `last` one, that in place of those behind it.
    pub(super) fn of_tile(
        &mut self,
        axis: &Axis,
        (base, tile): (Op, usize),
        last: Option<&Op>,
        envs: &[Env],
    ) -> Vec<Env> {
        let mut all = Vec::new();
        for env in envs {
            for i in 0..tile as i32 {
                let mut index = self.binary(BinOp::Add, base.clone(), int(i));
                if let Some(last) = last.filter(|_| i > 0) {
                    index = self.binary(BinOp::Min, index, last.clone());
                }
                let mut env = env.clone();
                env.insert(axis.var, Val::Op(index));
                all.push(env);
            }
        }
        all
    }

    fn one_by_one(
        &mut self,
        axis: &Axis,
        bounds: (Op, Op),
        inner: &[Level],
        body: &[Stmt],
        envs: &[Env],
    ) -> Lowered<()> {
        let mut envs = envs.to_vec();
        if let (Expr::Int(0), Expr::Int(1)) = (&bounds.0.e, &bounds.1.e) {
            super::axis::give(&mut envs, axis.var, Val::Op(int(0)));
            return self.levels(inner, body, &mut envs);
        }
        self.serial(axis.var, bounds, &mut envs, |l, envs| l.levels(inner, body, &mut envs.to_vec()))
    }
}

/// The names of a kernel's outer parallel axes, which a schedule may split and tile.
pub fn outer_axes(kernel: &ir::Kernel) -> Vec<String> {
    kernel.nest().0.iter().map(|axis| kernel.vars[axis.var.0 as usize].name.clone()).collect()
}

/// The names of the merges right inside of them, whose parts workers can share.
pub fn merge_axes(kernel: &ir::Kernel) -> Vec<String> {
    let name = |s: &Stmt| match s {
        Stmt::Merge { axis, .. } => Some(kernel.vars[axis.var.0 as usize].name.clone()),
        _ => None,
    };
    kernel.nest().1.iter().filter_map(name).collect()
}

/// The names of the axes of exact reductions, each once.
pub fn reductions(kernel: &ir::Kernel) -> Vec<String> {
    let mut names = BTreeSet::new();
    kernel.visit(&mut |e| {
        if let Kind::Reduce { op: ReduceOp::ISum, axis, .. } = &e.kind {
            names.insert(kernel.vars[axis.var.0 as usize].name.clone());
        }
    });
    names.into_iter().collect()
}
