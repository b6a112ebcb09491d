//! Expressions, for all iterations of a tile at once.
use super::build::{float, int, truth};
use super::sum::Fold;
use super::{Env, Lower, Lowered, Op, Val, halves};
use crate::ir::{self, BinOp, Expr, Kind, UnOp};
use crate::loop_ir;

impl Lower<'_> {
    /// The value for one iteration.
    pub(super) fn eval(&mut self, e: &Expr, env: &mut Env) -> Lowered<Val> {
        let mut envs = [std::mem::take(env)];
        let value = self.evals(e, &mut envs);
        let [back] = envs;
        *env = back;
        Ok(value?.pop().expect("one iteration"))
    }

    /// The values for all iterations, in their order.
    pub(super) fn evals(&mut self, e: &Expr, envs: &mut [Env]) -> Lowered<Vec<Val>> {
        let outer = std::mem::replace(&mut self.span, e.span);
        let values = self.node(e, envs);
        self.span = outer;
        values
    }

    fn node(&mut self, e: &Expr, envs: &mut [Env]) -> Lowered<Vec<Val>> {
        Ok(match &e.kind {
            Kind::Int(v) => vec![Val::Op(int(*v as i32)); envs.len()],
            Kind::Float(v) => vec![Val::Op(float(*v)); envs.len()],
            Kind::Bool(v) => {
                let op = Op { e: loop_ir::Expr::Bool(*v), ty: loop_ir::Ty::Bool, varying: false };
                vec![Val::Op(op); envs.len()]
            }
            Kind::Var(v) => envs.iter().map(|env| env[v].clone()).collect(),
            Kind::Load(place) => self.for_each(envs, |l, env| {
                let access = l.access(place, place.scalar.bytes(), env)?;
                // Lanes beyond the last row would read what is not there, but of packed weights.
                Ok(Val::Op(match l.rows.is_some() && access.lane_stride != 0 && l.layouts[place.buffer].is_none() {
                    true => l.load_rows(access, env),
                    false => l.load(access),
                }))
            })?,
            Kind::At { array, index } => self.for_each(envs, |l, env| {
                let (base, stride) = l.affine(index, env)?;
                let access = l.element_of(&env[array], base, stride);
                Ok(Val::Op(l.load(access)))
            })?,
            Kind::Unary(op, a) => {
                let values = self.evals(a, envs)?;
                match (op, a.ty) {
                    (UnOp::FromHalf, ir::Ty::Half(scalar)) if !matches!(a.kind, Kind::Load(_)) => {
                        values.into_iter().map(|a| self.rounded(scalar, a)).collect()
                    }
                    _ => values.into_iter().map(|a| self.unary_val(*op, a)).collect(),
                }
            }
            Kind::Binary(op, a, b) => {
                let small = [halves::small(a.ty), halves::small(b.ty)];
                let (a, b) = (self.evals(a, envs)?, self.evals(b, envs)?);
                let pairs = a.into_iter().zip(b);
                pairs.map(|(a, b)| self.binary_val(*op, (a, b), small)).collect::<Lowered<_>>()?
            }
            Kind::Fma(a, b, c) => {
                let (a, b, c) = (self.ops(a, envs)?, self.ops(b, envs)?, self.ops(c, envs)?);
                a.into_iter().zip(b).zip(c).map(|((a, b), c)| Val::Op(self.fma(a, b, c))).collect()
            }
            Kind::Select(c, a, b) => self.for_each(envs, |l, env| l.select_val(c, a, b, env))?,
            Kind::Reduce { op, axis, body } => self.reduce(*op, axis, body, envs)?,
            Kind::Sum { shape, axis, acc, step } => self.sum(*shape, &Fold { axis, acc: *acc, step }, envs)?,
            Kind::Map { axis, body } => {
                let ir::Ty::Array { cap } = e.ty else { unreachable!("a map is an array") };
                self.map(axis, body, cap, envs)?
            }
        })
    }

    fn for_each(
        &mut self,
        envs: &mut [Env],
        mut f: impl FnMut(&mut Self, &mut Env) -> Lowered<Val>,
    ) -> Lowered<Vec<Val>> {
        envs.iter_mut().map(|env| f(self, env)).collect()
    }

    /// Values as operands: affine ones are spread out, partial sums added up.
    pub(super) fn ops(&mut self, e: &Expr, envs: &mut [Env]) -> Lowered<Vec<Op>> {
        Ok(self.evals(e, envs)?.into_iter().map(|v| self.op(v)).collect())
    }

    pub(super) fn op(&mut self, v: Val) -> Op {
        match v {
            Val::Op(op) => op,
            Val::Affine { base, stride } => self.spread_out(base, stride),
            Val::Lanes { base, at, .. } => self.binary(BinOp::Add, at, base),
            Val::Partial(op) => self.lane_sum(op),
            Val::Halves { scale, halves } => self.add_halves(int(0), scale, halves),
            Val::Array(_) | Val::Left { .. } => unreachable!("arrays are no operands"),
        }
    }

    fn unary_val(&mut self, op: UnOp, a: Val) -> Val {
        // Conversions of halves belong to loads and stores.
        if matches!(op, UnOp::FromHalf | UnOp::ToHalf(_)) {
            return a;
        }
        if let (UnOp::Neg, Val::Partial(p)) = (op, &a) {
            return Val::Partial(self.unary(op, p.clone()));
        }
        let a = self.op(a);
        Val::Op(self.unary(op, a))
    }

    /// A half that was computed, as the float it became: by way of memory, which is where halves are rounded.
    fn rounded(&mut self, scalar: ir::Scalar, a: Val) -> Val {
        let a = self.op(a);
        let len = if a.varying { self.width() } else { 1 };
        let memory = loop_ir::Mem::Local(self.array("half", scalar, len));
        let lane_stride = if a.varying { scalar.bytes() as i32 } else { 0 };
        let access =
            loop_ir::Access { mem: memory, addr: Box::new(loop_ir::Expr::Long(0)), lane_stride, offset: None, scalar };
        self.store(access.clone(), a);
        Val::Op(self.load(access))
    }

    /// `small` says which of the two are factors that halves can be multiplied by.
    fn binary_val(&mut self, op: BinOp, (a, b): (Val, Val), small: [bool; 2]) -> Lowered<Val> {
        match (op, a, b) {
            // A sum over halves takes one factor on the way.
            (BinOp::Mul, Val::Halves { scale, halves }, Val::Op(by)) if small[1] && halves::is_one(&scale) => {
                Ok(Val::Halves { scale: by, halves })
            }
            (BinOp::Mul, Val::Op(by), Val::Halves { scale, halves }) if small[0] && halves::is_one(&scale) => {
                Ok(Val::Halves { scale: by, halves })
            }
            (op, halves @ Val::Halves { .. }, b) => {
                let sum = self.op(halves);
                self.binary_val(op, (Val::Op(sum), b), small)
            }
            (op, a, halves @ Val::Halves { .. }) => {
                let sum = self.op(halves);
                self.binary_val(op, (a, Val::Op(sum)), small)
            }
            // A sum over lanes is linear: it is put off as long as it can be.
            (BinOp::Mul, Val::Partial(p), Val::Op(u)) | (BinOp::Mul, Val::Op(u), Val::Partial(p)) if !u.varying => {
                Ok(Val::Partial(self.binary(op, p, u)))
            }
            (BinOp::Add | BinOp::Sub, Val::Partial(p), Val::Partial(q)) => Ok(Val::Partial(self.binary(op, p, q))),
            (op, a @ (Val::Partial(_) | Val::Op(_)), b @ (Val::Partial(_) | Val::Op(_))) => {
                let (a, b) = (self.op(a), self.op(b));
                Ok(Val::Op(self.binary(op, a, b)))
            }
            (op, Val::Partial(p), b) => {
                let sum = self.lane_sum(p);
                self.affine_binary(op, Val::Op(sum), b)
            }
            (op, a, Val::Partial(p)) => {
                let sum = self.lane_sum(p);
                self.affine_binary(op, a, Val::Op(sum))
            }
            (op, a, b) => self.affine_binary(op, a, b),
        }
    }

    fn select_val(&mut self, c: &Expr, a: &Expr, b: &Expr, env: &mut Env) -> Lowered<Val> {
        let cond = self.eval(c, env)?;
        let cond = self.op(cond);
        if let loop_ir::Expr::Bool(c) = cond.e {
            return self.eval(if c { a } else { b }, env);
        }
        // Only the chosen side may be evaluated: the other may read where nothing is, or leave its proved range.
        if can_fail(a) || can_fail(b) {
            return self.branch(cond, a, b, env);
        }
        let (a, b) = (self.eval(a, env)?, self.eval(b, env)?);
        let (a, b) = (self.op(a), self.op(b));
        Ok(Val::Op(self.select(cond, a, b)))
    }

    fn branch(&mut self, cond: Op, a: &Expr, b: &Expr, env: &mut Env) -> Lowered<Val> {
        if cond.varying {
            return self.illegal("lanes choose differently what only some may compute");
        }
        let mut sides = Vec::new();
        for side in [a, b] {
            sides.push(self.inside(|l| {
                let value = l.eval(side, env)?;
                Ok(l.op(value))
            })?);
        }
        let zero = match a.ty {
            ir::Ty::Int { .. } => int(0),
            ir::Ty::Bool => truth(false),
            _ => float(0.0),
        };
        let var = self.register("chosen", zero, sides.iter().any(|(_, value)| value.varying));
        let set = |(mut stmts, value): (Vec<loop_ir::Stmt>, Op)| {
            stmts.push(loop_ir::Stmt::Set { var, value: value.e });
            stmts
        };
        let [then, other] = <[_; 2]>::try_from(sides).expect("two sides").map(set);
        self.push(loop_ir::Stmt::If { cond: cond.e, then, other });
        let value = self.read(var);
        Ok(Val::Op(value))
    }
}

/// Whether an expression may be evaluated only where the source says so: it reads memory, or computes with integers whose
/// range may have been proved from the condition of a choice.
pub(super) fn can_fail(e: &Expr) -> bool {
    match &e.kind {
        Kind::Int(_) | Kind::Float(_) | Kind::Bool(_) | Kind::Var(_) => false,
        Kind::Unary(UnOp::Neg | UnOp::Abs, _) if matches!(e.ty, ir::Ty::Int { .. }) => true,
        Kind::Unary(_, a) => can_fail(a),
        Kind::Binary(BinOp::Add | BinOp::Sub | BinOp::Mul | BinOp::Div | BinOp::Rem | BinOp::Shl | BinOp::Shr, ..)
            if matches!(e.ty, ir::Ty::Int { .. }) =>
        {
            true
        }
        Kind::Binary(_, a, b) => can_fail(a) || can_fail(b),
        Kind::Fma(a, b, c) | Kind::Select(a, b, c) => can_fail(a) || can_fail(b) || can_fail(c),
        _ => true,
    }
}
