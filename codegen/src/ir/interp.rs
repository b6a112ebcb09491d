//! Runs the algorithm IR. This is the definition of the language: what it computes is what every kernel must compute.
//!
//! It is written to be read, not to be fast: a tree walk, one value at a time, in the order of the source.
use super::sum_order::Shape;
use super::{Axis, BinOp, Block, Expr, Kernel, Kind, Place, ReduceOp, Scalar, Stmt, Ty, UnOp, Var};
use crate::float;
use std::rc::Rc;

/// A value at run time.
#[derive(Clone, Debug)]
pub enum Value {
    /// IEEE binary32.
    F32(f32),
    /// The bits of a 16-bit float of this type.
    Half(Scalar, u16),
    /// An integer inside `i32`.
    Int(i32),
    /// A truth value.
    Bool(bool),
    /// An array.
    Array(Rc<Vec<f32>>),
}

impl Value {
    fn f32(&self) -> f32 {
        match self {
            Value::F32(x) => *x,
            other => panic!("the checker lets no {other:?} be used as f32"),
        }
    }

    /// The integer.
    pub fn int(&self) -> i32 {
        match self {
            Value::Int(x) => *x,
            other => panic!("the checker lets no {other:?} be used as an integer"),
        }
    }

    fn bool(&self) -> bool {
        match self {
            Value::Bool(x) => *x,
            other => panic!("the checker lets no {other:?} be used as a condition"),
        }
    }
}

/// Runs a kernel on buffers of bytes. `ints` are the dims and then the integer scalars, `floats` the float scalars.
/// A buffer that is too short, a precondition that does not hold and an integer that leaves its proved range are faults.
pub fn run(kernel: &Kernel, ints: &[i32], floats: &[f32], buffers: &mut [Vec<u8>]) -> Result<(), String> {
    let mut m = Machine { kernel, vars: vec![None; kernel.vars.len()], buffers };
    let mut numbers = ints.iter().map(|i| Value::Int(*i)).chain(floats.iter().map(|f| Value::F32(*f)));
    for var in kernel.dims.iter().chain(&kernel.scalars) {
        m.set(*var, numbers.next().ok_or("too few arguments")?)?;
    }
    for (cond, text) in &kernel.requires {
        if !m.eval(cond)?.bool() {
            return Err(format!("{} requires {text}", kernel.name));
        }
    }
    m.stmts(&kernel.body)
}

/// The first precondition that does not hold for these dims and integer scalars.
pub fn unmet<'k>(kernel: &'k Kernel, ints: &[i32]) -> Result<Option<&'k str>, String> {
    let mut m = Machine { kernel, vars: vec![None; kernel.vars.len()], buffers: &mut [] };
    for (var, value) in kernel.dims.iter().chain(&kernel.scalars).zip(ints) {
        m.set(*var, Value::Int(*value))?;
    }
    for (cond, text) in &kernel.requires {
        if !m.eval(cond)?.bool() {
            return Ok(Some(text));
        }
    }
    Ok(None)
}

/// Evaluates an expression over dims and integer scalars, as a shape.
pub fn size(kernel: &Kernel, e: &Expr, ints: &[i32]) -> Result<i32, String> {
    let mut m = Machine { kernel, vars: vec![None; kernel.vars.len()], buffers: &mut [] };
    for (var, value) in kernel.dims.iter().chain(&kernel.scalars).zip(ints) {
        m.set(*var, Value::Int(*value))?;
    }
    Ok(m.eval(e)?.int())
}

struct Machine<'a> {
    kernel: &'a Kernel,
    vars: Vec<Option<Value>>,
    buffers: &'a mut [Vec<u8>],
}

impl Machine<'_> {
    fn set(&mut self, var: Var, value: Value) -> Result<(), String> {
        self.vars[var.0 as usize] = Some(self.in_range(value, self.kernel.vars[var.0 as usize].ty)?);
        Ok(())
    }

    fn in_range(&self, value: Value, ty: Ty) -> Result<Value, String> {
        if let (Value::Int(v), Ty::Int { lo, hi }) = (&value, ty)
            && !(lo..=hi).contains(&(*v as i64))
        {
            return Err(format!("{}: {v} is outside its proved range {lo}..={hi}", self.kernel.name));
        }
        Ok(value)
    }

    fn stmts(&mut self, stmts: &[Stmt]) -> Result<(), String> {
        for s in stmts {
            match s {
                Stmt::Let { var, value } => {
                    let value = self.eval(value)?;
                    self.set(*var, value)?;
                }
                Stmt::Par { axis, body } => self.each(axis, |m| m.stmts(body))?,
                Stmt::Store { place, value } => {
                    let value = self.eval(value)?;
                    self.store(place, value)?;
                }
                Stmt::Merge { axis, part, state, next } => {
                    for (var, init) in state {
                        let init = self.eval(init)?;
                        self.set(*var, init)?;
                    }
                    self.each(axis, |m| {
                        m.stmts(part)?;
                        m.stmts(&next.stmts)?;
                        let values: Vec<Value> = next.values.iter().map(|e| m.eval(e)).collect::<Result<_, _>>()?;
                        state.iter().zip(values).try_for_each(|((var, _), value)| m.set(*var, value))
                    })?;
                }
            }
        }
        Ok(())
    }

    /// Runs `f` for every index, ascending.
    fn each(&mut self, axis: &Axis, mut f: impl FnMut(&mut Self) -> Result<(), String>) -> Result<(), String> {
        let (lo, hi) = (self.eval(&axis.lo)?.int(), self.eval(&axis.hi)?.int());
        for i in lo..hi {
            self.set(axis.var, Value::Int(i))?;
            f(self)?;
        }
        Ok(())
    }

    fn block(&mut self, block: &Block) -> Result<Value, String> {
        self.stmts(&block.stmts)?;
        self.eval(&block.value)
    }

    fn eval(&mut self, e: &Expr) -> Result<Value, String> {
        let value = match &e.kind {
            Kind::Int(v) => Value::Int(*v as i32),
            Kind::Float(x) => Value::F32(*x),
            Kind::Bool(b) => Value::Bool(*b),
            Kind::Var(v) => self.vars[v.0 as usize].clone().ok_or_else(|| format!("variable {} is not set", v.0))?,
            Kind::Load(place) => self.load(place)?,
            Kind::At { array, index } => {
                let i = self.eval(index)?.int() as usize;
                let Some(Value::Array(a)) = &self.vars[array.0 as usize] else { panic!("arrays are bound before use") };
                Value::F32(*a.get(i).ok_or_else(|| format!("element {i} of an array of {}", a.len()))?)
            }
            Kind::Unary(op, a) => unary(*op, self.eval(a)?)?,
            Kind::Binary(op, a, b) => {
                let (a, b) = (self.eval(a)?, self.eval(b)?);
                binary(*op, a, b)?
            }
            Kind::Fma(a, b, c) => {
                let (a, b, c) = (self.eval(a)?.f32(), self.eval(b)?.f32(), self.eval(c)?.f32());
                Value::F32(a.mul_add(b, c))
            }
            Kind::Select(c, a, b) => match self.eval(c)?.bool() {
                true => self.eval(a)?,
                false => self.eval(b)?,
            },
            Kind::Reduce { op, axis, body } => self.reduce(*op, axis, body)?,
            Kind::Sum { shape, axis, acc, step } => Value::F32(self.sum(*shape, axis, *acc, step)?),
            Kind::Map { axis, body } => {
                let mut out = Vec::new();
                self.each(axis, |m| {
                    out.push(m.block(body)?.f32());
                    Ok(())
                })?;
                Value::Array(Rc::new(out))
            }
        };
        self.in_range(value, e.ty)
    }

    fn reduce(&mut self, op: ReduceOp, axis: &Axis, body: &Block) -> Result<Value, String> {
        match op {
            ReduceOp::ISum => {
                let mut sum = 0i32;
                self.each(axis, |m| {
                    sum = sum.checked_add(m.block(body)?.int()).ok_or("an integer sum left i32")?;
                    Ok(())
                })?;
                Ok(Value::Int(sum))
            }
            ReduceOp::Max => {
                let mut best = f32::NEG_INFINITY;
                self.each(axis, |m| {
                    best = float::max(best, m.block(body)?.f32());
                    Ok(())
                })?;
                Ok(Value::F32(best))
            }
            ReduceOp::ArgMax => {
                let mut best: Option<(f32, Value)> = None;
                self.each(axis, |m| {
                    let x = m.block(body)?.f32();
                    let larger = best.as_ref().is_none_or(|(b, _)| !b.is_nan() && (x.is_nan() || x > *b));
                    if larger {
                        best = Some((x, m.vars[axis.var.0 as usize].clone().expect("set by each")));
                    }
                    Ok(())
                })?;
                Ok(best.map_or(Value::Int(0), |(_, i)| i))
            }
        }
    }

    fn sum(&mut self, shape: Shape, axis: &Axis, acc: Var, step: &Block) -> Result<f32, String> {
        let (lo, hi) = (self.eval(&axis.lo)?.int(), self.eval(&axis.hi)?.int());
        let len = (hi - lo).max(0) as usize;
        let mut parts = vec![0f32; shape.parts()];
        for i in 0..len {
            let part = shape.part(i, len);
            self.set(axis.var, Value::Int(lo + i as i32))?;
            self.set(acc, Value::F32(parts[part]))?;
            parts[part] = self.block(step)?.f32();
        }
        Ok(shape.merge(parts))
    }

    /// Byte offset of a place, checked against the buffer.
    fn offset(&mut self, place: &Place) -> Result<usize, String> {
        let buffer = &self.kernel.buffers[place.buffer];
        let mut element = 0usize;
        for (extent, index) in buffer.shape.iter().zip(&place.index) {
            let (extent, index) = (self.eval(extent)?.int(), self.eval(index)?.int());
            if !(0..extent).contains(&index) {
                return Err(format!("{}: index {index} of extent {extent} in `{}`", self.kernel.name, buffer.name));
            }
            element = element * extent as usize + index as usize;
        }
        let at = match &place.at {
            Some(at) => self.eval(at)?.int() as usize,
            None => 0,
        };
        let offset = element * buffer.elem_bytes + place.offset + at * place.scalar.bytes();
        if offset + place.scalar.bytes() > self.buffers[place.buffer].len() {
            return Err(format!("{}: `{}` ends before byte {offset}", self.kernel.name, buffer.name));
        }
        Ok(offset)
    }

    fn load(&mut self, place: &Place) -> Result<Value, String> {
        let at = self.offset(place)?;
        let b = &self.buffers[place.buffer][at..at + place.scalar.bytes()];
        Ok(match place.scalar {
            Scalar::F32 => Value::F32(f32::from_le_bytes([b[0], b[1], b[2], b[3]])),
            Scalar::I32 => Value::Int(i32::from_le_bytes([b[0], b[1], b[2], b[3]])),
            Scalar::F16 | Scalar::Bf16 => Value::Half(place.scalar, u16::from_le_bytes([b[0], b[1]])),
            Scalar::I16 => Value::Int(i16::from_le_bytes([b[0], b[1]]) as i32),
            Scalar::U16 => Value::Int(u16::from_le_bytes([b[0], b[1]]) as i32),
            Scalar::I8 => Value::Int(b[0] as i8 as i32),
            Scalar::U8 => Value::Int(b[0] as i32),
        })
    }

    fn store(&mut self, place: &Place, value: Value) -> Result<(), String> {
        let at = self.offset(place)?;
        let bytes = match value {
            Value::F32(x) => float::canonical(x).to_le_bytes().to_vec(),
            Value::Half(s, h) => float::canonical_half(s, h).to_le_bytes().to_vec(),
            Value::Int(v) => v.to_le_bytes()[..place.scalar.bytes()].to_vec(),
            other => panic!("the checker lets no {other:?} be stored"),
        };
        self.buffers[place.buffer][at..at + bytes.len()].copy_from_slice(&bytes);
        Ok(())
    }
}

fn unary(op: UnOp, a: Value) -> Result<Value, String> {
    Ok(match (op, a) {
        (UnOp::Neg, Value::Int(v)) => Value::Int(-v),
        (UnOp::Abs, Value::Int(v)) => Value::Int(v.abs()),
        (UnOp::ToF32, Value::Int(v)) => Value::F32(v as f32),
        (UnOp::FromBits, Value::Int(v)) => Value::F32(f32::from_bits(v as u32)),
        (UnOp::Neg, Value::F32(x)) => Value::F32(-x),
        (UnOp::Abs, Value::F32(x)) => Value::F32(x.abs()),
        (UnOp::Sqrt, Value::F32(x)) => Value::F32(x.sqrt()),
        (UnOp::Rint, Value::F32(x)) => Value::F32(float::rint(x)),
        (UnOp::ToInt { lo, hi }, Value::F32(x)) => Value::Int(float::to_int(x, lo, hi)),
        (UnOp::Bits, Value::F32(x)) => Value::Int(float::bits(x) as i32),
        (UnOp::FromHalf, Value::Half(s, bits)) => Value::F32(float::from_half(s, bits).expect("a half")),
        (UnOp::ToHalf(s), Value::F32(x)) => Value::Half(s, float::to_half(s, x).expect("a half")),
        (UnOp::Not, Value::Bool(b)) => Value::Bool(!b),
        (op, a) => panic!("the checker lets no {op:?} of {a:?}"),
    })
}

fn binary(op: BinOp, a: Value, b: Value) -> Result<Value, String> {
    use BinOp::*;
    Ok(match (a, b) {
        (Value::F32(x), Value::F32(y)) => match op {
            Add => Value::F32(x + y),
            Sub => Value::F32(x - y),
            Mul => Value::F32(x * y),
            Div => Value::F32(x / y),
            Min => Value::F32(float::min(x, y)),
            Max => Value::F32(float::max(x, y)),
            Lt => Value::Bool(x < y),
            Le => Value::Bool(x <= y),
            Eq => Value::Bool(x == y),
            Ne => Value::Bool(x != y),
            _ => panic!("the checker lets no {op:?} of floats"),
        },
        (Value::Bool(x), Value::Bool(y)) => Value::Bool(match op {
            And => x & y,
            Or => x | y,
            Xor | Ne => x ^ y,
            _ => x == y,
        }),
        (Value::Int(x), Value::Int(y)) => match op {
            Lt => Value::Bool(x < y),
            Le => Value::Bool(x <= y),
            Eq => Value::Bool(x == y),
            Ne => Value::Bool(x != y),
            _ => Value::Int(integer(op, x, y).ok_or_else(|| format!("{x} {op:?} {y} left i32"))?),
        },
        (a, b) => panic!("the checker lets no {op:?} of {a:?} and {b:?}"),
    })
}

/// Integer arithmetic; `None` where the result leaves `i32`, a divisor is zero or a shift too far.
pub fn integer(op: BinOp, x: i32, y: i32) -> Option<i32> {
    use BinOp::*;
    match op {
        Add => x.checked_add(y),
        Sub => x.checked_sub(y),
        Mul => x.checked_mul(y),
        Div => x.checked_div(y),
        Rem => x.checked_rem(y),
        Min => Some(x.min(y)),
        Max => Some(x.max(y)),
        And => Some(x & y),
        Or => Some(x | y),
        Xor => Some(x ^ y),
        Shl => i32::try_from((x as i64).checked_shl(y.try_into().ok()?)?).ok(),
        Shr => x.checked_shr(y.try_into().ok()?),
        Lt | Le | Eq | Ne => None,
    }
}
