//! Emission of loop-IR operations: constants are folded, equal operations emitted once.
use super::{Block, Env, Illegal, Lower, Lowered, Op, Val};
use crate::ir::{self, BinOp, Kernel, UnOp, interp};
use crate::loop_ir::{Access, Bind, Expr, Mem, Owner, Stmt, Ty, Var, VarInfo};
use crate::schedule::Schedule;

impl<'a> Lower<'a> {
    pub(super) fn new(kernel: &'a Kernel, schedule: &'a Schedule) -> Self {
        let info = |v: &ir::Var| &kernel.vars[v.0 as usize];
        let is_int = |v: &&ir::Var| matches!(info(v).ty, ir::Ty::Int { .. });
        let ints = kernel.dims.len() + kernel.scalars.iter().filter(is_int).count();
        let params = kernel.dims.iter().chain(&kernel.scalars);
        let vars: Vec<VarInfo> = params
            .map(|v| {
                let ty = if is_int(&v) { Ty::I32 } else { Ty::F32 };
                VarInfo { name: info(v).name.clone(), ty, varying: false, span: kernel.span }
            })
            .collect();
        Lower {
            kernel,
            schedule,
            floats: vars.len() - ints,
            ints,
            vars,
            layouts: Vec::new(),
            rows: None,
            matrix: Default::default(),
            terms: Vec::new(),
            here: Vec::new(),
            outer_loops: 0,
            scratch: None,
            arrays: Vec::new(),
            blocks: vec![Block::default()],
            definitions: Default::default(),
            registers: Default::default(),
            states: Default::default(),
            lane: None,
            spread: false,
            team: Default::default(),
            stage: Vec::new(),
            copied: Default::default(),
            span: kernel.span,
        }
    }

    /// The parameters' values.
    pub(super) fn parameters(&self) -> Env {
        let params = self.kernel.dims.iter().chain(&self.kernel.scalars);
        let value = |(i, v): (usize, &ir::Var)| {
            let value = if self.is_one(*v) { int(1) } else { self.read(Var(i as u32)) };
            (*v, Val::Op(value))
        };
        params.enumerate().map(value).collect()
    }

    /// Whether a variable is a dim of which the schedule says that it is 1: dims are at least that.
    pub(super) fn is_one(&self, var: ir::Var) -> bool {
        self.kernel.dims.contains(&var) && self.schedule.most.get(&self.kernel.vars[var.0 as usize].name) == Some(&1)
    }

    pub(super) fn finish(&mut self) -> Vec<Stmt> {
        let mut body = std::mem::take(&mut self.arrays);
        body.append(&mut self.blocks[0].stmts);
        body
    }

    pub(super) fn illegal<T>(&self, reason: impl Into<String>) -> Lowered<T> {
        Err(Illegal { kernel: self.kernel.name.clone(), reason: reason.into() })
    }

    pub(super) fn var(&mut self, name: &str, ty: Ty, varying: bool) -> Var {
        self.vars.push(VarInfo { name: name.to_string(), ty, varying, span: self.span });
        Var(self.vars.len() as u32 - 1)
    }

    pub(super) fn read(&self, var: Var) -> Op {
        let info = &self.vars[var.0 as usize];
        Op { e: Expr::Var(var), ty: info.ty, varying: info.varying }
    }

    pub(super) fn push(&mut self, stmt: Stmt) {
        self.blocks.last_mut().expect("a block is open").stmts.push(stmt);
    }

    /// Runs `f` with a new statement list and returns what it emitted.
    pub(super) fn inside<T>(&mut self, f: impl FnOnce(&mut Self) -> Lowered<T>) -> Lowered<(Vec<Stmt>, T)> {
        self.blocks.push(Block::default());
        let result = f(self);
        let block = self.blocks.pop().expect("pushed above");
        result.map(|value| (block.stmts, value))
    }

    /// A loop whose body `f` emits, given the loop variable.
    pub(super) fn each(
        &mut self,
        bind: Bind,
        name: &str,
        (lo, hi, step): (Op, Op, i32),
        f: impl FnOnce(&mut Self, Op) -> Lowered<()>,
    ) -> Lowered<()> {
        let var = self.var(name, Ty::I32, bind == Bind::Simd);
        let index = self.read(var);
        let (body, ()) = self.inside(|l| {
            l.blocks.last_mut().expect("a block is open").repeats = true;
            f(l, index)
        })?;
        self.push(Stmt::For { bind, var, lo: lo.e, hi: hi.e, step, body });
        Ok(())
    }

    /// A register that loops can change.
    pub(super) fn register(&mut self, name: &str, init: Op, varying: bool) -> Var {
        let var = self.var(name, init.ty, varying);
        self.registers.insert(var);
        self.push(Stmt::Reg { var, init: init.e });
        var
    }

    pub(super) fn set(&mut self, var: Var, value: Op) {
        self.push(Stmt::Set { var, value: value.e });
    }

    /// Names the value of an operation, unless the same was computed before.
    pub(super) fn emit(&mut self, e: Expr, ty: Ty, varying: bool) -> Op {
        let key = format!("{e:?}");
        let stable = !self.mentions_register(&e);
        if stable && let Some(op) = self.blocks.iter().rev().find_map(|b| b.known.get(&key)) {
            return op.clone();
        }
        let var = self.var("v", ty, varying);
        self.definitions.insert(var, e.clone());
        self.push(Stmt::Let { var, value: e });
        let op = self.read(var);
        if stable {
            self.blocks.last_mut().expect("open").known.insert(key, op.clone());
        }
        op
    }

    /// Registers, arrays and scratch memory change, so what is computed from them is not remembered. Copies of rows do not.
    fn mentions_register(&self, e: &Expr) -> bool {
        let mut found = false;
        e.visit(&mut |e| match e {
            Expr::Var(v) => found |= self.registers.contains(v),
            Expr::Load(a) | Expr::LoadPack(a) => {
                let row = |array| self.copied.values().any(|row| *row == array) || self.holds_terms(array);
                found |= !(matches!(a.mem, Mem::Buffer(_)) || matches!(a.mem, Mem::Shared(array) if row(array)));
            }
            _ => {}
        });
        found
    }

    pub(super) fn unary(&mut self, op: UnOp, a: Op) -> Op {
        match (op, &a.e) {
            (UnOp::Neg, Expr::Int(v)) => return int(-v),
            (UnOp::ToF32, Expr::Int(v)) => return float(*v as f32),
            (UnOp::Neg, Expr::Float(v)) => return float(-v),
            _ => {}
        }
        let ty = match op {
            UnOp::ToInt { .. } | UnOp::Bits => Ty::I32,
            UnOp::ToF32 | UnOp::FromBits => Ty::F32,
            _ => a.ty,
        };
        self.emit(Expr::Unary(op, Box::new(a.e)), ty, a.varying)
    }

    pub(super) fn binary(&mut self, op: BinOp, a: Op, b: Op) -> Op {
        use BinOp::*;
        if let (Expr::Int(x), Expr::Int(y)) = (&a.e, &b.e) {
            match op {
                Lt => return truth(x < y),
                Le => return truth(x <= y),
                Eq => return truth(x == y),
                Ne => return truth(x != y),
                _ => {
                    if let Some(v) = interp::integer(op, *x, *y) {
                        return int(v);
                    }
                }
            }
        }
        match (op, &a.e, &b.e) {
            (Add, Expr::Int(0), _) | (Mul, Expr::Int(1), _) => return b,
            (Add | Sub | Shl | Shr, _, Expr::Int(0)) | (Mul | Div, _, Expr::Int(1)) => return a,
            _ => {}
        }
        let varying = a.varying || b.varying;
        if varying && a.ty == Ty::Bool && matches!(op, Eq | Ne) {
            // Truth values of lanes have no comparison of their own.
            let differ = self.binary(Xor, a, b);
            return if op == Ne { differ } else { self.unary(UnOp::Not, differ) };
        }
        let ty = if matches!(op, Lt | Le | Eq | Ne) { Ty::Bool } else { a.ty };
        self.emit(Expr::Binary(op, Box::new(a.e), Box::new(b.e)), ty, varying)
    }

    pub(super) fn fma(&mut self, a: Op, b: Op, c: Op) -> Op {
        let varying = a.varying || b.varying || c.varying;
        self.emit(Expr::Fma(Box::new(a.e), Box::new(b.e), Box::new(c.e)), Ty::F32, varying)
    }

    pub(super) fn select(&mut self, c: Op, a: Op, b: Op) -> Op {
        if let Expr::Bool(c) = c.e {
            return if c { a } else { b };
        }
        let (ty, varying) = (a.ty, a.varying || b.varying || c.varying);
        self.emit(Expr::Select(Box::new(c.e), Box::new(a.e), Box::new(b.e)), ty, varying)
    }

    /// 64-bit arithmetic on byte offsets.
    pub(super) fn long(&mut self, op: BinOp, a: Op, b: Op) -> Op {
        match (op, &a.e, &b.e) {
            (BinOp::Add, Expr::Long(x), Expr::Long(y)) => return long(x + y),
            (BinOp::Mul, Expr::Long(x), Expr::Long(y)) => return long(x * y),
            (BinOp::Add, Expr::Long(0), _) | (BinOp::Mul, Expr::Long(1), _) => return b,
            (BinOp::Add, _, Expr::Long(0)) | (BinOp::Mul, _, Expr::Long(1)) => return a,
            _ => {}
        }
        self.emit(Expr::Binary(op, Box::new(a.e), Box::new(b.e)), Ty::I64, false)
    }

    pub(super) fn widen(&mut self, a: Op) -> Op {
        match a.e {
            Expr::Int(v) => long(v as i64),
            e => self.emit(Expr::Widen(Box::new(e)), Ty::I64, false),
        }
    }

    /// The integer sum over all lanes.
    pub(super) fn lane_sum(&mut self, v: Op) -> Op {
        let call = Expr::Call { intrinsic: "hsum", args: vec![v.e], span: self.span };
        self.emit(call, Ty::I32, false)
    }

    /// Writes to memory, at the place that is being lowered.
    pub(super) fn store(&mut self, to: Access, value: Op) {
        self.push(Stmt::Store { to, value: value.e, only: None, span: self.span });
    }

    /// A local array.
    pub(super) fn array(&mut self, name: &str, scalar: ir::Scalar, len: usize) -> Var {
        let var = self.var(name, Ty::F32, false);
        self.arrays.push(Stmt::Array { var, scalar, len, of: Owner::Worker });
        var
    }

    /// The element of an array of f32 at `index` (and at the next ones in the other lanes, with `stride` 1).
    pub(super) fn element(&mut self, array: Var, index: Op, stride: i32) -> Access {
        let wide = self.widen(index);
        let addr = self.long(BinOp::Mul, wide, long(4));
        let mem = if self.team.owns(array) { Mem::Shared(array) } else { Mem::Local(array) };
        Access { mem, addr: Box::new(addr.e), lane_stride: 4 * stride, offset: None, scalar: ir::Scalar::F32 }
    }

    pub(super) fn load(&mut self, access: Access) -> Op {
        let ty = if access.scalar.range().is_some() { Ty::I32 } else { Ty::F32 };
        let varying = access.varies();
        self.emit(Expr::Load(access), ty, varying)
    }

    pub(super) fn width(&self) -> usize {
        self.schedule.width
    }
}

/// Integer arithmetic over sizes, done where it can be.
pub(super) fn arithmetic(op: BinOp, a: Expr, b: Expr) -> Expr {
    match (op, &a, &b) {
        (_, Expr::Int(x), Expr::Int(y)) if interp::integer(op, *x, *y).is_some() => {
            Expr::Int(interp::integer(op, *x, *y).unwrap_or_default())
        }
        (BinOp::Add, Expr::Int(0), _) | (BinOp::Mul, Expr::Int(1), _) => b,
        (BinOp::Add | BinOp::Sub, _, Expr::Int(0)) | (BinOp::Mul | BinOp::Div, _, Expr::Int(1)) => a,
        _ => Expr::Binary(op, Box::new(a), Box::new(b)),
    }
}

pub(super) fn int(v: i32) -> Op {
    Op { e: Expr::Int(v), ty: Ty::I32, varying: false }
}

pub(super) fn long(v: i64) -> Op {
    Op { e: Expr::Long(v), ty: Ty::I64, varying: false }
}

pub(super) fn float(v: f32) -> Op {
    Op { e: Expr::Float(v), ty: Ty::F32, varying: false }
}

pub(super) fn truth(v: bool) -> Op {
    Op { e: Expr::Bool(v), ty: Ty::Bool, varying: false }
}
