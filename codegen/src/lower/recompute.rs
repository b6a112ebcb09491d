//! A kernel whose teams compute rows by another kernel, each for itself, instead of copying what a launch before has left: it takes
//! longer to hear of a result than to compute it again.
//!
//! Both kernels are lowered by themselves. The first is to copy the rows to its team's memory; where it begins to, the members of
//! the team share the items of the second, which store to that memory.
use super::splice::{Items, joined};
use super::{Illegal, Scheduled, lower};
use crate::ir::Kind;
use crate::loop_ir::rename::Names;
use crate::loop_ir::{Bind, Expr, Func, Mem, Stmt, Var};

/// Lowers a kernel and the one that computes its rows to one function. Each of `edges` is a buffer that the producer writes, and
/// the one of the consumer that it is.
///
/// The function takes the buffers of both without the edges; the dims of both, then their integer scalars, then their floats. It is
/// for calls that both kernels accept, in which the edges have the same extents for both, and one row.
pub fn recompute(
    name: &str,
    consumer: Scheduled,
    producer: Scheduled,
    edges: &[(usize, usize)],
) -> Result<Func, Illegal> {
    let illegal = |reason| Illegal { kernel: name.into(), reason };
    edges.iter().try_for_each(|edge| one_row(consumer, edge.1)).map_err(illegal)?;
    let (own, other) = (lower(consumer.kernel, consumer.schedule)?, lower(producer.kernel, producer.schedule)?);
    check(&own, &other, edges).map_err(illegal)?;
    let to: Vec<(usize, usize)> = edges.iter().map(|(written, read)| (*read, *written)).collect();
    let (func, items) = joined(name, [own, other], &to).map_err(illegal)?;
    let reads: Vec<usize> = to.iter().map(|(read, _)| *read).collect();
    with_rows(func, items, &reads).map_err(illegal)
}

/// Whether the schedule allows one row of a buffer alone.
fn one_row(consumer: Scheduled, buffer: usize) -> Result<(), String> {
    let Scheduled { kernel, schedule } = consumer;
    let info = &kernel.buffers[buffer];
    let single = match info.shape[0].kind {
        Kind::Var(v) => schedule.most.get(&kernel.vars[v.0 as usize].name).is_some_and(|most| *most <= 1),
        _ => false,
    };
    if single && info.shape.len() == 2 {
        return Ok(());
    }
    Err(format!("`{}` of {} may have several rows: bound their number by `most`", info.name, kernel.name))
}

fn check(own: &Func, other: &Func, edges: &[(usize, usize)]) -> Result<(), String> {
    for (written, read) in edges {
        let (from, to) = (&other.buffers[*written], &own.buffers[*read]);
        if !from.written || to.written || from.elem != to.elem {
            let (a, b) = (&other.name, &own.name);
            return Err(format!("`{}` of {a} is not written as what {b} reads as `{}`", from.name, to.name));
        }
    }
    if let Some(left) = (0..other.buffers.len()).find(|i| other.buffers[*i].written && edges.iter().all(|e| e.0 != *i))
    {
        return Err(format!("`{}` of {} would be written by every team", other.buffers[left].name, other.name));
    }
    if own.width != other.width {
        return Err(format!("{} has {} lanes, {} has {}", own.name, own.width, other.name, other.width));
    }
    if own.team == 1 || other.team > 1 || other.scratch.is_some() {
        return Err(format!("members of a team of {} are to do items of {} by themselves", own.name, other.name));
    }
    Ok(())
}

/// Where rows of these buffers are copied, the members compute them.
fn with_rows(mut func: Func, [mut own, mut other]: [Items; 2], reads: &[usize]) -> Result<Func, String> {
    let (mut place, mut rows) = (None, Vec::new());
    let mut kept = Vec::new();
    for s in std::mem::take(&mut own.body) {
        let copied = copied(&s);
        if !copied.is_empty() && copied.iter().all(|(buffer, _)| reads.contains(buffer)) {
            place.get_or_insert(kept.len());
            rows.extend(copied);
        } else {
            kept.push(s);
        }
    }
    let row_of = |buffer: usize| rows.iter().find(|(from, _)| *from == buffer).map(|(_, row)| *row);
    let (Some(place), Some(member)) = (place, own.member) else { return Err("no rows are copied".into()) };
    if let Some(missing) = reads.iter().find(|buffer| row_of(**buffer).is_none()) {
        return Err(format!("rows of `{}` are not copied: name it in `stage`", func.buffers[*missing].name));
    }
    store_to_rows(&mut other.body, &row_of);
    kept.insert(
        place,
        Stmt::For {
            bind: Bind::Serial,
            var: other.item,
            lo: Expr::Var(member),
            hi: other.work.clone(),
            step: func.team as i32,
            body: other.body,
        },
    );
    own.body = kept;
    func.work = own.work.clone();
    func.scratch = own.scratch.clone();
    func.body = other.head;
    func.body.extend(own.whole(func.team, func.width));
    without_buffers(&mut func, reads);
    Ok(func)
}

/// The buffers that a statement copies rows of, and the arrays that these go to.
fn copied(s: &Stmt) -> Vec<(usize, Var)> {
    match s {
        Stmt::Copy { to, from, .. } => match (to.mem, from.mem) {
            (Mem::Shared(row), Mem::Buffer(buffer)) => vec![(buffer, row)],
            _ => Vec::new(),
        },
        s => s.lists().into_iter().flatten().flat_map(copied).collect(),
    }
}

/// Stores to buffers become stores to the rows: of the one row there is, the addresses are the same.
fn store_to_rows(stmts: &mut [Stmt], row_of: &impl Fn(usize) -> Option<Var>) {
    for s in stmts {
        if let Stmt::Store { to, .. } = s
            && let Mem::Buffer(buffer) = to.mem
            && let Some(row) = row_of(buffer)
        {
            to.mem = Mem::Shared(row);
        }
        s.lists_mut().into_iter().for_each(|list| store_to_rows(list, row_of));
    }
}

/// Takes parameters away that nothing touches.
fn without_buffers(func: &mut Func, gone: &[usize]) {
    let count = func.buffers.len();
    let stays = |i: &usize| !gone.contains(i);
    let buffers = (0..count).map(|i| (0..i).filter(stays).count()).collect();
    Names { vars: (0..func.vars.len() as u32).map(Var).collect(), buffers }.stmts(&mut func.body);
    func.buffers = (0..count).filter(stays).map(|i| func.buffers[i].clone()).collect();
    func.layouts = (0..count).filter(stays).map(|i| func.layouts[i].clone()).collect();
}
