//! Sums of dots with a scale each, where the bytes of a row are multiplied by the scale before the dot: by its upper and by its lower
//! bits, so that the products are bytes. Nothing is left to do for each dot then, and little for the sum of all.
use super::axis::give;
use super::build::int;
use super::matrix_dot::{Factors, Packs, same};
use super::{Env, Lower, Lowered, Op, Val};
use crate::instructions::matrix_wide::{COLUMNS, INSTRUCTION as WIDE};
use crate::instructions::times::INSTRUCTION;
use crate::ir::{self, Axis, BinOp, Block, Kind, ReduceOp, Ty};
use crate::loop_ir::{self, Expr, Mem, Stmt};

/// A scale, and the dot that it multiplies.
struct Scaled<'e> {
    scale: &'e ir::Expr,
    dot: (&'e Axis, &'e Block, (i32, usize)),
}

impl<'e> Scaled<'e> {
    /// What a block computes, if it is that.
    fn of(body: &'e Block) -> Option<Scaled<'e>> {
        let Kind::Binary(BinOp::Mul, a, b) = &body.value.kind else { return None };
        [(a, b), (b, a)].into_iter().find_map(|(scale, dot)| {
            let Kind::Reduce { op: ReduceOp::ISum, axis, body } = &dot.kind else { return None };
            let (Kind::Int(lo), Kind::Int(hi)) = (&axis.lo.kind, &axis.hi.kind) else { return None };
            let len = usize::try_from(hi - lo).ok().filter(|len| *len > 0)?;
            Some(Scaled { scale, dot: (axis, body, (*lo as i32, len)) })
        })
    }

    /// How many lower bits of the scale leave products with a row's bytes that are bytes, as those of the upper bits do.
    fn lower_bits(&self, bytes: i64) -> Option<i32> {
        let Ty::Int { lo: 0.., hi } = self.scale.ty else { return None };
        let fits = |bits: &i32| bytes * (hi >> bits).max((1 << bits) - 1) <= i64::from(u8::MAX);
        (1..8).find(fits)
    }
}

impl Lower<'_> {
    /// `isum(lo..lo + len, |i| scale(i) * dot(i))`, where the schedule wants scales to be split; `None` where it does not, or they are too
    /// large.
    pub(super) fn split_sum(
        &mut self,
        axis: &Axis,
        body: &Block,
        (lo, len): (i32, usize),
        envs: &mut [Env],
    ) -> Lowered<Option<Vec<Val>>> {
        let Some(scaled) = Scaled::of(body).filter(|_| self.schedule.split_scales) else { return Ok(None) };
        let (dot_axis, dot, bounds) = scaled.dot;
        let Some(factors) = self.factors(dot_axis, dot, bounds, envs) else { return Ok(None) };
        let Some(bits) = factors.most_of_bytes().and_then(|most| scaled.lower_bits(most)) else { return Ok(None) };
        let registers =
            |l: &mut Self| -> Vec<loop_ir::Var> { envs.iter().map(|_| l.register("sum", int(0), true)).collect() };
        let (upper, lower) = (registers(self), registers(self));
        for i in lo..lo + len as i32 {
            give(envs, axis.var, Val::Op(int(i)));
            self.stmts(&body.stmts, envs)?;
            let scales = self.ops(scaled.scale, envs)?;
            let part = |l: &mut Self, op, by: i32| -> Vec<Op> {
                scales.iter().map(|scale| l.binary(op, scale.clone(), int(by))).collect()
            };
            let parts = [(part(self, BinOp::Shr, bits), &upper), (part(self, BinOp::And, (1 << bits) - 1), &lower)];
            self.multiply(&factors, &parts, envs)?;
        }
        let sums = upper.into_iter().zip(lower).map(|(upper, lower)| {
            let (upper, lower) = (self.read(upper), self.read(lower));
            let upper = self.binary(BinOp::Mul, upper, int(1 << bits));
            Val::Op(self.binary(BinOp::Add, upper, lower))
        });
        Ok(Some(sums.collect()))
    }

    /// Adds a dot to registers, once for each list of scales and of registers for all iterations.
    fn multiply(&mut self, factors: &Factors, parts: &[(Vec<Op>, &Vec<loop_ir::Var>)], envs: &[Env]) -> Lowered<()> {
        if self.schedule.wide {
            return self.multiply_wide(factors, parts, envs);
        }
        for (product, piece) in factors.products.iter().flat_map(|product| factors.pieces().map(move |p| (product, p)))
        {
            let Packs { rows, columns, intrinsic } = self.packs_of(factors, piece, *product, envs)?;
            for (scales, registers) in parts {
                let mut args = self.scaled(&rows, scales, *product)?;
                args.extend(columns.iter().map(|column| column.e.clone()));
                let registers = product.map(|i| registers[i]).to_vec();
                self.push(Stmt::Accumulate { intrinsic, registers, args, span: self.span });
            }
        }
        Ok(())
    }

    /// The same by products of all columns of the tile, which the instruction reads from the team's memory.
    fn multiply_wide(
        &mut self,
        factors: &Factors,
        parts: &[(Vec<Op>, &Vec<loop_ir::Var>)],
        envs: &[Env],
    ) -> Lowered<()> {
        for piece in factors.pieces() {
            let (mut rows, mut columns) = (Vec::new(), Vec::new());
            for product in &factors.products {
                let packs = self.packs_of(factors, piece, *product, envs)?;
                let loaded = |op: &Op| match &op.e {
                    Expr::Var(var) => self
                        .definitions
                        .get(var)
                        .filter(|e| matches!(e, Expr::LoadPack(a) if matches!(a.mem, Mem::Shared(_))))
                        .cloned(),
                    _ => None,
                };
                let Some(loads) = packs.columns.iter().map(loaded).collect::<Option<Vec<Expr>>>() else {
                    return self.illegal("the columns of a wide product are not in the team's memory");
                };
                columns.extend(loads);
                rows = packs.rows;
            }
            if columns.len() != WIDE.in_memory || rows.len() != 4 {
                return self.illegal(format!("a wide product has 32 neighbours of 16 rows and {COLUMNS} columns"));
            }
            for (scales, registers) in parts {
                let mut args = self.scaled(&rows, scales, factors.products[0])?;
                args.extend(columns.iter().cloned());
                let registers = factors.products.iter().flat_map(|product| product.map(|i| registers[i])).collect();
                self.push(Stmt::Accumulate { intrinsic: WIDE.name, registers, args, span: self.span });
            }
        }
        Ok(())
    }

    /// The packs of a product's two rows, each multiplied by the row's scale.
    fn scaled(&mut self, rows: &[Op], scales: &[Op], product: [usize; 4]) -> Lowered<Vec<Expr>> {
        let of_rows = [[0, 1], [2, 3]].map(|columns| columns.map(|i| &scales[product[i]]));
        if of_rows.iter().any(|[first, second]| !same(first, second)) {
            return self.illegal("a scale that is split depends on the columns");
        }
        let span = self.span;
        let product = |l: &mut Self, (number, row): (usize, &Op)| {
            let args = vec![row.e.clone(), of_rows[number % 2][0].e.clone()];
            l.emit(Expr::Call { intrinsic: INSTRUCTION.name, args, span }, loop_ir::Ty::U8x4, true).e
        };
        Ok(rows.iter().enumerate().map(|row| product(self, row)).collect())
    }
}
