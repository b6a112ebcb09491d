//! Factors that an instruction reads from shared memory by itself: whether they lie as it reads them.
use super::stmt::{Printed, Printer};
use super::text::Text;
use crate::instructions::instruction;
use crate::instructions::matrix::LANES;
use crate::ir::BinOp;
use crate::loop_ir::{Access, Bind, Expr, Mem, Stmt, Var};

/// Bytes of a piece, which has neighbours of one column, and of eight columns' pieces, which are side by side.
const PIECE: i64 = 16;
const EIGHT: i64 = 8 * PIECE;

/// Products that may be under way at once: each has registers that must not change meanwhile.
const UNDER_WAY: usize = 4;

/// Products that have begun, and are not waited for.
#[derive(Default)]
pub(super) struct Pending {
    count: usize,
    registers: Vec<Vec<Var>>,
}

impl Printer<'_> {
    /// What has to stand in front of a statement: products that read by themselves go on, and are waited for before anything but
    /// values that do not come from them.
    pub(super) fn under_way(&self, s: &Stmt, depth: usize, pending: &mut Pending, out: &mut Text) {
        let of_pending = |var: &Var| pending.registers.iter().any(|registers| registers.contains(var));
        match s {
            Stmt::Accumulate { intrinsic, registers, .. }
                if instruction(intrinsic).is_some_and(|i| i.in_memory > 0) =>
            {
                if pending.count == UNDER_WAY {
                    self.await_wide(pending, depth, out);
                }
                // The rows' registers are new ones.
                out.bare(depth, "before_wide();");
                pending.count += 1;
                if !pending.registers.contains(registers) {
                    pending.registers.push(registers.clone());
                }
            }
            Stmt::Let { value, .. } => {
                let mut found = false;
                value.visit(&mut |e| found |= matches!(e, Expr::Var(var) if of_pending(var)));
                if found {
                    self.await_wide(pending, depth, out);
                }
            }
            _ => self.await_wide(pending, depth, out),
        }
    }

    /// Waits for what is under way.
    pub(super) fn await_wide(&self, pending: &mut Pending, depth: usize, out: &mut Text) {
        for registers in std::mem::take(pending).registers {
            let names: Vec<String> = registers.into_iter().map(|register| self.var(register)).collect();
            out.bare(depth, &format!("await_wide({});", names.join(", ")));
        }
    }

    /// The address of the first, and how many bytes a column's pieces are apart, of loads of two packs for each eight columns.
    pub(super) fn in_memory(&self, loads: &[Expr]) -> Printed<String> {
        let wrong = || "what an instruction reads by itself does not lie as it reads it".to_string();
        let places = loads.iter().map(|load| match load {
            Expr::LoadPack(access) if matches!(access.mem, Mem::Shared(_)) && access.lane_stride == 0 => Some(access),
            _ => None,
        });
        let places: Vec<&Access> = places.collect::<Option<_>>().ok_or_else(wrong)?;
        let lane = lane_of(&self.func.body).ok_or_else(wrong)?;
        let mut apart = None;
        for trial in [3, 17] {
            let at = |access: &Access, of: i64| {
                let place = Place { printer: self, lane, of, trial };
                let offset = access.offset.as_deref().map_or(Some(0), |offset| place.value(offset));
                Some((place.value(&access.addr)?, offset?))
            };
            let (first, inside) = at(places[0], 0).ok_or_else(wrong)?;
            let next = at(places[1], 0).ok_or_else(wrong)?.0 - first;
            let mut fits = first % PIECE == 0 && next > 0 && next % PIECE == 0 && inside == 0;
            for (number, access) in places.iter().enumerate() {
                let pack = (number as i64 % 2) * next + (number as i64 / 2) * EIGHT;
                let own = |of: i64| pack + of / 4 * PIECE + of % 4 * 4;
                fits &= access.mem == places[0].mem
                    && (0..LANES as i64)
                        .all(|of| at(access, of).is_some_and(|(addr, more)| addr + more - first == own(of)));
            }
            if !fits || apart.is_some_and(|apart| apart != next) {
                return Err(wrong());
            }
            apart = Some(next);
        }
        let first = Access { offset: None, ..places[0].clone() };
        Ok(format!("{}, {}", self.address(&first)?, apart.unwrap_or_default()))
    }
}

/// The variable of the loop over lanes.
fn lane_of(stmts: &[Stmt]) -> Option<Var> {
    stmts.iter().find_map(|s| match s {
        Stmt::For { bind: Bind::Simd, var, .. } => Some(*var),
        _ => s.lists().into_iter().find_map(|list| lane_of(list)),
    })
}

/// Where lane `of` is, if numbers that are not known are some that differ from trial to trial.
struct Place<'p> {
    printer: &'p Printer<'p>,
    lane: Var,
    of: i64,
    trial: i64,
}

impl Place<'_> {
    fn value(&self, e: &Expr) -> Option<i64> {
        Some(match e {
            Expr::Int(v) => *v as i64,
            Expr::Long(v) => *v,
            Expr::Widen(a) => self.value(a)?,
            Expr::Var(v) if *v == self.lane => self.of,
            Expr::Var(v) => match self.printer.offsets.get(v) {
                Some(value) => self.value(value)?,
                None if self.printer.func.vars[v.0 as usize].varying => return None,
                None => self.trial * (v.0 as i64 + 1),
            },
            Expr::Binary(op, a, b) => {
                let (a, b) = (self.value(a)?, self.value(b)?);
                match op {
                    BinOp::Add => a + b,
                    BinOp::Sub => a - b,
                    BinOp::Mul => a * b,
                    BinOp::Div if b > 0 => a / b,
                    BinOp::Rem if b > 0 => a % b,
                    BinOp::Shr => a >> b,
                    BinOp::And => a & b,
                    BinOp::Min => a.min(b),
                    BinOp::Max => a.max(b),
                    _ => return None,
                }
            }
            _ => return None,
        })
    }
}
