//! Outer axes whose iterations are the rows and columns of products of matrices: each lane does some of each product.
//!
//! The lane has two rows and two columns of a product, so an iteration of the tile is one of these with one of those. Behind the last
//! row or column, lanes do the last one again and store nothing.
use super::build::{int, truth};
use super::{Env, Lower, Lowered, Op, Val};
use crate::instructions::matrix::{COLUMNS, LANES, ROWS};
use crate::instructions::matrix_wide;
use crate::ir::{self, Axis, BinOp};
use std::collections::HashMap;

/// The axes, and which iterations lanes have.
#[derive(Default)]
pub(super) struct Matrix {
    /// The axis of the rows, inside of it,
    pub rows: Option<ir::Var>,
    /// and that of the columns.
    pub columns: Option<ir::Var>,
    /// Of each, the first iteration of the team's, and the last that there is.
    pub of_team: HashMap<ir::Var, (Op, Op)>,
    /// What [`Val::Lanes`] are of.
    shares: Vec<Share>,
}

/// One of the two rows, or columns, of a product that a lane has sums of.
pub(super) struct Share {
    /// The number of the first of the two.
    first: usize,
    /// In which lanes there is such an iteration.
    there: Op,
    /// Of a column: the one whose factors the lane has.
    factors: Option<Val>,
    /// Where it is among those of the team, also where it is behind the last.
    local: Local,
}

/// A place among the rows or columns of a team.
#[derive(Clone)]
pub(super) struct Local {
    /// Where the member's begin.
    pub part: Op,
    /// Of these, where the product's begin,
    pub product: i32,
    /// and where the lane's is in the product.
    pub at: Op,
}

impl Lower<'_> {
    /// Whether an axis is the columns of products.
    pub(super) fn has_columns(&self, axis: &Axis) -> bool {
        self.schedule.columns.as_deref() == Some(self.axis_name(axis))
    }

    /// Refuses columns that cannot be.
    pub(super) fn check_columns(&self, split: &[&Axis]) -> Lowered<()> {
        let s = self.schedule;
        let Some(name) = &s.columns else {
            return match (s.members.is_empty(), s.split_scales || s.wide, s.abreast) {
                (true, false, 0) => Ok(()),
                (false, ..) => {
                    self.illegal("members of a team do products of their own where lanes have products of matrices")
                }
                (_, true, _) => self.illegal("scales are split for products of matrices, which lanes do not have"),
                _ => self.illegal("products of matrices are computed side by side, which lanes do not have"),
            };
        };
        if self.width() != LANES {
            return self.illegal(format!("{LANES} lanes have a product of matrices, not {}", self.width()));
        }
        if s.dot.is_some() || s.dot2.is_some() {
            return self.illegal("where lanes have products of matrices, no instruction for dots is chosen");
        }
        if s.early || s.prefetch > 0 || s.ahead > 0 {
            return self.illegal("weights of products of matrices are not asked for before they are needed");
        }
        let Some(rows) = s.lanes.as_ref().filter(|rows| *rows != name) else {
            return self.illegal(format!("the columns are `{name}`, and `lanes` does not say what the rows are"));
        };
        if !split.iter().any(|axis| self.has_columns(axis)) {
            return self.illegal(format!("lanes share `{name}`, which is not split over threads"));
        }
        self.check_wide([rows, name])?;
        match s.tile.iter().find(|(axis, tile)| **tile > 1 && *axis != rows && *axis != name) {
            Some((axis, _)) => self.illegal(format!("`{axis}` is tiled, and is neither the rows nor the columns")),
            None => self.check_members([rows, name]),
        }
    }

    /// Refuses products of 64 columns that cannot be.
    fn check_wide(&self, [rows, columns]: [&String; 2]) -> Lowered<()> {
        let s = self.schedule;
        if !s.wide {
            return Ok(());
        }
        let tile = |axis: &String| s.tile.get(axis).copied().unwrap_or(1);
        if !s.split_scales || s.abreast > 0 || tile(rows) != 1 || tile(columns) * COLUMNS != matrix_wide::COLUMNS {
            return self.illegal(format!(
                "wide products are of one tile of rows, by split scales, and of all {} columns at once",
                matrix_wide::COLUMNS
            ));
        }
        if s.members.get(rows).is_none_or(|n| !n.is_multiple_of(matrix_wide::TOGETHER) || *n != s.team) {
            return self.illegal(format!(
                "{} neighbouring members begin wide products together, each with rows of its own",
                matrix_wide::TOGETHER
            ));
        }
        Ok(())
    }

    fn check_members(&self, axes: [&String; 2]) -> Lowered<()> {
        let (members, team) = (&self.schedule.members, self.schedule.team);
        if members.is_empty() {
            return Ok(());
        }
        if let Some(axis) = members.keys().find(|axis| !axes.contains(axis)) {
            return self.illegal(format!("members share `{axis}`, which is neither the rows nor the columns"));
        }
        let count = members.values().fold(1, |all: usize, count| all.saturating_mul(*count));
        if count != team || team == 1 {
            return self.illegal(format!("{count} members do products of their own in a team of {team}"));
        }
        Ok(())
    }

    /// How many members of a team share an axis.
    pub(super) fn of_team(&self, axis: &Axis) -> usize {
        self.schedule.members.get(self.axis_name(axis)).copied().unwrap_or(1)
    }

    /// The member's number among those that share an axis; those that share the columns are neighbours.
    fn own_part(&mut self, axis: &Axis) -> Op {
        if self.of_team(axis) == 1 {
            return int(0);
        }
        let columns = self.schedule.columns.as_ref().and_then(|name| self.schedule.members.get(name));
        let columns = int(columns.copied().unwrap_or(1) as i32);
        let member = Op { e: self.team_member(), ..int(0) };
        self.binary(if self.has_rows(axis) { BinOp::Div } else { BinOp::Rem }, member, columns)
    }

    /// How many iterations of an axis the lanes do at once.
    pub(super) fn at_once(&self, axis: &Axis) -> usize {
        match &self.schedule.columns {
            Some(_) if self.has_rows(axis) => ROWS,
            Some(_) if self.has_columns(axis) => COLUMNS,
            None if self.has_rows(axis) => self.width(),
            _ => 1,
        }
    }

    /// Tile `number` of an axis of rows or columns: those of `tile` products.
    pub(super) fn matrix_axis(
        &mut self,
        axis: &Axis,
        (number, tile): (Op, usize),
        hi: Op,
        envs: &[Env],
        body: impl FnOnce(&mut Self, &mut Vec<Env>) -> Lowered<()>,
    ) -> Lowered<()> {
        let size = self.at_once(axis) as i32;
        let (own, team) = (tile as i32 * size, self.of_team(axis) as i32);
        let first = self.binary(BinOp::Mul, number, int(own * team));
        let last = self.binary(BinOp::Sub, hi, int(1));
        self.matrix.of_team.insert(axis.var, (first.clone(), last.clone()));
        let part = self.own_part(axis);
        let part = self.binary(BinOp::Mul, part, int(own));
        let first = self.binary(BinOp::Add, first, part.clone());
        let mut values = Vec::new();
        for product in (0..tile as i32).map(|number| number * size) {
            let start = self.binary(BinOp::Add, first.clone(), int(product));
            values.extend(self.shares(axis, start, last.clone(), (part.clone(), product)));
        }
        let mut all = Vec::new();
        for env in envs {
            for value in &values {
                let mut env = env.clone();
                env.insert(axis.var, value.clone());
                all.push(env);
            }
        }
        let outside = std::mem::replace(&mut self.spread, true);
        let own = if self.has_rows(axis) { &mut self.matrix.rows } else { &mut self.matrix.columns };
        *own = Some(axis.var);
        let result = body(self, &mut all);
        self.spread = outside;
        result
    }

    /// What a lane has of the product whose rows or columns begin at `start`, and so far into the team's.
    fn shares(&mut self, axis: &Axis, start: Op, last: Op, (part, product): (Op, i32)) -> [Val; 2] {
        let (rows, size) = (self.has_rows(axis), int(self.at_once(axis) as i32));
        let (group, member) = self.quad();
        let place = self.binary(BinOp::Div, last.clone(), size.clone());
        let place = self.binary(BinOp::Mul, place, size);
        let base = self.binary(BinOp::Min, start.clone(), place);
        let most = self.binary(BinOp::Sub, last.clone(), base.clone());
        let local = |at: &Op| Local { part: part.clone(), product, at: at.clone() };
        let factors = (!rows).then(|| {
            let at = self.binary(BinOp::Min, group.clone(), most.clone());
            let (share, there) = (self.matrix.shares.len(), truth(true));
            self.matrix.shares.push(Share { first: usize::MAX, there, factors: None, local: local(&group) });
            Val::Lanes { base: base.clone(), at, share: Some(share) }
        });
        let first = self.matrix.shares.len();
        [0, 1].map(|part| {
            let at = if rows {
                self.binary(BinOp::Add, group.clone(), int(8 * part))
            } else {
                let twice = self.binary(BinOp::Mul, member.clone(), int(2));
                self.binary(BinOp::Add, twice, int(part))
            };
            let index = self.binary(BinOp::Add, at.clone(), start.clone());
            let there = self.binary(BinOp::Le, index, last.clone());
            self.matrix.shares.push(Share { first, there, factors: factors.clone(), local: local(&at) });
            let at = self.binary(BinOp::Min, at, most.clone());
            Val::Lanes { base: base.clone(), at, share: Some(first + part as usize) }
        })
    }

    /// The number of the lane's group of four, and its number in that.
    pub(super) fn quad(&mut self) -> (Op, Op) {
        let lane = self.read(self.lane.expect("products are inside of the lane loop"));
        (self.binary(BinOp::Shr, lane.clone(), int(2)), self.binary(BinOp::And, lane, int(3)))
    }

    /// In which lanes an iteration of the tile is there; `None` where lanes have no products.
    pub(super) fn is_there(&mut self, env: &Env) -> Option<Op> {
        let axes = [self.matrix.rows?, self.matrix.columns?];
        let [rows, columns] = axes.map(|axis| self.share(&env[&axis]).there.clone());
        Some(self.binary(BinOp::And, rows, columns))
    }

    /// Where the iteration that lanes have is among those of the team.
    pub(super) fn local(&self, value: &Val) -> Local {
        self.share(value).local.clone()
    }

    fn share(&self, value: &Val) -> &Share {
        let Val::Lanes { share: Some(share), .. } = value else { unreachable!("lanes have shares of the axes") };
        &self.matrix.shares[*share]
    }

    /// The iterations that are one product, for each of them: two columns of the first row, then of the second. `None` where only some of
    /// a product are asked for, as in a side of a choice.
    pub(super) fn products(&self, envs: &[Env], rows: ir::Var, columns: ir::Var) -> Option<Vec<[usize; 4]>> {
        let number = |env: &Env, axis: ir::Var| match env[&axis] {
            Val::Lanes { share: Some(share), .. } => share,
            _ => unreachable!("lanes have shares of the axes"),
        };
        let numbers: Vec<[usize; 2]> = envs.iter().map(|env| [number(env, rows), number(env, columns)]).collect();
        let first = |share: usize| self.matrix.shares[share].first == share;
        let begins = (0..envs.len()).filter(|i| numbers[*i].into_iter().all(first));
        let product = |i: usize| {
            let [row, column] = numbers[i];
            // Iterations that are done side by side come as whole lists, one after the other.
            let find = |r, c| (i..envs.len()).find(|other| numbers[*other] == [row + r, column + c]);
            Some([i, find(0, 1)?, find(1, 0)?, find(1, 1)?])
        };
        let products: Vec<[usize; 4]> = begins.map(product).collect::<Option<_>>()?;
        (4 * products.len() == envs.len()).then_some(products)
    }

    /// The iterations of a tile in lists, one computed after the other: those of so many products along the columns as the schedule says.
    pub(super) fn abreast(&self, envs: &[Env]) -> Vec<Vec<usize>> {
        let Some(columns) = self.matrix.columns.filter(|_| self.schedule.abreast > 0) else {
            return vec![(0..envs.len()).collect()];
        };
        let mut turns: Vec<(Vec<usize>, Vec<usize>)> = Vec::new();
        for (i, env) in envs.iter().enumerate() {
            let first = self.share(&env[&columns]).first;
            match turns.iter_mut().find(|(products, _)| products.contains(&first)) {
                Some((_, own)) => own.push(i),
                None => match turns.last_mut().filter(|(products, _)| products.len() < self.schedule.abreast) {
                    Some((products, own)) => (products.push(first), own.push(i)).1,
                    None => turns.push((vec![first], vec![i])),
                },
            }
        }
        turns.into_iter().map(|(_, own)| own).collect()
    }

    /// An iteration with the column whose factors the lane has, instead of one whose sums it has.
    pub(super) fn with_factors(&self, env: &Env, columns: ir::Var) -> Env {
        let mut env = env.clone();
        let factors = self.share(&env[&columns]).factors.clone().expect("columns have factors");
        env.insert(columns, factors);
        env
    }
}
