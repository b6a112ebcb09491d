//! Two kernels as one function: whoever finishes the last item of the first that an item of the second reads does that one.
//! Where a team finishes it, it does those items of the second together, or its members share them.
//!
//! Both are lowered and tidied by themselves before, so that nothing of the second moves to before the arrival that it waits for.
use super::build::arithmetic;
use super::splice::{Items, joined};
use super::tile::{Tile, tile};
use super::{Illegal, lower};
use crate::ir::{BinOp, Kernel};
use crate::loop_ir::{Bind, Expr, Func, Owner, Scratch, Stmt, Ty, Var, VarInfo};
use crate::schedule::Schedule;

/// A kernel and how it is run.
#[derive(Clone, Copy, Debug)]
pub struct Scheduled<'k> {
    /// What is computed.
    pub kernel: &'k Kernel,
    /// How.
    pub schedule: &'k Schedule,
}

/// The most elements of an edge, so that elements, items of both kernels and counters of both can be counted in `i32`.
pub const MOST_ELEMENTS: i32 = i32::MAX / 2;

/// Lowers two kernels to one function, in which the producer writes its buffer `edge.0` and the consumer reads that as its
/// `edge.1`; or says why that cannot be.
///
/// The function takes the buffers of both, the edge once; the dims of both, then their integer scalars, then their floats.
/// It is for calls that both kernels accept, in which the edge has the same number of elements for both, and at most
/// [`MOST_ELEMENTS`].
pub fn fuse(name: &str, producer: Scheduled, consumer: Scheduled, edge: (usize, usize)) -> Result<Func, Illegal> {
    let illegal = |reason| Illegal { kernel: name.into(), reason };
    if !consumer.schedule.most.is_empty() {
        return Err(illegal(format!(
            "{} is for all sizes here: leave `most` out of its schedule",
            consumer.kernel.name
        )));
    }
    let (first, then) = (lower(producer.kernel, producer.schedule)?, lower(consumer.kernel, consumer.schedule)?);
    check(&first, &then, edge).map_err(illegal)?;
    let map = |s: Scheduled, buffer| tile(s.kernel, s.schedule, buffer).map_err(|e| format!("{}: {e}", s.kernel.name));
    let tiles = (map(producer, edge.0).map_err(illegal)?, map(consumer, edge.1).map_err(illegal)?);
    let lengths = lengths(tiles, first.dims as u32);
    joined(name, [first, then], &[edge]).and_then(|(func, items)| with_arrivals(func, items, lengths)).map_err(illegal)
}

/// What has nothing to do with which items there are.
fn check(first: &Func, then: &Func, edge: (usize, usize)) -> Result<(), String> {
    let (from, to) = (&first.buffers[edge.0], &then.buffers[edge.1]);
    if !from.written || to.written || from.elem != to.elem {
        let (a, b) = (&first.name, &then.name);
        return Err(format!("`{}` of {a} is not written as what {b} reads as `{}`: {}", from.name, to.name, to.elem));
    }
    if then.layouts.get(edge.1).is_some_and(Option::is_some) {
        return Err(format!("{} wants `{}` in another layout than it is written in", then.name, to.name));
    }
    if first.width != then.width {
        return Err(format!("{} has {} lanes, {} has {}", first.name, first.width, then.name, then.width));
    }
    if then.team > 1 && then.team != first.team {
        let (a, b) = (&first.name, &then.name);
        return Err(format!("the teams of {b} have {} members, those of {a} {}", then.team, first.team));
    }
    if then.scratch.is_some() {
        return Err(format!("the workers of {} meet by themselves", then.name));
    }
    Ok(())
}

/// How many elements an item of each kernel touches, divided by what both are multiples of: only their ratio matters. The dims
/// of the consumer come after the `dims` of the producer.
fn lengths((mut a, mut b): (Tile, Tile), dims: u32) -> (Expr, Expr) {
    let (mut divisor, mut rest) = (a.constant, b.constant);
    while rest > 0 {
        (divisor, rest) = (rest, divisor % rest);
    }
    a.constant /= divisor;
    b.constant /= divisor;
    (a.len(0), b.len(dims))
}

/// Where an item of the producer is complete, arrives at each item of the consumer that reads of it; the last does that one. Teams
/// of the consumer are those of the producer: they arrive as one. Else the members of a team take turns in these items, each by
/// itself.
fn with_arrivals(
    mut func: Func,
    [mut producer, consumer]: [Items; 2],
    (writes, reads): (Expr, Expr),
) -> Result<Func, String> {
    let last = Var(func.vars.len() as u32);
    let span = func.vars[consumer.item.0 as usize].span;
    func.vars.push(VarInfo { name: "last".into(), ty: Ty::Bool, varying: false, span });
    let item = Expr::Var(consumer.item);
    let (own_counters, count, (place, number)) = match &producer.scratch {
        Some(scratch) => {
            let merged = merged(&mut producer.body).ok_or("no arrival at a merge was found")?;
            (scratch.counters.clone(), scratch.counters.clone(), merged)
        }
        None => (Expr::Int(0), producer.work.clone(), (&mut producer.body, Expr::Var(producer.item))),
    };
    // The last item of either may be shorter than the others: no item comes after it.
    let (mut lo, hi) = overlapping(number, &writes, &reads);
    let hi = arithmetic(BinOp::Min, hi, consumer.work.clone());
    let (from, to) = overlapping(item.clone(), &reads, &writes);
    let to = arithmetic(BinOp::Min, to, count);
    let counter = arithmetic(BinOp::Add, own_counters.clone(), item);
    let by = if consumer.member.is_some() { Owner::Team } else { Owner::Worker };
    let arrive = Stmt::Arrive { last, counter, of: arithmetic(BinOp::Sub, to, from), by };
    let read = Stmt::If { cond: Expr::Var(last), then: consumer.body, other: Vec::new() };
    let mut step = 1;
    if let (Some(member), None) = (producer.member, consumer.member) {
        place.push(Stmt::Barrier);
        lo = arithmetic(BinOp::Add, lo, Expr::Var(member));
        step = func.team as i32;
    }
    place.push(Stmt::For { bind: Bind::Serial, var: consumer.item, lo, hi, step, body: vec![arrive, read] });
    // Where there are counters, there is scratch memory, too.
    let item_bytes = producer.scratch.as_ref().map_or(4, |scratch| scratch.item_bytes);
    func.scratch = Some(Scratch { item_bytes, counters: arithmetic(BinOp::Add, own_counters, consumer.work) });
    func.work = producer.work.clone();
    func.body = consumer.head;
    func.body.extend(producer.whole(func.team, func.width));
    Ok(func)
}

/// The items of `other` elements each, from and to below, that have elements of item `n` of `own`.
fn overlapping(n: Expr, own: &Expr, other: &Expr) -> (Expr, Expr) {
    let first = arithmetic(BinOp::Mul, n, own.clone());
    let end = arithmetic(BinOp::Add, first.clone(), own.clone());
    let up = arithmetic(BinOp::Add, end, arithmetic(BinOp::Sub, other.clone(), Expr::Int(1)));
    (arithmetic(BinOp::Div, first, other.clone()), arithmetic(BinOp::Div, up, other.clone()))
}

/// Where the last to arrive has merged all parts of an iteration, and the number of that, which is its counter's.
fn merged(stmts: &mut [Stmt]) -> Option<(&mut Vec<Stmt>, Expr)> {
    let arrival = stmts.iter().find_map(|s| match s {
        Stmt::Arrive { last, counter, .. } => Some((*last, counter.clone())),
        _ => None,
    });
    let Some((last, counter)) = arrival else {
        return stmts.iter_mut().flat_map(Stmt::lists_mut).find_map(|list| merged(list));
    };
    stmts.iter_mut().find_map(|s| match s {
        Stmt::If { cond: Expr::Var(cond), then, .. } if *cond == last => Some((then, counter.clone())),
        _ => None,
    })
}
