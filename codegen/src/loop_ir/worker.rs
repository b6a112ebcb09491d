//! A worker of the loop interpreter: lanes in lockstep. Where it is in its statements is data, so that it can pause where
//! workers meet.
use super::interp::Fault;
use super::lanes::{self, Value};
use super::shared::{POISON, Shared};
use super::{Bind, Expr, Func, Owner, Stmt, Ty, Var, memory, print};
use crate::ir::Scalar;

/// Why a node failed: by itself, or because of a node in it.
pub(super) enum Stop {
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

/// Why a worker has stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pause {
    /// It is about to meet others, or to wait for its copies: others may come first.
    Meeting,
    /// It waits for its team, at a barrier or an arrival.
    Barrier,
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
    /// The end of the loop in front of the items.
    First,
}

/// One worker.
pub struct Worker<'a> {
    pub(super) func: &'a Func,
    pub(super) id: usize,
    frames: Vec<Frame<'a>>,
    vars: Vec<Option<Value>>,
    /// Bytes of each array, by its variable.
    pub(super) locals: Vec<Vec<u8>>,
    /// The items that it does: from, to below, by this step.
    items: (i32, i32, i32),
    /// The variable of the work loop, inside of it.
    item: Option<Var>,
    /// Whether the lanes are running.
    pub(super) simd: bool,
    /// Whether it is in front of its items, where it asks for memory early.
    in_front: bool,
    /// Whether it has waited for its turn, or for its team, at the meeting that it is about to go to.
    waited: bool,
    /// Whether the arrival that its team has just come to was the last.
    last: bool,
}

/// A worker while it has its turn.
pub(super) struct Turn<'w, 'a, 's, 'b> {
    pub w: &'w mut Worker<'a>,
    pub shared: &'s mut Shared<'b>,
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
        let items = (from, to, step);
        let simd = func.width == 1;
        Worker { func, id, frames, vars, locals, items, item: None, simd, in_front: false, waited: false, last: false }
    }

    /// The number of its team.
    pub fn team(&self) -> usize {
        self.id / self.func.team
    }

    /// Its number in the team.
    pub fn member(&self) -> usize {
        self.id % self.func.team
    }

    /// Where it waits for its team, and in which item.
    pub fn waits_at(&self) -> Option<(&'a Stmt, i32)> {
        let Some(Frame::List { stmts, next }) = self.frames.last() else { return None };
        let stmt = stmts.get(*next).filter(|stmt| of_team(stmt))?;
        let item = self.item.and_then(|var| self.vars[var.0 as usize]);
        Some((stmt, item.map_or(0, |item| item.lanes[0] as i32)))
    }

    /// The counter that its team arrives at, of how many, and how many must have arrived before, where it waits for that.
    pub fn arrival(&mut self, shared: &mut Shared) -> Result<Option<(i32, i32, i32)>, Fault> {
        let Some((stmt, _)) = self.waits_at() else { return Ok(None) };
        let (counter, of, before) = match stmt {
            Stmt::Arrive { counter, of, .. } => (counter, of, &Expr::Int(0)),
            Stmt::AwaitArrivals { counter, arrivals, of } => (counter, of, arrivals),
            _ => return Ok(None),
        };
        let func = self.func;
        let mut turn = Turn { w: self, shared };
        let mut numbers = || Ok::<_, Stop>((turn.number(counter)?, turn.number(of)?, turn.number(before)?));
        numbers().map(Some).map_err(|stop| stop.at(|| print::head(func, stmt)))
    }

    /// All of its team have come to where it waits; whether theirs was the last arrival.
    pub fn release(&mut self, last: bool) {
        self.waited = true;
        self.last = last;
    }

    /// Goes on until it is about to meet others, or done.
    pub fn go_on(&mut self, shared: &mut Shared) -> Result<Pause, Fault> {
        while let Some(frame) = self.frames.last_mut() {
            match frame {
                Frame::Lanes => {
                    self.frames.pop();
                    self.simd = self.func.width == 1;
                }
                Frame::First => {
                    self.frames.pop();
                    self.in_front = false;
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
                    match stmt {
                        stmt if of_team(stmt) && !self.waited => return Ok(Pause::Barrier),
                        Stmt::Arrive { .. } | Stmt::Await if !self.waited => {
                            self.waited = true;
                            return Ok(Pause::Meeting);
                        }
                        _ => {}
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

/// Whether the members of a team meet here.
fn of_team(stmt: &Stmt) -> bool {
    matches!(stmt, Stmt::Barrier | Stmt::Arrive { by: Owner::Team, .. } | Stmt::AwaitArrivals { .. })
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
            // Those of a team are there from the beginning.
            Stmt::Array { of: Owner::Team, .. } | Stmt::Barrier | Stmt::AwaitArrivals { .. } => Ok(()),
            Stmt::Array { var, scalar, len, of: Owner::Worker } => {
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
            Stmt::Store { to, value, only, .. } => self.store(to, value, only.as_ref()),
            Stmt::Accumulate { intrinsic, registers, args, .. } => self.accumulate(intrinsic, registers, args),
            Stmt::Copy { to, from, len, only } => self.copy(to, from, *len, only.as_ref()),
            Stmt::Await => {
                self.shared.land(self.w.id);
                Ok(())
            }
            // A worker that runs through a buffer may ask for what is behind its end, one in front of its items knows what it wants.
            Stmt::Prefetch { from, bytes } if self.w.in_front => self.places(from, *bytes).map(drop),
            Stmt::Prefetch { from, .. } => self.uniform(&from.addr, Ty::I64).map(drop),
            Stmt::Arrive { last, counter, of, by } => {
                let is_last = match by {
                    Owner::Team => self.w.last,
                    Owner::Worker => {
                        let (counter, of) = (self.number(counter)?, self.number(of)?);
                        self.shared.arrive(self.w.id, counter, of)?
                    }
                };
                self.w.assign(*last, Value::one(Ty::Bool, is_last as u32))
            }
        }
    }

    fn accumulate(&mut self, intrinsic: &str, registers: &[Var], args: &[Expr]) -> Result<(), Stop> {
        if !self.w.simd {
            return Err("lanes work together outside of the simd loop".into());
        }
        let mut given = Vec::new();
        for register in registers {
            given.push(self.eval(&Expr::Var(*register))?);
        }
        for arg in args {
            given.push(self.eval(arg)?);
        }
        let results = lanes::accumulate(intrinsic, &given, self.w.func.width)?;
        registers.iter().zip(results).try_for_each(|(register, value)| self.w.assign(*register, value))
    }

    fn number(&mut self, e: &Expr) -> Result<i32, Stop> {
        Ok(self.uniform(e, Ty::I32)?.lanes[0] as i32)
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
        if bind == Bind::Team {
            let team = self.w.func.team;
            if (lo, hi, step) != (0, team as i32, 1) || self.w.item.is_none() || self.w.simd && self.w.func.width > 1 {
                return Err(format!("a team loop over {lo}..{hi} step {step} with {team} members").into());
            }
            self.w.assign(var, Value::one(Ty::I32, self.w.member() as u32))?;
            self.w.frames.push(Frame::List { stmts: body, next: 0 });
            return Ok(());
        }
        let (from, to, stride) = self.w.items;
        if matches!(bind, Bind::Work | Bind::First) && (step != 1 || from < lo || to > hi) {
            return Err(format!("part {from}..{to} of {lo}..{hi} step {step}").into());
        }
        let (next, end, step) = match bind {
            Bind::Work => (from, to, stride),
            Bind::First => (from, to.min(from + 1), 1),
            _ => (lo, hi, step),
        };
        if step < 1 || end.checked_add(step).is_none() {
            return Err(format!("a loop over {next}..{end} step {step}").into());
        }
        self.w.item = if matches!(bind, Bind::Work | Bind::First) { Some(var) } else { self.w.item };
        if bind == Bind::First {
            self.w.in_front = true;
            self.w.frames.push(Frame::First);
        }
        self.w.frames.push(Frame::Loop { var, next, end, step, body });
        Ok(())
    }

    pub(super) fn eval(&mut self, e: &Expr) -> Result<Value, Fault> {
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
                Scalar::I16 => self.load(a, Ty::I16x2, 4)?,
                other => return Err(format!("neighbouring {other:?} are no pack").into()),
            },
            Expr::Widen(v) => Value::long(self.uniform(v, Ty::I32)?.lanes[0] as i32 as i64),
            Expr::Splat4(v) => match self.eval(v)? {
                v if v.ty == Ty::I32 => lanes::splat4(&v)?,
                v => return Err(format!("splat4 of {:?}", v.ty).into()),
            },
            Expr::Bytes(parts) => {
                let parts = parts.iter().map(|part| self.eval(part)).collect::<Result<Vec<_>, _>>()?;
                lanes::of_bytes(&parts)?
            }
            Expr::Pair(a, b) => lanes::pair(&self.eval(a)?, &self.eval(b)?)?,
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

    pub(super) fn uniform(&mut self, e: &Expr, ty: Ty) -> Result<Value, Stop> {
        let v = self.eval(e)?;
        if v.ty != ty || v.n > 1 {
            let how = if v.n > 1 { "varying " } else { "" };
            return Err(
                format!("`{}` is {how}{:?} where one {ty:?} is needed", print::expr(self.w.func, e), v.ty).into()
            );
        }
        Ok(v)
    }
}
