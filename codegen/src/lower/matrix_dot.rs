//! Dots as products of matrices: the factors of a row by those of a column, of which each lane has some neighbours.
use super::build::int;
use super::pack::written_out;
use super::{Env, Lower, Lowered, Op, Val};
use crate::instructions::matrix::{OF_16, OF_32};
use crate::instructions::matrix_halves::{OF_SIGNED, OF_UNSIGNED};
use crate::ir::{self, Axis, BinOp, Block, Kind, Scalar, Span, Ty};
use crate::loop_ir::{self, Expr, Stmt};

/// Neighbours of which four lanes have a number each in one pack.
const TOGETHER: usize = 16;

/// The factors of dots, and which iterations of the tile are a product together.
pub(super) struct Factors<'e> {
    axis: &'e Axis,
    rows: ir::Expr,
    columns: ir::Expr,
    kind: Of,
    bounds: (i32, usize),
    span: Span,
    pub products: Vec<[usize; 4]>,
}

/// What is multiplied.
#[derive(Clone, Copy, PartialEq)]
enum Of {
    /// Unsigned by signed bytes, neighbours in memory.
    Bytes,
    /// Signed bytes by halves, both neighbours in memory.
    Signed,
    /// Numbers that are unsigned bytes by halves, which are neighbours in memory.
    Computed,
}

/// The packs of one instruction.
pub(super) struct Packs {
    /// For each set of neighbours those of the first and of the second row.
    pub rows: Vec<Op>,
    /// For each set of neighbours that of the column.
    pub columns: Vec<Op>,
    /// The instruction's name.
    pub intrinsic: &'static str,
}

impl Factors<'_> {
    /// The dot in pieces that are products: where each begins, and how many neighbours it has.
    pub fn pieces(&self) -> impl Iterator<Item = (i32, usize)> + use<> {
        let (lo, len) = self.bounds;
        let most = if self.kind == Of::Bytes { 2 * TOGETHER } else { TOGETHER };
        (0..len).step_by(most).map(move |at| (lo + at as i32, most.min(len - at)))
    }

    /// The largest of the row's factors, where these are unsigned bytes in memory.
    pub fn most_of_bytes(&self) -> Option<i64> {
        match self.rows.ty {
            Ty::Int { hi, .. } if self.kind == Of::Bytes => Some(hi),
            _ => None,
        }
    }
}

impl Lower<'_> {
    /// `isum(lo..lo + len, |i| a(i) * b(i))`, where `a` depends on the rows and `b` on the columns; `None` where it is no such dot.
    pub(super) fn matrix_dot(
        &mut self,
        axis: &Axis,
        body: &Block,
        bounds: (i32, usize),
        envs: &mut [Env],
    ) -> Lowered<Option<Vec<Val>>> {
        let Some(factors) = self.factors(axis, body, bounds, envs) else { return Ok(None) };
        let outer = std::mem::replace(&mut self.span, factors.span);
        let mut sums = vec![int(0); envs.len()];
        for product in &factors.products {
            let registers: Vec<loop_ir::Var> = (0..4).map(|_| self.register("dot", int(0), true)).collect();
            for piece in factors.pieces() {
                let Packs { rows, columns, intrinsic } = self.packs_of(&factors, piece, *product, envs)?;
                let args = rows.into_iter().chain(columns).map(|op| op.e).collect();
                self.push(Stmt::Accumulate { intrinsic, registers: registers.clone(), args, span: self.span });
            }
            for (i, register) in product.iter().zip(registers) {
                sums[*i] = self.read(register);
            }
        }
        self.span = outer;
        Ok(Some(sums.into_iter().map(Val::Op).collect()))
    }

    /// What is multiplied in `isum(lo..lo + len, |i| a(i) * b(i))`; `None` where it is no product of matrices.
    pub(super) fn factors<'e>(
        &self,
        axis: &'e Axis,
        body: &Block,
        bounds: (i32, usize),
        envs: &[Env],
    ) -> Option<Factors<'e>> {
        let (rows, columns) = (self.matrix.rows?, self.matrix.columns?);
        if self.is_rolled(axis) || !bounds.1.is_multiple_of(TOGETHER) {
            return None;
        }
        let value = written_out(body)?;
        let Kind::Binary(BinOp::Mul, a, b) = &value.kind else { return None };
        let kinds = [(a, b), (b, a)].into_iter().filter_map(|(a, b)| Some((a, b, self.kind(a, b, axis)?)));
        let (a, b, kind) = kinds.min_by_key(|(_, _, kind)| *kind == Of::Computed)?;
        let products = self.products(envs, rows, columns)?;
        Some(Factors { axis, rows: a.clone(), columns: b.clone(), kind, bounds, span: value.span, products })
    }

    /// The packs of a product's piece, which begins at a place and has so many neighbours.
    pub(super) fn packs_of(
        &mut self,
        factors: &Factors,
        (at, taken): (i32, usize),
        product: [usize; 4],
        envs: &[Env],
    ) -> Lowered<Packs> {
        let rows = self.row_factors(factors, at, taken, product, envs)?;
        let axis = self.matrix.columns.expect("products have columns");
        let columns = product.map(|i| self.with_factors(&envs[i], axis));
        let columns = self.column_factors(factors, at, taken, columns)?;
        let intrinsic = match (factors.kind, taken) {
            (Of::Bytes, TOGETHER) => OF_16.name,
            (Of::Bytes, _) => OF_32.name,
            (Of::Signed, _) => OF_SIGNED.name,
            (Of::Computed, _) => OF_UNSIGNED.name,
        };
        Ok(Packs { rows, columns, intrinsic })
    }

    fn kind(&self, a: &ir::Expr, b: &ir::Expr, axis: &Axis) -> Option<Of> {
        let halves = matches!(&b.kind, Kind::Load(p) if p.scalar == Scalar::I16) && self.neighbours(b, axis.var);
        match a.ty {
            _ if self.unsigned(a, axis.var) && self.signed(b, axis.var) => Some(Of::Bytes),
            _ if halves && self.signed(a, axis.var) => Some(Of::Signed),
            Ty::Int { lo: 0.., hi: ..=255 } if halves => Some(Of::Computed),
            _ => None,
        }
    }

    /// The packs of a product's rows: for each set of neighbours those of the first and of the second row.
    fn row_factors(
        &mut self,
        factors: &Factors,
        at: i32,
        taken: usize,
        product: [usize; 4],
        envs: &[Env],
    ) -> Lowered<Vec<Op>> {
        let mut all = Vec::new();
        for (pack, indices) in self.neighbours_of_lanes(at, taken, false).into_iter().enumerate() {
            let mut packs = product.map(|i| envs[i].clone()).into_iter().map(|mut env| match factors.kind {
                Of::Computed => self.computed(factors, at + (TOGETHER * pack) as i32, &mut env),
                _ => {
                    env.insert(factors.axis.var, indices.clone());
                    self.pack(&factors.rows, factors.axis.var, &mut env)
                }
            });
            let mut next = || packs.next().expect("four of them");
            let (first, again, second, last) = (next()?, next()?, next()?, next()?);
            if !same(&first, &again) || !same(&second, &last) {
                return self.not_of_one(factors);
            }
            all.extend([first, second]);
        }
        Ok(all)
    }

    /// The packs of a product's columns.
    fn column_factors(&mut self, factors: &Factors, at: i32, taken: usize, envs: [Env; 4]) -> Lowered<Vec<Op>> {
        let mut all = Vec::new();
        for indices in self.neighbours_of_lanes(at, taken, factors.kind != Of::Bytes) {
            let mut packs = Vec::new();
            for mut env in envs.clone() {
                env.insert(factors.axis.var, indices.clone());
                packs.push(self.pack(&factors.columns, factors.axis.var, &mut env)?);
            }
            if packs.windows(2).any(|two| !same(&two[0], &two[1])) {
                return self.not_of_one(factors);
            }
            all.extend(packs.pop());
        }
        Ok(all)
    }

    /// Which of the neighbours from `at` on the lanes have in each of their packs: four lanes have 16 or 32 of them. Packs of a lane are
    /// neighbours, so that they are loaded together; those of halves are two where there is one of bytes.
    fn neighbours_of_lanes(&mut self, at: i32, taken: usize, halves: bool) -> Vec<Val> {
        let (_, member) = self.quad();
        // Columns that an instruction reads by itself have an order of their own: 16 neighbours in each pack of the lanes.
        let apart = if self.schedule.wide { TOGETHER } else { taken };
        let lane = self.binary(BinOp::Mul, member, int(apart as i32 / 4));
        let packs: Vec<usize> = match (halves, self.schedule.wide) {
            (true, _) => vec![0, 2],
            (false, true) => (0..taken).step_by(TOGETHER).collect(),
            (false, false) => (0..taken / 4).step_by(4).collect(),
        };
        packs
            .into_iter()
            .map(|pack| Val::Lanes { base: int(at + pack as i32), at: lane.clone(), share: None })
            .collect()
    }

    /// The pack of four computed bytes that each lane has of the sixteen from `at` on.
    fn computed(&mut self, factors: &Factors, at: i32, env: &mut Env) -> Lowered<Op> {
        let (_, member) = self.quad();
        let mut chosen = None;
        for pack in (0..4).rev() {
            let mut bytes = Vec::new();
            for byte in 0..4 {
                env.insert(factors.axis.var, Val::Op(int(at + 4 * pack + byte)));
                let value = self.eval(&factors.rows, env)?;
                bytes.push(self.op(value).e);
            }
            let own = self.emit(Expr::Bytes(bytes), loop_ir::Ty::U8x4, true);
            chosen = Some(match chosen {
                None => own,
                Some(other) => {
                    let is_own = self.binary(BinOp::Eq, member.clone(), int(pack));
                    self.select(is_own, own, other)
                }
            });
        }
        Ok(chosen.expect("four packs"))
    }

    fn not_of_one<T>(&self, factors: &Factors) -> Lowered<T> {
        let name = self.axis_name(factors.axis);
        self.illegal(format!("the dots over `{name}` are no products of something of a row and something of a column"))
    }
}

/// Whether two are the same code.
pub(super) fn same(a: &Op, b: &Op) -> bool {
    format!("{a:?}") == format!("{b:?}")
}
