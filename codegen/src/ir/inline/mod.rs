//! Kernels computed where another one reads them: the value on the edge of a plan stays in a register.
//!
//! The result is a kernel like any other. It means what the kernels mean one after the other: a number that is stored and
//! loaded again is the same number (of a NaN, no operation sees more than that it is one).
mod joined;
mod stored;

use super::rewrite::Rewrite;
use super::{Axis, Expr, Kernel, Kind, Node, Place, Stmt, Ty, Var, print, walk};
use joined::Joined;
use std::collections::HashMap;
use std::rc::Rc;
use stored::Stored;

/// Where a parameter comes from: which kernel (0 is the consumer, then the producers), and the parameter's number there. All
/// that are named are to be given the same.
pub type Sources = Vec<(usize, usize)>;

/// A kernel with others in it.
#[derive(Clone, Debug)]
pub struct Inlined {
    /// What it means.
    pub kernel: Kernel,
    /// Where its dims come from,
    pub dims: Vec<Sources>,
    /// its scalars,
    pub scalars: Vec<Sources>,
    /// and its buffers.
    pub buffers: Vec<Sources>,
}

/// Computes what `producers` write where `consumer` reads it: each writes the buffer of this number of the consumer. Buffers
/// of the producers that are named in `same` are one.
///
/// A producer stores one number in each iteration of its parallel axes. The consumer reads it in the iterations of its own; a number
/// that takes no sum of its own it may read anywhere, and then it is computed there. What a producer names for many of its numbers
/// is computed once in each iteration of the consumer. The last index of what is stored may be several of what is read.
pub fn inline(
    name: &str,
    consumer: &Kernel,
    producers: &[(usize, &Kernel)],
    same: &[String],
) -> Result<Inlined, String> {
    let stored = producers.iter().map(|(_, kernel)| Stored::of(kernel)).collect::<Result<Vec<_>, _>>()?;
    let mut kernels = vec![consumer];
    kernels.extend(producers.iter().map(|(_, kernel)| *kernel));
    let mut joined = Joined::new(kernels, producers, &stored, same)?;
    let consumer_vars = joined.all_vars(0);
    let buffers = joined.places.clone();
    let edge = |place: &Place| producers.iter().position(|(edge, _)| *edge == place.buffer);
    let (axes, list) = consumer.nest();
    let plain = Rewrite { vars: &consumer_vars, values: &HashMap::new(), buffers: &buffers[0], loads: &|_| None };
    // The iteration of a producer that stores what is read.
    let iteration = |p: usize, place: &Place| -> HashMap<Var, Expr> {
        let index = stored[p].iteration(place, &consumer.buffers[place.buffer].shape);
        stored[p].axes.iter().copied().zip(index.iter().map(|e| plain.expr(e))).collect()
    };
    // What the consumer reads besides is loaded first, so that it is there when the producers are done.
    let mut lets = (Vec::new(), Vec::new());
    // The names of producers whose values are written down wherever they are read.
    let mut anywhere: Vec<Option<Vec<Var>>> = Vec::new();
    for (p, producer) in stored.iter().enumerate() {
        anywhere.push(producer.is_plain().then(|| joined.all_vars(p + 1)));
        let Some(place) = around(consumer, &axes, producer, producers[p])? else { continue };
        let values = iteration(p, &place);
        let vars = anywhere[p].as_ref().ok_or_else(|| format!("{} has sums in sums", producers[p].1.name))?;
        let own = Rewrite { vars, values: &values, buffers: &buffers[p + 1], loads: &|_| None };
        lets.1.extend(own.stmts(producer.before));
    }
    let mut known: HashMap<String, Expr> = HashMap::new();
    let free = |p: usize| anywhere[p].is_some();
    for (place, node) in loads(list, &axes, consumer, &edge, free)? {
        let key = key(consumer, &place);
        if known.contains_key(&key) {
            continue;
        }
        let (value, list) = match edge(&place) {
            Some(p) if free(p) => continue,
            Some(p) => {
                let values = iteration(p, &place);
                let vars = joined.all_vars(p + 1);
                let own = Rewrite { vars: &vars, values: &values, buffers: &buffers[p + 1], loads: &|_| None };
                (own.expr(stored[p].value), &mut lets.1)
            }
            None => (Rc::new(Node { kind: Kind::Load(plain.place(&place)), ..node.clone() }), &mut lets.0),
        };
        let var = joined.var(&consumer.buffers[place.buffer].name, value.ty);
        known.insert(key, Rc::new(Node { kind: Kind::Var(var), ..node }));
        list.push(Stmt::Let { var, value });
    }
    let found = |place: &Place| match edge(place).and_then(|p| Some((p, anywhere[p].as_ref()?))) {
        Some((p, vars)) => {
            let values = iteration(p, place);
            let own = Rewrite { vars, values: &values, buffers: &buffers[p + 1], loads: &|_| None };
            Some(own.expr(stored[p].value))
        }
        None => known.get(&key(consumer, place)).cloned(),
    };
    let rewrite = Rewrite { vars: &consumer_vars, values: &HashMap::new(), buffers: &buffers[0], loads: &found };
    let mut body: Vec<Stmt> = lets.0.into_iter().chain(lets.1).chain(rewrite.stmts(list)).collect();
    for axis in axes.iter().rev() {
        body = vec![Stmt::Par { axis: rewrite.axis(axis), body }];
    }
    Ok(joined.finish(name, body))
}

/// A place where the consumer reads what a producer stores, where that names something for many of its numbers: all places must
/// be of the same iteration of the axes around the names, and of one that is known in the consumer's outer axes.
fn around(
    consumer: &Kernel,
    axes: &[&Axis],
    stored: &Stored,
    (edge, producer): (usize, &Kernel),
) -> Result<Option<Place>, String> {
    if stored.before.is_empty() {
        return Ok(None);
    }
    let mut places: Vec<Place> = Vec::new();
    consumer.places(&mut |place| places.extend((place.buffer == edge).then(|| place.clone())));
    let outer = |place: &Place| -> Vec<Expr> {
        let index = stored.iteration(place, &consumer.buffers[edge].shape);
        let around = stored.axes.iter().zip(index).filter(|(axis, _)| stored.outer.contains(axis));
        around.map(|(_, e)| e).collect()
    };
    let text = |place: &Place| -> Vec<String> { outer(place).iter().map(|e| print::expr(e, &consumer.vars)).collect() };
    let one = places.windows(2).all(|two| text(&two[0]) == text(&two[1]));
    if !one || !places.first().is_some_and(|place| known_outside(consumer, axes, &outer(place))) {
        return Err(format!("{} reads of several sums of {} in an iteration", consumer.name, producer.name));
    }
    Ok(places.pop())
}

/// Whether expressions are made of parameters and outer axes alone.
fn known_outside(kernel: &Kernel, axes: &[&Axis], exprs: &[Expr]) -> bool {
    let params = kernel.dims.iter().chain(&kernel.scalars);
    let vars: Vec<Var> = axes.iter().map(|axis| axis.var).chain(params.copied()).collect();
    walk::mentioned(&[], exprs).iter().all(|var| vars.contains(var))
}

/// What names the place of a load.
fn key(kernel: &Kernel, place: &Place) -> String {
    let index = place.index.iter().chain(&place.at).map(|e| print::expr(e, &kernel.vars));
    format!("{} {} {}", place.buffer, place.offset, index.collect::<Vec<_>>().join(", "))
}

/// The loads that can be done before everything else: of the edges all but those that are `free` to be done anywhere, and others
/// that are done in any case.
fn loads(
    list: &[Stmt],
    axes: &[&Axis],
    consumer: &Kernel,
    edge: &impl Fn(&Place) -> Option<usize>,
    free: impl Fn(usize) -> bool,
) -> Result<Vec<(Place, Node)>, String> {
    let mut found = Vec::new();
    let known = |place: &Place| {
        let exprs: Vec<Expr> = place.index.iter().chain(&place.at).cloned().collect();
        known_outside(consumer, axes, &exprs)
    };
    for s in list {
        match s {
            Stmt::Let { value, .. } | Stmt::Store { value, .. } => always(value, &mut |place, node| {
                if node.ty == Ty::F32 && known(place) {
                    found.push((place.clone(), node.clone()));
                }
            }),
            Stmt::Par { .. } | Stmt::Merge { .. } => {}
        }
    }
    let mut all = true;
    let done = |place: &Place| found.iter().any(|(other, _)| key(consumer, other) == key(consumer, place));
    consumer.places(&mut |place| all &= edge(place).is_none_or(&free) || done(place));
    if all { Ok(found) } else { Err(format!("{} reads some of it in another place", consumer.name)) }
}

/// Calls `f` for the loads that are done whenever the expression is evaluated, once.
fn always(e: &Expr, f: &mut impl FnMut(&Place, &Node)) {
    match &e.kind {
        Kind::Load(place) => f(place, e),
        Kind::Unary(_, a) | Kind::Select(a, ..) => always(a, f),
        Kind::Binary(_, a, b) => [a, b].into_iter().for_each(|e| always(e, f)),
        Kind::Fma(a, b, c) => [a, b, c].into_iter().for_each(|e| always(e, f)),
        _ => {}
    }
}
