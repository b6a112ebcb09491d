//! The work items of a merge whose parts are spread over workers: the parts of all iterations, or of tiles of them, and behind these
//! the merges, where the schedule makes items of them.
use super::build::int;
use super::nest::Level;
use super::parts::{Item, Kept, Parts};
use super::{Env, Lower, Lowered, Op, Val};
use crate::ir::{Axis, BinOp};
use crate::loop_ir::{Stmt, Ty};

impl Lower<'_> {
    /// One work item. The parts of a tile are neighbours, and so are its merges.
    pub(super) fn part_or_merge(&mut self, split: &[&Axis], parts: &Parts, item: Op, env: &Env) -> Lowered<()> {
        let most = self.emit(parts.most.clone(), Ty::I32, false);
        if !self.schedule.merge_items {
            return self.part_item(split, parts, (item, most), env).map(drop);
        }
        let tiles = self.emit(parts.tiles.clone(), Ty::I32, false);
        let all = self.binary(BinOp::Mul, tiles, most.clone());
        let is_part = self.binary(BinOp::Lt, item.clone(), all.clone());
        let (then, left) = self.inside(|l| l.part_item(split, parts, (item.clone(), most), env))?;
        let (other, ()) = self.inside(|l| {
            let number = l.binary(BinOp::Sub, item, all);
            l.merger(split, parts, number, &left, env)
        })?;
        self.push(Stmt::If { cond: is_part.e, then, other });
        Ok(())
    }

    fn part_item(
        &mut self,
        split: &[&Axis],
        parts: &Parts,
        (item, most): (Op, Op),
        env: &Env,
    ) -> Lowered<Vec<Vec<Kept>>> {
        let index = self.binary(BinOp::Rem, item.clone(), most.clone());
        let number = self.binary(BinOp::Div, item.clone(), most);
        let levels = self.numbers(split, number.clone())?;
        let mut envs = vec![env.clone()];
        let mut mergers = int(1);
        for level in &levels {
            let there = self.iterations_there(level, env)?;
            mergers = self.binary(BinOp::Mul, mergers, there);
            envs = self.iterations_of(level, &envs)?;
        }
        let mergers = self.schedule.merge_items.then_some(mergers);
        self.part(parts, Item { item, number, index, mergers }, &mut envs)
    }

    /// Merge `number`, counted over the places of all tiles. Where an axis ends inside of a tile, there is nothing to merge behind
    /// that.
    fn merger(&mut self, split: &[&Axis], parts: &Parts, number: Op, left: &[Vec<Kept>], env: &Env) -> Lowered<()> {
        let mut places: usize = split.iter().map(|axis| self.tile(axis)).product();
        let tile = self.binary(BinOp::Div, number.clone(), int(places as i32));
        let place = self.binary(BinOp::Rem, number, int(places as i32));
        let (mut env, mut mergers, mut there) = (env.clone(), int(1), Vec::new());
        for level in self.numbers(split, tile.clone())? {
            places /= level.tile;
            let own = self.binary(BinOp::Div, place.clone(), int(places as i32));
            let own = self.binary(BinOp::Rem, own, int(level.tile as i32));
            let here = self.iterations_there(&level, &env)?;
            there.push(self.binary(BinOp::Lt, own.clone(), here.clone()));
            mergers = self.binary(BinOp::Mul, mergers, here);
            let base = self.first_of(&level);
            let index = self.binary(BinOp::Add, base, own);
            env.insert(level.axis.var, Val::Op(index));
        }
        let (mut body, ()) = self.inside(|l| l.merge_item(parts, (tile, place, mergers), left, &mut env))?;
        for cond in there.into_iter().filter(|cond| !matches!(cond.e, crate::loop_ir::Expr::Bool(true))) {
            body = vec![Stmt::If { cond: cond.e, then: body, other: Vec::new() }];
        }
        body.into_iter().for_each(|s| self.push(s));
        Ok(())
    }

    /// The first iteration of a tile.
    fn first_of(&mut self, level: &Level) -> Op {
        let number = level.given.clone().expect("a split axis has a number");
        self.binary(BinOp::Mul, number, int(level.tile as i32))
    }

    /// How many iterations of an axis a tile has.
    fn iterations_there(&mut self, level: &Level, env: &Env) -> Lowered<Op> {
        if level.tile == 1 {
            return Ok(int(1));
        }
        let (_, hi) = self.bounds(level.axis, &mut [env.clone()])?;
        let base = self.first_of(level);
        let left = self.binary(BinOp::Sub, hi, base);
        Ok(self.binary(BinOp::Min, left, int(level.tile as i32)))
    }

    /// The iterations of a tile, side by side. Where the axis ends inside of it, the last one is done again in place of those that
    /// are not there.
    fn iterations_of(&mut self, level: &Level, envs: &[Env]) -> Lowered<Vec<Env>> {
        let base = self.first_of(level);
        let (_, hi) = self.bounds(level.axis, &mut envs.to_vec())?;
        let last = self.binary(BinOp::Sub, hi, int(1));
        Ok(self.of_tile(level.axis, (base, level.tile), Some(&last), envs))
    }
}
