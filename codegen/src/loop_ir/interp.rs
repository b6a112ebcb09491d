//! Runs loop IR with the lanes in lockstep, and refuses whatever generated code may not do.
//!
//! A choice by a varying condition computes both sides in every lane, as registers do, so a fault on either side counts.
use super::lanes::{self, MAX_LANES, Value};
use super::{Access, Bind, Expr, Func, Mem, Stmt, Ty, Var, memory, print};
use crate::ir::Scalar;

/// Something that a function must never do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}, at `{node}`")]
pub struct Fault {
    /// The statement or expression, as text.
    pub node: String,
    /// What is wrong with it.
    pub reason: String,
}

/// Why a node failed: by itself, or because of a node in it.
enum Stop {
    Here(String),
    Below(Fault),
}

impl From<String> for Stop {
    fn from(reason: String) -> Stop {
        Stop::Here(reason)
    }
}

impl From<&str> for Stop {
    fn from(reason: &str) -> Stop {
        Stop::Here(reason.into())
    }
}

impl From<Fault> for Stop {
    fn from(fault: Fault) -> Stop {
        Stop::Below(fault)
    }
}

impl Stop {
    fn at(self, node: impl FnOnce() -> String) -> Fault {
        match self {
            Stop::Here(reason) => Fault { node: node(), reason },
            Stop::Below(fault) => fault,
        }
    }
}

/// Runs the work items `lo..hi` of `func`. `ints` are the dims and integer scalars, `buffers` the bytes of each buffer.
///
/// Faults: reading or writing outside of memory, a variable used before it is set, one value where one a lane is needed or
/// the reverse, mixed types, an integer that leaves its type, a bad shift or divisor, a store to what is only read.
pub fn run(func: &Func, ints: &[i32], floats: &[f32], buffers: &mut [Vec<u8>], lo: i32, hi: i32) -> Result<(), Fault> {
    let given = (ints.len(), floats.len(), buffers.len());
    let wanted = (func.ints, func.floats, func.buffers.len());
    let fault = |reason: String| Fault { node: format!("fn {}", func.name), reason };
    if given != wanted {
        return Err(fault(format!("given {given:?} integers, floats and buffers where it takes {wanted:?}")));
    }
    if !(1..=MAX_LANES).contains(&func.width) || func.vars.len() < func.ints + func.floats {
        return Err(fault(format!("{} lanes, {} variables", func.width, func.vars.len())));
    }
    let mut vars = vec![None; func.vars.len()];
    for (i, v) in ints.iter().enumerate() {
        vars[i] = Some(Value::one(Ty::I32, *v as u32));
    }
    for (i, v) in floats.iter().enumerate() {
        vars[func.ints + i] = Some(Value::one(Ty::F32, v.to_bits()));
    }
    let locals = vec![Vec::new(); func.vars.len()];
    Machine { func, vars, locals, buffers, part: (lo, hi), simd: func.width == 1 }.block(&func.body)
}

struct Machine<'a> {
    func: &'a Func,
    vars: Vec<Option<Value>>,
    /// Bytes of each array, by its variable.
    locals: Vec<Vec<u8>>,
    buffers: &'a mut [Vec<u8>],
    /// The part of the `Cpu` loop to run.
    part: (i32, i32),
    /// Whether the lanes are running.
    simd: bool,
}

impl Machine<'_> {
    fn block(&mut self, stmts: &[Stmt]) -> Result<(), Fault> {
        for stmt in stmts {
            self.stmt(stmt).map_err(|stop| stop.at(|| print::head(self.func, stmt)))?;
        }
        Ok(())
    }

    fn stmt(&mut self, stmt: &Stmt) -> Result<(), Stop> {
        match stmt {
            Stmt::Let { var, value } | Stmt::Reg { var, init: value } => {
                let value = self.eval(value)?;
                self.assign(*var, value)
            }
            Stmt::Set { var, value } => {
                let value = self.eval(value)?;
                if self.vars.get(var.0 as usize).is_none_or(Option::is_none) {
                    return Err("set before its register is declared".into());
                }
                self.assign(*var, value)
            }
            Stmt::Array { var, scalar, len } => {
                let local = self.locals.get_mut(var.0 as usize).ok_or("no such variable")?;
                *local = vec![0; len * scalar.bytes()];
                Ok(())
            }
            Stmt::For { bind, var, lo, hi, step, body } => self.for_(*bind, *var, [lo, hi], *step, body),
            Stmt::If { cond, then, other } => {
                let taken = if self.uniform(cond, Ty::Bool)?.lanes[0] != 0 { then } else { other };
                Ok(self.block(taken)?)
            }
            Stmt::Store { to, value, .. } => self.store(to, value),
        }
    }

    fn assign(&mut self, var: Var, value: Value) -> Result<(), Stop> {
        let info = self.func.vars.get(var.0 as usize).ok_or("no such variable")?;
        if value.ty != info.ty {
            return Err(format!("the variable is {:?}, the value {:?}", info.ty, value.ty).into());
        }
        if value.n > 1 && !info.varying {
            return Err("a varying value for a uniform variable".into());
        }
        if info.varying && !self.simd {
            return Err("a varying variable outside of the simd loop".into());
        }
        self.vars[var.0 as usize] = Some(if info.varying { value.spread(self.func.width) } else { value });
        Ok(())
    }

    fn for_(&mut self, bind: Bind, var: Var, [lo, hi]: [&Expr; 2], step: i32, body: &[Stmt]) -> Result<(), Stop> {
        let lo = self.uniform(lo, Ty::I32)?.lanes[0] as i32;
        let hi = self.uniform(hi, Ty::I32)?.lanes[0] as i32;
        if bind == Bind::Simd {
            let width = self.func.width;
            if (lo, hi, step) != (0, width as i32, 1) || self.simd && width > 1 {
                return Err(format!("a simd loop over {lo}..{hi} step {step} with {width} lanes").into());
            }
            self.simd = true;
            self.assign(var, Value::each(Ty::I32, width, |l| l as u32))?;
            self.block(body)?;
            self.simd = width == 1;
            return Ok(());
        }
        let part = self.part;
        if bind == Bind::Cpu && (step != 1 || part.0 < lo || part.1 > hi) {
            return Err(format!("part {}..{} of {lo}..{hi} step {step}", part.0, part.1).into());
        }
        let (lo, hi) = if bind == Bind::Cpu { part } else { (lo, hi) };
        if step < 1 || hi.checked_add(step).is_none() {
            return Err(format!("a loop over {lo}..{hi} step {step}").into());
        }
        for i in (lo..hi).step_by(step as usize) {
            self.assign(var, Value::one(Ty::I32, i as u32))?;
            self.block(body)?;
        }
        Ok(())
    }

    fn eval(&self, e: &Expr) -> Result<Value, Fault> {
        self.node(e).map_err(|stop| stop.at(|| print::expr(self.func, e)))
    }

    fn node(&self, e: &Expr) -> Result<Value, Stop> {
        Ok(match e {
            Expr::Int(v) => Value::one(Ty::I32, *v as u32),
            Expr::Long(v) => Value::long(*v),
            Expr::Float(v) => Value::one(Ty::F32, v.to_bits()),
            Expr::Bool(v) => Value::one(Ty::Bool, *v as u32),
            Expr::Var(v) => self.vars.get(v.0 as usize).copied().flatten().ok_or("used before it is set")?,
            Expr::Load(a) => self.load(a, memory::loaded(a.scalar), a.scalar.bytes())?,
            Expr::LoadPack(a) => match a.scalar {
                Scalar::U8 => self.load(a, Ty::U8x4, 4)?,
                Scalar::I8 => self.load(a, Ty::I8x4, 4)?,
                other => return Err(format!("four {other:?} are no pack").into()),
            },
            Expr::Widen(v) => Value::long(self.uniform(v, Ty::I32)?.lanes[0] as i32 as i64),
            Expr::Splat4(v) => match self.eval(v)? {
                v if v.ty == Ty::I32 => lanes::splat4(&v)?,
                v => return Err(format!("splat4 of {:?}", v.ty).into()),
            },
            Expr::Unary(op, v) => lanes::unary(*op, &self.eval(v)?)?,
            Expr::Binary(op, a, b) => lanes::binary(*op, &self.eval(a)?, &self.eval(b)?)?,
            Expr::Fma(a, b, c) => lanes::fma(&self.eval(a)?, &self.eval(b)?, &self.eval(c)?)?,
            Expr::Select(c, a, b) => {
                let c = self.eval(c)?;
                match (c.ty, c.n) {
                    (Ty::Bool, 1) if c.lanes[0] != 0 => self.eval(a)?,
                    (Ty::Bool, 1) => self.eval(b)?,
                    _ => lanes::select(&c, &self.eval(a)?, &self.eval(b)?)?,
                }
            }
            Expr::Shuffle { mask, value } => {
                let (v, mask) = (self.eval(value)?, *mask as usize);
                if mask >= self.func.width || v.ty == Ty::Bool {
                    return Err(format!("lane ^ {mask} of {:?} with {} lanes", v.ty, self.func.width).into());
                }
                if v.n == 1 { v } else { Value::each(v.ty, v.n, |l| v.get(l ^ mask)) }
            }
            Expr::First(v) => match self.eval(v)? {
                v if v.n == 1 => v,
                v => Value::one(v.ty, v.lanes[0]),
            },
            Expr::Call { intrinsic, args, .. } => {
                let args = args.iter().map(|a| self.eval(a)).collect::<Result<Vec<_>, _>>()?;
                lanes::call(intrinsic, &args, self.func.width)?
            }
        })
    }

    fn uniform(&self, e: &Expr, ty: Ty) -> Result<Value, Stop> {
        let v = self.eval(e)?;
        if v.ty != ty || v.n > 1 {
            let how = if v.n > 1 { "varying " } else { "" };
            return Err(format!("`{}` is {how}{:?} where one {ty:?} is needed", print::expr(self.func, e), v.ty).into());
        }
        Ok(v)
    }

    /// Memory, and the first byte of every lane in it: `size` bytes from there are inside.
    fn places(&self, a: &Access, size: usize) -> Result<(&[u8], Vec<usize>), Stop> {
        let memory = match a.mem {
            Mem::Buffer(index) => self.buffers.get(index),
            Mem::Local(var) => self.locals.get(var.0 as usize),
        };
        let memory = memory.ok_or("no such memory")?;
        let addr = self.uniform(&a.addr, Ty::I64)?.as_long();
        let n = if a.lane_stride == 0 { 1 } else { self.func.width };
        if n > 1 && !self.simd {
            return Err("lanes outside of the simd loop".into());
        }
        let place = |l: usize| {
            let at = addr.checked_add(l as i64 * a.lane_stride as i64);
            at.and_then(|at| usize::try_from(at).ok())
                .filter(|at| at.checked_add(size).is_some_and(|end| end <= memory.len()))
                .ok_or_else(|| {
                    let stride = a.lane_stride;
                    format!("{size} bytes at {addr} + {l} * {stride} leave the {} bytes of memory", memory.len())
                })
        };
        Ok((memory, (0..n).map(place).collect::<Result<Vec<_>, _>>()?))
    }

    fn load(&self, a: &Access, ty: Ty, size: usize) -> Result<Value, Stop> {
        let scalar = if matches!(ty, Ty::U8x4 | Ty::I8x4) { Scalar::I32 } else { a.scalar };
        let (memory, places) = self.places(a, size)?;
        Ok(Value::each(ty, places.len(), |l| memory::read(scalar, &memory[places[l]..])))
    }

    fn store(&mut self, to: &Access, value: &Expr) -> Result<(), Stop> {
        let value = self.eval(value)?;
        let size = to.scalar.bytes();
        let (_, places) = self.places(to, size)?;
        if value.ty != memory::loaded(to.scalar) || value.n > places.len() {
            return Err(
                format!("{:?} of {} lanes stored as {:?} in {}", value.ty, value.n, to.scalar, places.len()).into()
            );
        }
        if places.len() > 1 && (to.lane_stride.unsigned_abs() as usize) < size {
            return Err("two lanes write the same byte".into());
        }
        let memory = match to.mem {
            Mem::Buffer(index) if !self.func.buffers[index].written => return Err("the buffer is only read".into()),
            Mem::Buffer(index) => &mut self.buffers[index],
            Mem::Local(var) => &mut self.locals[var.0 as usize],
        };
        for (l, place) in places.into_iter().enumerate() {
            memory::write(to.scalar, value.get(l), &mut memory[place..])?;
        }
        Ok(())
    }
}
