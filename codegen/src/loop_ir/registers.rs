//! Arrays of a team of which every lane of every member has one element become registers: nobody has to meet for them.
use super::{Access, Bind, Expr, Func, Mem, Owner, Stmt, Ty, Var, VarInfo};
use crate::ir::{BinOp, Scalar};
use std::collections::{HashMap, HashSet};

/// Writes out the loops in which each member of a team has one turn, and changes all arrays of which each lane touches its own
/// element only: that of number `member * width + lane`.
pub fn keep_in_registers(func: &mut Func) {
    let elements = func.width * func.team;
    if func.team < 2 {
        return;
    }
    let mut names = Names {
        width: func.width as i32,
        team: func.team as i32,
        elements: elements as i32,
        member: None,
        values: HashMap::new(),
    };
    names.collect(&func.body);
    names.write_out(&mut func.body);
    let mut arrays: Vec<Var> = Vec::new();
    func.body.retain(|s| match s {
        Stmt::Array { var, scalar: Scalar::F32, len, of: Owner::Team } if *len == elements => {
            arrays.push(*var);
            true
        }
        _ => true,
    });
    let mut shared = HashSet::new();
    func.body.iter().for_each(|s| names.note_shared(s, &mut shared));
    let mut registers = HashMap::new();
    for array in arrays.into_iter().filter(|array| !shared.contains(array)) {
        let VarInfo { name, span, .. } = func.vars[array.0 as usize].clone();
        func.vars.push(VarInfo { name, span, ty: Ty::F32, varying: func.width > 1 });
        registers.insert(array, Var(func.vars.len() as u32 - 1));
    }
    func.body.retain(|s| !matches!(s, Stmt::Array { var, .. } if registers.contains_key(var)));
    rewrite(&mut func.body, &registers);
    let innermost = if func.width > 1 { Bind::Simd } else { Bind::Team };
    declare(&mut func.body, innermost, &registers, false);
}

/// What names stand for.
struct Names {
    width: i32,
    team: i32,
    /// Of a register of each member.
    elements: i32,
    member: Option<Var>,
    values: HashMap<Var, Expr>,
}

impl Names {
    fn collect(&mut self, stmts: &[Stmt]) {
        for s in stmts {
            match s {
                Stmt::Let { var, value } => drop(self.values.insert(*var, value.clone())),
                Stmt::For { bind: Bind::Team, var, .. } => self.member = Some(*var),
                _ => {}
            }
            s.lists().into_iter().for_each(|list| self.collect(list));
        }
    }

    fn value<'e>(&'e self, e: &'e Expr) -> &'e Expr {
        match e {
            Expr::Var(var) => self.values.get(var).map_or(e, |value| self.value(value)),
            e => e,
        }
    }

    fn is_member(&self, e: &Expr) -> bool {
        matches!(self.value(e), Expr::Var(var) if Some(*var) == self.member)
    }

    /// Whether a number is that of the member's first element.
    fn is_first(&self, e: &Expr) -> bool {
        match self.value(e) {
            Expr::Binary(BinOp::Mul, a, b) => self.is_member(a) && matches!(**b, Expr::Int(n) if n == self.width),
            e => self.width == 1 && self.is_member(e),
        }
    }

    /// Whether in a loop each member has one turn: for a register of elements, or for one of something else.
    fn one_turn(&self, lo: &Expr, hi: &Expr, step: i32) -> bool {
        let turn = step == self.elements && self.is_first(lo) || step == self.team && self.is_member(lo);
        turn && matches!(self.value(hi), Expr::Int(n) if *n == step)
    }

    fn write_out(&mut self, stmts: &mut Vec<Stmt>) {
        for mut s in std::mem::take(stmts) {
            s.lists_mut().into_iter().for_each(|list| self.write_out(list));
            match s {
                Stmt::For { bind: Bind::Serial, var, lo, hi, step, body } if self.one_turn(&lo, &hi, step) => {
                    self.values.insert(var, lo.clone());
                    stmts.push(Stmt::Let { var, value: lo });
                    stmts.extend(body);
                }
                s => stmts.push(s),
            }
        }
    }

    /// Whether an access is of each lane to its own element.
    fn is_own(&self, access: &Access) -> bool {
        let Expr::Binary(BinOp::Mul, index, size) = self.value(&access.addr) else { return false };
        let Expr::Widen(index) = self.value(index) else { return false };
        let stride = if self.width > 1 { 4 } else { 0 };
        access.lane_stride == stride && matches!(**size, Expr::Long(4)) && self.is_first(index)
    }

    /// Notes the arrays of which other elements are touched.
    fn note_shared(&self, s: &Stmt, shared: &mut HashSet<Var>) {
        let mut note = |access: &Access, own: bool| {
            if let Mem::Shared(array) = access.mem
                && !own
            {
                shared.insert(array);
            }
        };
        match s {
            Stmt::Store { to, .. } => note(to, self.is_own(to)),
            Stmt::Copy { to, from, .. } => [to, from].into_iter().for_each(|access| note(access, false)),
            Stmt::Prefetch { from, .. } => note(from, false),
            _ => {}
        }
        let mut loads = |e: &Expr| match e {
            Expr::Load(access) => note(access, self.is_own(access)),
            Expr::LoadPack(access) => note(access, false),
            _ => {}
        };
        s.exprs().into_iter().for_each(|e| e.visit(&mut loads));
        s.lists().into_iter().flatten().for_each(|s| self.note_shared(s, shared));
    }
}

fn rewrite(stmts: &mut [Stmt], registers: &HashMap<Var, Var>) {
    let register =
        |access: &Access| if let Mem::Shared(array) = access.mem { registers.get(&array).copied() } else { None };
    for s in stmts {
        for e in s.exprs_mut() {
            e.visit_mut(&mut |e| {
                if let Expr::Load(access) = e
                    && let Some(var) = register(access)
                {
                    *e = Expr::Var(var);
                }
            });
        }
        if let Stmt::Store { to, value, .. } = s
            && let Some(var) = register(to)
        {
            *s = Stmt::Set { var, value: value.clone() };
        }
        s.lists_mut().into_iter().for_each(|list| rewrite(list, registers));
    }
}

/// Declares the registers at the beginning of an item, in the loop over lanes, or over members where there are no lanes.
fn declare(stmts: &mut [Stmt], innermost: Bind, registers: &HashMap<Var, Var>, item: bool) {
    for s in stmts {
        match s {
            Stmt::For { bind, body, .. } if item && *bind == innermost => {
                let mut all: Vec<Var> = registers.values().copied().collect();
                all.sort();
                let declared = all.into_iter().map(|var| Stmt::Reg { var, init: Expr::Float(0.0) });
                body.splice(0..0, declared);
            }
            Stmt::For { bind, body, .. } => declare(body, innermost, registers, item || *bind == Bind::Work),
            _ => {}
        }
    }
}
