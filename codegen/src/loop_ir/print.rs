//! The text form of loop IR, for people and for messages. `v: f32*` is a value with one number a lane.
use super::{Access, Bind, Expr, Func, Mem, Owner, Stmt, Ty, Var};
use crate::ir::{BinOp, UnOp};
use crate::text;
use std::fmt::Write;

/// A function as text.
pub fn func(func: &Func) -> String {
    let mut params: Vec<String> = func.buffers.iter().map(buffer).collect();
    params.extend((0..func.ints + func.floats).map(|v| declared(func, Var(v as u32))));
    let mut out = format!("fn {}({})\n", func.name, params.join(", "));
    for (_, text) in &func.requires {
        let _ = writeln!(out, "  requires {text}");
    }
    let team = if func.team > 1 { format!("teams of {}, ", func.team) } else { String::new() };
    let resident = if func.resident > 0 { format!("{} resident, ", func.resident) } else { String::new() };
    let flight = if func.in_flight > 1 { format!("{} in flight, ", func.in_flight) } else { String::new() };
    let _ = writeln!(out, "  {team}{flight}{resident}{} lanes, {} work items", func.width, expr(func, &func.work));
    if let Some(scratch) = &func.scratch {
        let counters = expr(func, &scratch.counters);
        let _ = writeln!(out, "  scratch of {} bytes an item, {counters} counters", scratch.item_bytes);
    }
    block(func, &func.body, 1, &mut out);
    out
}

/// An expression as text.
pub fn expr(func: &Func, e: &Expr) -> String {
    let sub = |e: &Expr| operand(func, e);
    let all = |e: &Expr| expr(func, e);
    match e {
        Expr::Int(v) => v.to_string(),
        Expr::Long(v) => v.to_string(),
        Expr::Float(v) => format!("{v:?}"),
        Expr::Bool(v) => v.to_string(),
        Expr::Var(v) => name(func, *v),
        Expr::Load(a) => access(func, a),
        Expr::LoadPack(a) => format!("pack {}", access(func, a)),
        Expr::Widen(v) => format!("long({})", all(v)),
        Expr::Splat4(v) => format!("splat4({})", all(v)),
        Expr::Bytes(parts) => format!("bytes({})", parts.iter().map(all).collect::<Vec<_>>().join(", ")),
        Expr::Pair(a, b) => format!("pair({}, {})", all(a), all(b)),
        Expr::Unary(UnOp::Neg, v) => format!("-{}", sub(v)),
        Expr::Unary(UnOp::Not, v) => format!("!{}", sub(v)),
        Expr::Unary(op, v) => format!("{}({})", unary(*op), all(v)),
        Expr::Binary(op @ (BinOp::Min | BinOp::Max), a, b) => format!("{}({}, {})", text::binary(*op), all(a), all(b)),
        Expr::Binary(op, a, b) => format!("{} {} {}", sub(a), text::binary(*op), sub(b)),
        Expr::Fma(a, b, c) => format!("fma({}, {}, {})", all(a), all(b), all(c)),
        Expr::Select(c, a, b) => format!("if {} {{ {} }} else {{ {} }}", all(c), all(a), all(b)),
        Expr::Shuffle { mask, value } => format!("shuffle({}, {mask})", all(value)),
        Expr::First(v) => format!("first({})", all(v)),
        Expr::Call { intrinsic, args, .. } => {
            format!("{intrinsic}({})", args.iter().map(all).collect::<Vec<_>>().join(", "))
        }
    }
}

/// A statement's first line as text.
pub fn head(func: &Func, stmt: &Stmt) -> String {
    match stmt {
        Stmt::Let { var, value } => format!("let {} = {}", declared(func, *var), expr(func, value)),
        Stmt::Reg { var, init } => format!("reg {} = {}", declared(func, *var), expr(func, init)),
        Stmt::Set { var, value } => format!("{} = {}", name(func, *var), expr(func, value)),
        Stmt::Array { var, scalar: s, len, of } => {
            let team = if *of == Owner::Team { "team " } else { "" };
            format!("{team}array {}: [{}; {len}]", name(func, *var), s.name())
        }
        Stmt::For { bind, var, lo, hi, step, .. } => {
            let bind = match bind {
                Bind::Serial => "for",
                Bind::Rolled => "rolled for",
                Bind::Work => "work for",
                Bind::First => "first for",
                Bind::Team => "team for",
                Bind::Simd => "simd for",
            };
            let step = if *step == 1 { String::new() } else { format!(" step {step}") };
            format!("{bind} {} in {}..{}{step}", name(func, *var), expr(func, lo), expr(func, hi))
        }
        Stmt::If { cond, .. } => format!("if {}", expr(func, cond)),
        Stmt::Store { to, value, only, .. } => {
            format!("{} = {}{}", access(func, to), expr(func, value), places(func, only))
        }
        Stmt::Accumulate { intrinsic, registers, args, .. } => {
            let registers: Vec<String> = registers.iter().map(|var| name(func, *var)).collect();
            let args: Vec<String> = args.iter().map(|arg| expr(func, arg)).collect();
            format!("{} by {intrinsic}({})", registers.join(", "), args.join(", "))
        }
        Stmt::Prefetch { from, bytes } => format!("prefetch {bytes} of {}", access(func, from)),
        Stmt::Arrive { last, counter, of, by } => {
            let who = if *by == Owner::Team { "arrive as a team" } else { "arrive" };
            format!("let {} = {who} at {} of {}", declared(func, *last), expr(func, counter), expr(func, of))
        }
        Stmt::AwaitArrivals { counter, arrivals, of } => {
            let [counter, arrivals, of] = [counter, arrivals, of].map(|e| expr(func, e));
            format!("await {arrivals} arrivals at {counter} of {of}")
        }
        Stmt::Barrier => format!("barrier {}", barrier(func, stmt)),
        Stmt::Copy { to, from, len, only } => {
            format!("copy {} = {len} of {}{}", access(func, to), access(func, from), places(func, only))
        }
        Stmt::Await => "await copies".into(),
    }
}

/// In which lanes a statement does something, where not in all.
fn places(func: &Func, only: &Option<Expr>) -> String {
    only.as_ref().map_or_else(String::new, |only| format!(" where {}", expr(func, only)))
}

/// What a variable was called.
pub fn name(func: &Func, var: Var) -> String {
    func.vars.get(var.0 as usize).map_or_else(|| format!("v{}", var.0), |info| format!("{}.{}", info.name, var.0))
}

fn block(func: &Func, stmts: &[Stmt], depth: usize, out: &mut String) {
    let indent = "  ".repeat(depth);
    for stmt in stmts {
        let _ = writeln!(out, "{indent}{}", head(func, stmt));
        match stmt {
            Stmt::For { body, .. } => block(func, body, depth + 1, out),
            Stmt::If { then, other, .. } => {
                block(func, then, depth + 1, out);
                if !other.is_empty() {
                    let _ = writeln!(out, "{indent}else");
                    block(func, other, depth + 1, out);
                }
            }
            _ => {}
        }
    }
}

/// The number of a barrier: how many stand before it.
fn barrier(func: &Func, barrier: &Stmt) -> usize {
    fn look(stmts: &[Stmt], barrier: &Stmt, before: &mut usize) -> bool {
        stmts.iter().any(|s| {
            let found = std::ptr::eq(s, barrier);
            *before += usize::from(!found && matches!(s, Stmt::Barrier));
            found || s.lists().into_iter().any(|list| look(list, barrier, before))
        })
    }
    let mut before = 0;
    look(&func.body, barrier, &mut before);
    before
}

fn declared(func: &Func, var: Var) -> String {
    let Some(info) = func.vars.get(var.0 as usize) else {
        return name(func, var);
    };
    let ty = match info.ty {
        Ty::F32 => "f32",
        Ty::I32 => "i32",
        Ty::I64 => "i64",
        Ty::Bool => "bool",
        Ty::U8x4 => "u8x4",
        Ty::I8x4 => "i8x4",
        Ty::I16x2 => "i16x2",
    };
    format!("{}: {ty}{}", name(func, var), if info.varying { "*" } else { "" })
}

fn buffer(buffer: &crate::ir::Buffer) -> String {
    format!("{}: {}[{}]", buffer.name, if buffer.written { "&mut " } else { "&" }, buffer.elem)
}

fn access(func: &Func, a: &Access) -> String {
    let mem = match a.mem {
        Mem::Buffer(index) => func.buffers.get(index).map_or_else(|| format!("b{index}"), |b| b.name.clone()),
        Mem::Local(var) | Mem::Shared(var) => name(func, var),
        Mem::Scratch => "scratch".into(),
    };
    let mut lanes = if a.lane_stride == 0 { String::new() } else { format!(" + lane * {}", a.lane_stride) };
    lanes.extend(a.offset.iter().map(|offset| format!(" + {}", operand(func, offset))));
    format!("{mem}[{}{lanes}].{}", expr(func, &a.addr), a.scalar.name())
}

/// A compound expression in parentheses.
fn operand(func: &Func, e: &Expr) -> String {
    let text = expr(func, e);
    let plain = !matches!(e, Expr::Binary(..) | Expr::Select(..) | Expr::LoadPack(_))
        || matches!(e, Expr::Binary(BinOp::Min | BinOp::Max, ..));
    if plain { text } else { format!("({text})") }
}

fn unary(op: UnOp) -> String {
    match op {
        UnOp::Abs => "abs".into(),
        UnOp::Sqrt => "sqrt".into(),
        UnOp::Rint => "rint".into(),
        UnOp::ToInt { lo, hi } => format!("to_int<{lo}, {hi}>"),
        UnOp::ToF32 => "f32".into(),
        UnOp::Bits => "bits".into(),
        UnOp::FromBits => "from_bits".into(),
        UnOp::FromHalf => "from_half".into(),
        UnOp::ToHalf(s) => format!("to_{}", s.name()),
        UnOp::Neg => "-".into(),
        UnOp::Not => "!".into(),
    }
}
