//! A worker of the loop interpreter: lanes in lockstep. Where it is in its statements is data, so that it can pause where
//! workers meet.
use super::interp::Fault;
use super::lanes::{self, Value};
use super::shared::Shared;
use super::{Access, Bind, Expr, Func, Mem, Stmt, Ty, Var, memory, print};
use crate::ir::Scalar;

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

/// What every byte of an array is before it is written.
const POISON: u8 = 0xa5;

/// Why a worker has stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pause {
    /// It is about to meet others.
    Meeting,
    /// It has done all its items.
    Done,
}

/// Statements that a worker is inside of.
enum Frame<'a> {
    List {
        stmts: &'a [Stmt],
        next: usize,
    },
    Loop {
        var: Var,
        next: i32,
        end: i32,
        step: i32,
        body: &'a [Stmt],
    },
    /// The end of the simd loop.
    Lanes,
}

/// One worker.
pub struct Worker<'a> {
    func: &'a Func,
    id: usize,
    frames: Vec<Frame<'a>>,
    vars: Vec<Option<Value>>,
    /// Bytes of each array, by its variable.
    locals: Vec<Vec<u8>>,
    /// The items that it does: from, to below, by this step.
    items: (i32, i32, i32),
    /// Whether the lanes are running.
    simd: bool,
    /// Whether it has waited for its turn at the meeting that it is about to go to.
    waited: bool,
}

/// A worker while it has its turn.
struct Turn<'w, 'a, 's, 'b> {
    w: &'w mut Worker<'a>,
    shared: &'s mut Shared<'b>,
}

impl<'a> Worker<'a> {
    /// At the beginning, with its share of the items `from..to`.
    pub fn new(
        func: &'a Func,
        (ints, floats): (&[i32], &[f32]),
        id: usize,
        (from, to): (i32, i32),
        step: i32,
    ) -> Worker<'a> {
        let mut vars = vec![None; func.vars.len()];
        let ints = ints.iter().map(|v| Value::one(Ty::I32, *v as u32));
        let given = ints.chain(floats.iter().map(|v| Value::one(Ty::F32, v.to_bits())));
        vars.iter_mut().zip(given).for_each(|(var, value)| *var = Some(value));
        let locals = vec![Vec::new(); func.vars.len()];
        let frames = vec![Frame::List { stmts: &func.body, next: 0 }];
        Worker { func, id, frames, vars, locals, items: (from, to, step), simd: func.width == 1, waited: false }
    }

    /// Goes on until it is about to meet others, or done.
    pub fn go_on(&mut self, shared: &mut Shared) -> Result<Pause, Fault> {
        while let Some(frame) = self.frames.last_mut() {
            match frame {
                Frame::Lanes => {
                    self.frames.pop();
                    self.simd = self.func.width == 1;
                }
                Frame::Loop { next, end, .. } if *next >= *end => {
                    self.frames.pop();
                }
                Frame::Loop { var, next, step, body, .. } => {
                    let (var, index, body) = (*var, *next, *body);
                    *next += *step;
                    self.assign(var, Value::one(Ty::I32, index as u32)).map_err(|stop| self.at_loop(stop, var))?;
                    self.frames.push(Frame::List { stmts: body, next: 0 });
                }
                Frame::List { stmts, next } => {
                    let Some(stmt) = stmts.get(*next) else {
                        self.frames.pop();
                        continue;
                    };
                    if let (Stmt::Arrive { .. }, false) = (stmt, self.waited) {
                        self.waited = true;
                        return Ok(Pause::Meeting);
                    }
                    *next += 1;
                    self.waited = false;
                    let func = self.func;
                    Turn { w: self, shared }.stmt(stmt).map_err(|stop| stop.at(|| print::head(func, stmt)))?;
                }
            }
        }
        Ok(Pause::Done)
    }

    fn at_loop(&self, stop: Stop, var: Var) -> Fault {
        stop.at(|| format!("for {}", print::name(self.func, var)))
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
}

impl<'a> Turn<'_, 'a, '_, '_> {
    fn stmt(&mut self, stmt: &'a Stmt) -> Result<(), Stop> {
        match stmt {
            Stmt::Let { var, value } | Stmt::Reg { var, init: value } => {
                let value = self.eval(value)?;
                self.w.assign(*var, value)
            }
            Stmt::Set { var, value } => {
                let value = self.eval(value)?;
                if self.w.vars.get(var.0 as usize).is_none_or(Option::is_none) {
                    return Err("set before its register is declared".into());
                }
                self.w.assign(*var, value)
            }
            Stmt::Array { var, scalar, len } => {
                let local = self.w.locals.get_mut(var.0 as usize).ok_or("no such variable")?;
                *local = vec![POISON; len * scalar.bytes()];
                Ok(())
            }
            Stmt::For { bind, var, lo, hi, step, body } => self.for_(*bind, *var, [lo, hi], *step, body),
            Stmt::If { cond, then, other } => {
                let taken = if self.uniform(cond, Ty::Bool)?.lanes[0] != 0 { then } else { other };
                self.w.frames.push(Frame::List { stmts: taken, next: 0 });
                Ok(())
            }
            Stmt::Store { to, value, .. } => self.store(to, value),
            Stmt::Arrive { last, counter, of } => {
                let counter = self.uniform(counter, Ty::I32)?.lanes[0] as i32;
                let of = self.uniform(of, Ty::I32)?.lanes[0] as i32;
                let is_last = self.shared.arrive(self.w.id, counter, of)?;
                self.w.assign(*last, Value::one(Ty::Bool, is_last as u32))
            }
        }
    }

    fn for_(&mut self, bind: Bind, var: Var, [lo, hi]: [&Expr; 2], step: i32, body: &'a [Stmt]) -> Result<(), Stop> {
        let lo = self.uniform(lo, Ty::I32)?.lanes[0] as i32;
        let hi = self.uniform(hi, Ty::I32)?.lanes[0] as i32;
        if bind == Bind::Simd {
            let width = self.w.func.width;
            if (lo, hi, step) != (0, width as i32, 1) || self.w.simd && width > 1 {
                return Err(format!("a simd loop over {lo}..{hi} step {step} with {width} lanes").into());
            }
            self.w.simd = true;
            self.w.assign(var, Value::each(Ty::I32, width, |l| l as u32))?;
            self.w.frames.push(Frame::Lanes);
            self.w.frames.push(Frame::List { stmts: body, next: 0 });
            return Ok(());
        }
        let (from, to, stride) = self.w.items;
        if bind == Bind::Work && (step != 1 || from < lo || to > hi) {
            return Err(format!("part {from}..{to} of {lo}..{hi} step {step}").into());
        }
        let (next, end, step) = if bind == Bind::Work { (from, to, stride) } else { (lo, hi, step) };
        if step < 1 || end.checked_add(step).is_none() {
            return Err(format!("a loop over {next}..{end} step {step}").into());
        }
        self.w.frames.push(Frame::Loop { var, next, end, step, body });
        Ok(())
    }

    fn eval(&mut self, e: &Expr) -> Result<Value, Fault> {
        self.node(e).map_err(|stop| stop.at(|| print::expr(self.w.func, e)))
    }

    fn node(&mut self, e: &Expr) -> Result<Value, Stop> {
        Ok(match e {
            Expr::Int(v) => Value::one(Ty::I32, *v as u32),
            Expr::Long(v) => Value::long(*v),
            Expr::Float(v) => Value::one(Ty::F32, v.to_bits()),
            Expr::Bool(v) => Value::one(Ty::Bool, *v as u32),
            Expr::Var(v) => self.w.vars.get(v.0 as usize).copied().flatten().ok_or("used before it is set")?,
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
                if mask >= self.w.func.width || v.ty == Ty::Bool {
                    return Err(format!("lane ^ {mask} of {:?} with {} lanes", v.ty, self.w.func.width).into());
                }
                if v.n == 1 { v } else { Value::each(v.ty, v.n, |l| v.get(l ^ mask)) }
            }
            Expr::First(v) => match self.eval(v)? {
                v if v.n == 1 => v,
                v => Value::one(v.ty, v.lanes[0]),
            },
            Expr::Call { intrinsic, args, .. } => {
                let args = args.iter().map(|a| self.eval(a)).collect::<Result<Vec<_>, _>>()?;
                lanes::call(intrinsic, &args, self.w.func.width)?
            }
        })
    }

    fn uniform(&mut self, e: &Expr, ty: Ty) -> Result<Value, Stop> {
        let v = self.eval(e)?;
        if v.ty != ty || v.n > 1 {
            let how = if v.n > 1 { "varying " } else { "" };
            return Err(
                format!("`{}` is {how}{:?} where one {ty:?} is needed", print::expr(self.w.func, e), v.ty).into()
            );
        }
        Ok(v)
    }

    /// The first byte of every lane in memory: `size` bytes from there are inside.
    fn places(&mut self, a: &Access, size: usize) -> Result<Vec<usize>, Stop> {
        let addr = self.uniform(&a.addr, Ty::I64)?.as_long();
        let memory = match a.mem {
            Mem::Local(var) => self.w.locals.get(var.0 as usize).map(Vec::as_slice),
            shared => self.shared.bytes(shared),
        };
        let len = memory.ok_or("no such memory")?.len();
        let n = if a.lane_stride == 0 { 1 } else { self.w.func.width };
        if n > 1 && !self.w.simd {
            return Err("lanes outside of the simd loop".into());
        }
        let place = |l: usize| {
            let at = addr.checked_add(l as i64 * a.lane_stride as i64);
            at.and_then(|at| usize::try_from(at).ok())
                .filter(|at| at.checked_add(size).is_some_and(|end| end <= len))
                .ok_or_else(|| {
                    let stride = a.lane_stride;
                    format!("{size} bytes at {addr} + {l} * {stride} leave the {len} bytes of memory").into()
                })
        };
        (0..n).map(place).collect()
    }

    fn load(&mut self, a: &Access, ty: Ty, size: usize) -> Result<Value, Stop> {
        let scalar = if matches!(ty, Ty::U8x4 | Ty::I8x4) { Scalar::I32 } else { a.scalar };
        let places = self.places(a, size)?;
        let memory = match a.mem {
            Mem::Local(var) => self.w.locals[var.0 as usize].as_slice(),
            shared => {
                places.iter().try_for_each(|at| self.shared.read(self.w.id, shared, *at, size))?;
                self.shared.bytes(shared).unwrap_or_default()
            }
        };
        Ok(Value::each(ty, places.len(), |l| memory::read(scalar, &memory[places[l]..])))
    }

    fn store(&mut self, to: &Access, value: &Expr) -> Result<(), Stop> {
        let value = self.eval(value)?;
        let size = to.scalar.bytes();
        let places = self.places(to, size)?;
        if value.ty != memory::loaded(to.scalar) || value.n > places.len() {
            return Err(
                format!("{:?} of {} lanes stored as {:?} in {}", value.ty, value.n, to.scalar, places.len()).into()
            );
        }
        if places.len() > 1 && (to.lane_stride.unsigned_abs() as usize) < size {
            return Err("two lanes write the same byte".into());
        }
        for (l, at) in places.into_iter().enumerate() {
            let memory = match to.mem {
                Mem::Local(var) => &mut self.w.locals[var.0 as usize][at..],
                shared => self.shared.write(self.w.id, shared, at, size)?,
            };
            memory::write(to.scalar, value.get(l), memory)?;
        }
        Ok(())
    }
}
