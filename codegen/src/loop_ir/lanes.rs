//! Values of the loop interpreter, one number or one a lane, and what every operation does with them.
use super::Ty;
use crate::cpu::row::Slot;
use crate::float;
use crate::instructions::{Instruction, instruction, meaning};
use crate::ir::{BinOp, UnOp};

/// Most lanes a function can have.
pub const MAX_LANES: usize = 32;

/// A value: one number, or one a lane, as bits. An `I64` lies in the first two.
#[derive(Clone, Copy, Debug)]
pub struct Value {
    pub ty: Ty,
    /// 1, or the function's width.
    pub n: usize,
    pub lanes: [u32; MAX_LANES],
}

/// A value, or why the operation has none.
pub type Res = Result<Value, String>;

impl Value {
    /// One number.
    pub fn one(ty: Ty, bits: u32) -> Value {
        let mut lanes = [0; MAX_LANES];
        lanes[0] = bits;
        Value { ty, n: 1, lanes }
    }

    /// One `I64`.
    pub fn long(v: i64) -> Value {
        let mut out = Value::one(Ty::I64, v as u32);
        out.lanes[1] = (v >> 32) as u32;
        out
    }

    /// The `I64`.
    pub fn as_long(&self) -> i64 {
        (self.lanes[1] as i64) << 32 | self.lanes[0] as i64
    }

    /// One number a lane.
    pub fn each(ty: Ty, n: usize, f: impl Fn(usize) -> u32) -> Value {
        let mut out = Value { ty, n, lanes: [0; MAX_LANES] };
        for (l, lane) in out.lanes[..n].iter_mut().enumerate() {
            *lane = f(l);
        }
        out
    }

    /// The number of lane `l`.
    pub fn get(&self, l: usize) -> u32 {
        self.lanes[if self.n == 1 { 0 } else { l }]
    }

    /// The same number in `n` lanes, where there is only one.
    pub fn spread(&self, n: usize) -> Value {
        if self.n == n { *self } else { Value::each(self.ty, n, |_| self.lanes[0]) }
    }
}

/// `f` of every lane of the operands.
fn map<const N: usize>(ty: Ty, args: [&Value; N], f: impl Fn([u32; N]) -> Result<u32, String>) -> Res {
    let n = args.iter().map(|a| a.n).max().unwrap_or(1);
    let mut out = Value { ty, n, lanes: [0; MAX_LANES] };
    for l in 0..n {
        let lane = f(args.map(|a| a.get(l)));
        out.lanes[l] = lane.map_err(|reason| if n == 1 { reason } else { format!("{reason}, in lane {l}") })?;
    }
    Ok(out)
}

fn floats<const N: usize>(args: [&Value; N], f: impl Fn([f32; N]) -> f32) -> Res {
    map(Ty::F32, args, |v| Ok(f(v.map(f32::from_bits)).to_bits()))
}

fn int(v: Option<i64>) -> Result<u32, String> {
    v.and_then(|v| i32::try_from(v).ok()).map(|v| v as u32).ok_or_else(|| "the result leaves i32".to_string())
}

/// A unary operation.
pub fn unary(op: UnOp, a: &Value) -> Res {
    let ints = |f: fn(i64) -> i64| map(Ty::I32, [a], |[x]| int(Some(f(x as i32 as i64))));
    match (op, a.ty) {
        (UnOp::Neg, Ty::F32) => floats([a], |[x]| -x),
        (UnOp::Abs, Ty::F32) => floats([a], |[x]| x.abs()),
        (UnOp::Sqrt, Ty::F32) => floats([a], |[x]| x.sqrt()),
        (UnOp::Rint, Ty::F32) => floats([a], |[x]| float::rint(x)),
        (UnOp::Neg, Ty::I32) => ints(|x| -x),
        (UnOp::Abs, Ty::I32) => ints(i64::abs),
        (UnOp::ToInt { lo, hi }, Ty::F32) => {
            map(Ty::I32, [a], |[x]| Ok(float::to_int(f32::from_bits(x), lo, hi) as u32))
        }
        (UnOp::ToF32, Ty::I32) => map(Ty::F32, [a], |[x]| Ok((x as i32 as f32).to_bits())),
        (UnOp::Bits, Ty::F32) => map(Ty::I32, [a], |[x]| Ok(float::bits(f32::from_bits(x)))),
        (UnOp::FromBits, Ty::I32) => map(Ty::F32, [a], |[x]| Ok(x)),
        (UnOp::Not, Ty::Bool) => map(Ty::Bool, [a], |[x]| Ok(x ^ 1)),
        (op, ty) => Err(format!("{op:?} of {ty:?}")),
    }
}

/// A binary operation.
pub fn binary(op: BinOp, a: &Value, b: &Value) -> Res {
    let mismatch = || Err(format!("{op:?} of {:?} and {:?}", a.ty, b.ty));
    match (a.ty, b.ty) {
        (Ty::U8x4 | Ty::I8x4, _) => bytes(op, a, b),
        (x, y) if x != y => mismatch(),
        (Ty::F32, _) => float_binary(op, a, b),
        (Ty::I16x2, _) => Err(format!("{op:?} of halves")),
        (Ty::I32, _) => match compare(op) {
            Some(f) => map(Ty::Bool, [a, b], |[x, y]| Ok(f((x as i32).cmp(&(y as i32))) as u32)),
            None => map(Ty::I32, [a, b], |[x, y]| int(integer(op, x as i32 as i64, y as i32 as i64, 32)?)),
        },
        (Ty::I64, _) => {
            let (x, y) = (a.as_long(), b.as_long());
            match compare(op) {
                Some(f) => Ok(Value::one(Ty::Bool, f(x.cmp(&y)) as u32)),
                None => integer(op, x, y, 64)?.map(Value::long).ok_or_else(|| "the result leaves i64".into()),
            }
        }
        (Ty::Bool, _) => match op {
            BinOp::And => map(Ty::Bool, [a, b], |[x, y]| Ok(x & y)),
            BinOp::Or => map(Ty::Bool, [a, b], |[x, y]| Ok(x | y)),
            BinOp::Xor => map(Ty::Bool, [a, b], |[x, y]| Ok(x ^ y)),
            BinOp::Eq if a.n == 1 && b.n == 1 => map(Ty::Bool, [a, b], |[x, y]| Ok((x == y) as u32)),
            BinOp::Ne if a.n == 1 && b.n == 1 => map(Ty::Bool, [a, b], |[x, y]| Ok((x != y) as u32)),
            _ => mismatch(),
        },
    }
}

fn float_binary(op: BinOp, a: &Value, b: &Value) -> Res {
    let test = |f: fn(&f32, &f32) -> bool| {
        map(Ty::Bool, [a, b], |v| Ok(f(&f32::from_bits(v[0]), &f32::from_bits(v[1])) as u32))
    };
    match op {
        BinOp::Add => floats([a, b], |[x, y]| x + y),
        BinOp::Sub => floats([a, b], |[x, y]| x - y),
        BinOp::Mul => floats([a, b], |[x, y]| x * y),
        BinOp::Div => floats([a, b], |[x, y]| x / y),
        BinOp::Min => floats([a, b], |[x, y]| float::min(x, y)),
        BinOp::Max => floats([a, b], |[x, y]| float::max(x, y)),
        BinOp::Lt => test(f32::lt),
        BinOp::Le => test(f32::le),
        BinOp::Eq => test(f32::eq),
        BinOp::Ne => test(f32::ne),
        op => Err(format!("{op:?} of F32")),
    }
}

fn compare(op: BinOp) -> Option<fn(std::cmp::Ordering) -> bool> {
    match op {
        BinOp::Lt => Some(std::cmp::Ordering::is_lt),
        BinOp::Le => Some(std::cmp::Ordering::is_le),
        BinOp::Eq => Some(std::cmp::Ordering::is_eq),
        BinOp::Ne => Some(std::cmp::Ordering::is_ne),
        _ => None,
    }
}

/// Integer arithmetic in `i64`; `None` where even that is left. Shifts are by less than `bits`.
fn integer(op: BinOp, a: i64, b: i64, bits: i64) -> Result<Option<i64>, String> {
    Ok(match op {
        BinOp::Add => a.checked_add(b),
        BinOp::Sub => a.checked_sub(b),
        BinOp::Mul => a.checked_mul(b),
        BinOp::Div | BinOp::Rem if b <= 0 || a < 0 => return Err(format!("{op:?} of {a} by {b}")),
        BinOp::Div => Some(a / b),
        BinOp::Rem => Some(a % b),
        BinOp::Min => Some(a.min(b)),
        BinOp::Max => Some(a.max(b)),
        BinOp::And => Some(a & b),
        BinOp::Or => Some(a | b),
        BinOp::Xor => Some(a ^ b),
        BinOp::Shl | BinOp::Shr if !(0..bits).contains(&b) => return Err(format!("a shift by {b}")),
        BinOp::Shl => Some(a << b).filter(|v| v >> b == a),
        BinOp::Shr => Some(a >> b),
        op => return Err(format!("{op:?} of integers")),
    })
}

/// Operations on four bytes a lane.
fn bytes(op: BinOp, a: &Value, b: &Value) -> Res {
    let ty = a.ty;
    if matches!(op, BinOp::Shl | BinOp::Shr) {
        if b.ty != Ty::I32 || b.n != 1 {
            return Err("bytes are shifted by a uniform I32 only".into());
        }
        let by = b.lanes[0] as i32 as i64;
        // A shift to the right may leave nothing, one to the left no bit that does not fit.
        let bits = if op == BinOp::Shr && ty == Ty::U8x4 { 32 } else { 8 };
        return map(ty, [a], |[x]| each_byte(ty, x, 0, |x, _| integer(op, x, by, bits)));
    }
    if b.ty != ty || !matches!(op, BinOp::And | BinOp::Or | BinOp::Xor | BinOp::Add | BinOp::Sub) {
        return Err(format!("{op:?} of {ty:?} and {:?}", b.ty));
    }
    map(ty, [a, b], |[x, y]| each_byte(ty, x, y, |x, y| integer(op, x, y, 8)))
}

fn each_byte(ty: Ty, a: u32, b: u32, f: impl Fn(i64, i64) -> Result<Option<i64>, String>) -> Result<u32, String> {
    let (a, b) = (unpack(ty, a), unpack(ty, b));
    let mut out = [0; 4];
    for c in 0..4 {
        let v = f(a[c], b[c])?.unwrap_or(i64::MAX);
        let fits = if ty == Ty::U8x4 { u8::try_from(v).is_ok() } else { i8::try_from(v).is_ok() };
        if !fits {
            return Err(format!("byte {c} leaves {ty:?}"));
        }
        out[c] = v as u8;
    }
    Ok(u32::from_le_bytes(out))
}

fn unpack(ty: Ty, bits: u32) -> [i64; 4] {
    bits.to_le_bytes().map(|b| if ty == Ty::U8x4 { b as i64 } else { b as i8 as i64 })
}

/// `a * b + c`, rounded once.
pub fn fma(a: &Value, b: &Value, c: &Value) -> Res {
    if [a, b, c].iter().any(|v| v.ty != Ty::F32) {
        return Err("fma of what is not F32".into());
    }
    floats([a, b, c], |[x, y, z]| x.mul_add(y, z))
}

/// A choice lane by lane.
pub fn select(c: &Value, a: &Value, b: &Value) -> Res {
    if c.ty != Ty::Bool || a.ty != b.ty || matches!(a.ty, Ty::Bool | Ty::I64) {
        return Err(format!("a choice by {:?} between {:?} and {:?}", c.ty, a.ty, b.ty));
    }
    map(a.ty, [c, a, b], |[c, x, y]| Ok(if c != 0 { x } else { y }))
}

/// One byte value in four bytes.
pub fn splat4(a: &Value) -> Res {
    map(Ty::U8x4, [a], |[x]| {
        u8::try_from(x).map(|x| u32::from_le_bytes([x; 4])).map_err(|_| format!("{} is no byte", x as i32))
    })
}

/// Four numbers as bytes.
pub fn of_bytes(parts: &[Value]) -> Res {
    let [a, b, c, d] = parts else { return Err(format!("{} bytes are no pack", parts.len())) };
    if parts.iter().any(|part| part.ty != Ty::I32) {
        return Err("bytes of what is not I32".into());
    }
    let byte = |v: u32| u8::try_from(v).map_err(|_| format!("{} is no byte", v as i32));
    map(Ty::U8x4, [a, b, c, d], |[a, b, c, d]| Ok(u32::from_le_bytes([byte(a)?, byte(b)?, byte(c)?, byte(d)?])))
}

/// Two numbers as halves.
pub fn pair(a: &Value, b: &Value) -> Res {
    if a.ty != Ty::I32 || b.ty != Ty::I32 {
        return Err(format!("a pair of {:?} and {:?}", a.ty, b.ty));
    }
    let half = |v: u32| i16::try_from(v as i32).map_err(|_| format!("{} is no i16", v as i32));
    map(Ty::I16x2, [a, b], |[x, y]| Ok(half(x)? as u16 as u32 | (half(y)? as u16 as u32) << 16))
}

/// An instruction of the table, in a function of `width` lanes.
pub fn call(name: &str, args: &[Value], width: usize) -> Res {
    let Some(instruction) = instruction(name) else {
        return Err(format!("there is no instruction `{name}`"));
    };
    let lanes = args.iter().map(|a| a.n).max().unwrap_or(1);
    if instruction.registers > 0 || !takes(instruction, args) || instruction.across && lanes != width {
        return Err(not_taken(name, args));
    }
    let given: Vec<Vec<u32>> = args.iter().map(|a| (0..lanes).map(|l| a.get(l)).collect()).collect();
    let out = meaning::evaluate(instruction, &given, lanes)?;
    let Some(ty) = ty(instruction.result) else { return Err(format!("`{name}` gives no number")) };
    Ok(if instruction.across { Value::one(ty, out[0]) } else { Value::each(ty, lanes, |l| out[l]) })
}

/// What an instruction of the table makes of the registers that come first among its arguments.
pub fn accumulate(name: &str, args: &[Value], width: usize) -> Result<Vec<Value>, String> {
    let Some(instruction) = instruction(name) else {
        return Err(format!("there is no instruction `{name}`"));
    };
    if instruction.registers == 0
        || !takes(instruction, args)
        || instruction.lanes().is_some_and(|lanes| lanes != width)
    {
        return Err(not_taken(name, args));
    }
    let given: Vec<Vec<u32>> = args.iter().map(|a| (0..width).map(|l| a.get(l)).collect()).collect();
    let out = meaning::accumulated(instruction, &given, width)?;
    Ok(out.into_iter().map(|register| Value::each(Ty::I32, width, |l| register[l] as u32)).collect())
}

fn takes(instruction: &Instruction, args: &[Value]) -> bool {
    args.len() == instruction.args.len()
        && instruction.args.iter().zip(args).all(|((_, slot, _), a)| ty(*slot) == Some(a.ty))
}

fn not_taken(name: &str, args: &[Value]) -> String {
    format!("`{name}` does not take {:?}", args.iter().map(|a| (a.ty, a.n)).collect::<Vec<_>>())
}

/// The type that an argument or the result of an instruction has.
pub fn ty(slot: Slot) -> Option<Ty> {
    match slot {
        Slot::I => Some(Ty::I32),
        Slot::U => Some(Ty::U8x4),
        Slot::S => Some(Ty::I8x4),
        Slot::H => Some(Ty::I16x2),
        _ => None,
    }
}
