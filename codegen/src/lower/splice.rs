//! Two functions taken apart, with the variables and buffers of one that takes what both take.
use crate::ir::{self, Buffer, Kind};
use crate::loop_ir::rename::Names;
use crate::loop_ir::{Bind, Expr, Func, Scratch, Stmt, Var, VarInfo};
use std::rc::Rc;

/// The body of a function: what comes first, and what is done for each item.
pub(super) struct Items {
    pub head: Vec<Stmt>,
    pub item: Var,
    /// The variable of the loop over members, where they form teams.
    pub member: Option<Var>,
    /// The variable of the loop over lanes, where there is one.
    pub lane: Option<Var>,
    pub body: Vec<Stmt>,
    /// Number of items.
    pub work: Expr,
    pub scratch: Option<Scratch>,
}

impl Items {
    fn of(func: &Func) -> Result<Items, String> {
        let other = || format!("the items of {} are not one loop", func.name);
        let (Some(Stmt::For { bind: Bind::Work, var, body, .. }), head) =
            (func.body.last(), &func.body[..func.body.len().saturating_sub(1)])
        else {
            return Err(other());
        };
        let (member, body) = match (func.team, &body[..]) {
            (1, body) => (None, body),
            (_, [Stmt::For { bind: Bind::Team, var, body, .. }]) => (Some(*var), &body[..]),
            _ => return Err(other()),
        };
        let (lane, body) = match (func.width, body) {
            (1, body) => (None, body),
            (_, [Stmt::For { bind: Bind::Simd, var, body, .. }]) => (Some(*var), &body[..]),
            _ => return Err(other()),
        };
        let (work, scratch) = (func.work.clone(), func.scratch.clone());
        Ok(Items { head: head.to_vec(), item: *var, member, lane, body: body.to_vec(), work, scratch })
    }

    fn rename(&mut self, names: &Names) {
        [&mut self.head, &mut self.body].into_iter().for_each(|list| names.stmts(list));
        names.expr(&mut self.work);
        self.scratch.iter_mut().for_each(|scratch| names.expr(&mut scratch.counters));
        let vars = [Some(&mut self.item), self.member.as_mut(), self.lane.as_mut()];
        vars.into_iter().flatten().for_each(|var| *var = names.var(*var));
    }

    /// The body put together again.
    pub fn whole(self, team: usize, width: usize) -> Vec<Stmt> {
        let loop_ = |bind, var, hi, body| Stmt::For { bind, var, lo: Expr::Int(0), hi, step: 1, body };
        let at_once = |bind, var: Option<Var>, count: usize, body| match var {
            Some(var) => vec![loop_(bind, var, Expr::Int(count as i32), body)],
            None => body,
        };
        let body = at_once(Bind::Simd, self.lane, width, self.body);
        let body = at_once(Bind::Team, self.member, team, body);
        let mut all = self.head;
        all.push(loop_(Bind::Work, self.item, self.work, body));
        all
    }
}

/// A function without a body that takes the parameters of both, and what both do in its variables, in the same lanes and
/// members. Of each edge, buffer `.1` of the second is buffer `.0` of the first.
pub(super) fn joined(name: &str, funcs: [Func; 2], edges: &[(usize, usize)]) -> Result<(Func, [Items; 2]), String> {
    let [first, then] = &funcs;
    let mut items = [Items::of(first)?, Items::of(then)?];
    let count = first.buffers.len();
    let shared = |i: usize| edges.iter().find(|edge| edge.1 == i).map(|edge| edge.0);
    let place = |i: usize| shared(i).unwrap_or_else(|| count + (0..i).filter(|j| shared(*j).is_none()).count());
    let own = Names { vars: numbers(first, then, false), buffers: (0..count).collect() };
    let mut other = Names { vars: numbers(then, first, true), buffers: (0..then.buffers.len()).map(place).collect() };
    let vars = variables([(first, &own), (then, &other)]);
    let alike = [(items[0].lane, items[1].lane), (items[0].member, items[1].member)];
    for (to, from) in alike {
        if let (Some(to), Some(from)) = (to, from) {
            other.vars[from.0 as usize] = own.var(to);
        }
    }
    items[0].rename(&own);
    items[1].rename(&other);
    let added = (0..then.buffers.len()).filter(|i| shared(*i).is_none());
    let buffers = added.clone().map(|i| renamed(&then.buffers[i], then, first));
    let func = Func {
        name: name.into(),
        width: first.width,
        team: first.team,
        in_flight: first.in_flight.max(then.in_flight),
        resident: first.resident,
        dims: first.dims + then.dims,
        ints: first.ints + then.ints,
        floats: first.floats + then.floats,
        buffers: first.buffers.iter().cloned().chain(buffers).collect(),
        layouts: first.layouts.iter().cloned().chain(added.map(|i| then.layouts[i].clone())).collect(),
        requires: Vec::new(),
        work: Expr::Int(0),
        scratch: None,
        body: Vec::new(),
        vars,
    };
    Ok((func, items))
}

/// The new numbers of a function's variables: the dims of both, their integer scalars, their floats, then all others.
fn numbers(func: &Func, other: &Func, second: bool) -> Vec<Var> {
    let ends = |f: &Func| [f.dims, f.ints, f.ints + f.floats, f.vars.len()];
    let (own, other) = (ends(func), ends(other));
    let number = |i: usize| {
        let kind = own.iter().position(|end| i < *end).expect("it is one of them");
        // Of the other's variables, those of earlier kinds come before it; those of its kind, too, where the other is first.
        let before = if second { other[kind] } else { kind.checked_sub(1).map_or(0, |kind| other[kind]) };
        Var((i + before) as u32)
    };
    (0..func.vars.len()).map(number).collect()
}

/// All variables, by their new numbers.
fn variables(both: [(&Func, &Names); 2]) -> Vec<VarInfo> {
    let numbered = both.iter().flat_map(|(func, names)| names.vars.iter().zip(&func.vars));
    let mut all: Vec<(Var, VarInfo)> = numbered.map(|(var, info)| (*var, info.clone())).collect();
    all.sort_by_key(|(var, _)| *var);
    all.into_iter().map(|(_, info)| info).collect()
}

/// A buffer of the second function: its dims come after those of the first, and its name is not one of its buffers'.
fn renamed(buffer: &Buffer, func: &Func, first: &Func) -> Buffer {
    let mut buffer = buffer.clone();
    if first.buffers.iter().any(|other| other.name == buffer.name) {
        buffer.name = format!("{}_{}", func.name, buffer.name);
    }
    buffer
        .shape
        .iter_mut()
        .chain(&mut buffer.index_below)
        .for_each(|extent| *extent = shifted(extent, first.dims as u32));
    buffer
}

/// An extent with later dims.
fn shifted(e: &ir::Expr, by: u32) -> ir::Expr {
    let kind = match &e.kind {
        Kind::Var(v) => Kind::Var(ir::Var(v.0 + by)),
        Kind::Binary(op, a, b) => Kind::Binary(*op, shifted(a, by), shifted(b, by)),
        Kind::Unary(op, a) => Kind::Unary(*op, shifted(a, by)),
        kind => kind.clone(),
    };
    Rc::new(ir::Node { kind, ..(**e).clone() })
}
