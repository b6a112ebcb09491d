//! Kernels computed where another one reads them: the value on the edge of a plan stays in a register.
//!
//! The result is a kernel like any other. It means what the kernels mean one after the other: a number that is stored and
//! loaded again is the same number (of a NaN, no operation sees more than that it is one).
use super::rewrite::Rewrite;
use super::{Axis, Buffer, Expr, Kernel, Kind, Node, Place, Stmt, Ty, Var, VarInfo, print, walk};
use std::collections::HashMap;
use std::rc::Rc;

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
/// A producer stores one number in each iteration of its parallel axes, and the consumer reads it in the iterations of its own.
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
    // What the consumer reads besides is loaded first, so that it is there when the producers are done.
    let mut lets = (Vec::new(), Vec::new());
    let mut known: HashMap<String, Expr> = HashMap::new();
    for (place, node) in loads(list, &axes, consumer, &edge)? {
        let key = key(consumer, &place);
        if known.contains_key(&key) {
            continue;
        }
        let plain = Rewrite { vars: &consumer_vars, values: &HashMap::new(), buffers: &buffers[0], loads: &|_| None };
        let (value, list) = match edge(&place) {
            Some(p) => {
                let index = place.index.iter().map(|e| plain.expr(e));
                let values = stored[p].axes.iter().copied().zip(index).collect();
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
    let found = |place: &Place| known.get(&key(consumer, place)).cloned();
    let rewrite = Rewrite { vars: &consumer_vars, values: &HashMap::new(), buffers: &buffers[0], loads: &found };
    let mut body: Vec<Stmt> = lets.0.into_iter().chain(lets.1).chain(rewrite.stmts(list)).collect();
    for axis in axes.iter().rev() {
        body = vec![Stmt::Par { axis: rewrite.axis(axis), body }];
    }
    Ok(joined.finish(name, body))
}

/// What names the place of a load.
fn key(kernel: &Kernel, place: &Place) -> String {
    let index = place.index.iter().chain(&place.at).map(|e| print::expr(e, &kernel.vars));
    format!("{} {} {}", place.buffer, place.offset, index.collect::<Vec<_>>().join(", "))
}

/// What a producer stores, and the axis of each index of it.
struct Stored<'k> {
    buffer: usize,
    axes: Vec<Var>,
    value: &'k Expr,
}

impl<'k> Stored<'k> {
    fn of(kernel: &'k Kernel) -> Result<Stored<'k>, String> {
        let (axes, list) = kernel.nest();
        let [Stmt::Store { place, value }] = list else {
            return Err(format!("{} does not store one number in each of its iterations", kernel.name));
        };
        let index: Vec<Var> =
            place.index.iter().filter_map(|e| if let Kind::Var(var) = e.kind { Some(var) } else { None }).collect();
        let each_once = axes.len() == index.len() && axes.iter().all(|axis| index.contains(&axis.var));
        if index.len() < place.index.len() || !each_once || place.at.is_some() {
            return Err(format!("{} does not store its numbers by its axes", kernel.name));
        }
        let buffer = &kernel.buffers[place.buffer];
        let text = |e: &Expr| print::expr(e, &kernel.vars);
        let whole = |(var, extent): (&Var, &Expr)| {
            let own = |axis: &&&Axis| axis.var == *var && matches!(axis.lo.kind, Kind::Int(0));
            axes.iter().find(own).is_some_and(|axis| text(&axis.hi) == text(extent))
        };
        if !index.iter().zip(&buffer.shape).all(whole) {
            return Err(format!("{} does not store all of its numbers", kernel.name));
        }
        if value.ty != Ty::F32 || buffer.elem_bytes != 4 {
            return Err(format!("{} does not store floats", kernel.name));
        }
        Ok(Stored { buffer: place.buffer, axes: index, value })
    }
}

/// The loads that can be done before everything else: of the edges all, and others that are done in any case.
fn loads(
    list: &[Stmt],
    axes: &[&Axis],
    consumer: &Kernel,
    edge: &impl Fn(&Place) -> Option<usize>,
) -> Result<Vec<(Place, Node)>, String> {
    let mut found = Vec::new();
    let known = |place: &Place| {
        let params = consumer.dims.iter().chain(&consumer.scalars);
        let vars: Vec<Var> = axes.iter().map(|axis| axis.var).chain(params.copied()).collect();
        walk::mentioned(&[], place.index.iter().chain(&place.at)).iter().all(|var| vars.contains(var))
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
    consumer.places(&mut |place| all &= edge(place).is_none() || done(place));
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

/// The parameters of several kernels as those of one.
struct Joined<'k> {
    kernels: Vec<&'k Kernel>,
    dims: Vec<Sources>,
    scalars: Vec<Sources>,
    buffers: Vec<Sources>,
    /// The new numbers of each kernel's buffers; none for edges.
    places: Vec<Vec<Option<usize>>>,
    vars: Vec<VarInfo>,
    /// The name of each kernel's edge; empty for the consumer.
    edges: Vec<String>,
}

impl<'k> Joined<'k> {
    fn new(
        kernels: Vec<&'k Kernel>,
        producers: &[(usize, &Kernel)],
        stored: &[Stored],
        same: &[String],
    ) -> Result<Joined<'k>, String> {
        let consumer = kernels[0];
        let edge_name = |(edge, _): &(usize, &Kernel)| consumer.buffers[*edge].name.clone();
        let edges: Vec<String> = std::iter::once(String::new()).chain(producers.iter().map(edge_name)).collect();
        let mut dims: Vec<Sources> = kernels
            .iter()
            .enumerate()
            .flat_map(|(k, kernel)| (0..kernel.dims.len()).map(move |d| vec![(k, d)]))
            .collect();
        for (p, ((edge, kernel), stored)) in producers.iter().zip(stored).enumerate() {
            unify(&kernels, &mut dims, (0, *edge), (p + 1, stored.buffer))
                .map_err(|why| format!("{} and {}: {why}", consumer.name, kernel.name))?;
        }
        let (mut buffers, mut places): (Vec<Sources>, Vec<Vec<Option<usize>>>) = Default::default();
        for (k, kernel) in kernels.iter().enumerate() {
            let gone = |b: usize| match k {
                0 => producers.iter().any(|(edge, _)| *edge == b),
                k => stored[k - 1].buffer == b,
            };
            let mut own = Vec::new();
            for (b, buffer) in kernel.buffers.iter().enumerate() {
                let shared = (k > 0 && same.contains(&buffer.name)).then(|| {
                    buffers.iter().position(|from: &Sources| {
                        from[0].0 > 0 && kernels[from[0].0].buffers[from[0].1].name == buffer.name
                    })
                });
                own.push(match (gone(b), shared.flatten()) {
                    (true, _) => None,
                    (false, Some(place)) => {
                        unify(&kernels, &mut dims, buffers[place][0], (k, b))
                            .map_err(|why| format!("`{}`: {why}", buffer.name))?;
                        buffers[place].push((k, b));
                        Some(place)
                    }
                    (false, None) => {
                        buffers.push(vec![(k, b)]);
                        Some(buffers.len() - 1)
                    }
                });
            }
            places.push(own);
        }
        let int = |k: usize, s: usize| matches!(kernels[k].vars[kernels[k].scalars[s].0 as usize].ty, Ty::Int { .. });
        let all: Vec<(usize, usize)> =
            kernels.iter().enumerate().flat_map(|(k, kernel)| (0..kernel.scalars.len()).map(move |s| (k, s))).collect();
        let (ints, floats): (Vec<_>, Vec<_>) = all.into_iter().partition(|(k, s)| int(*k, *s));
        let scalars = ints.into_iter().chain(floats).map(|from| vec![from]).collect();
        let mut joined = Joined { kernels, dims, scalars, buffers, places, vars: Vec::new(), edges };
        joined.parameters();
        Ok(joined)
    }

    /// The variables of the dims and the scalars.
    fn parameters(&mut self) {
        let dim = |(k, d): (usize, usize)| &self.kernels[k].vars[self.kernels[k].dims[d].0 as usize];
        let scalar = |(k, s): (usize, usize)| &self.kernels[k].vars[self.kernels[k].scalars[s].0 as usize];
        let dims = self.dims.iter().map(|from| (from[0].0, narrowest(from.iter().map(|d| dim(*d)))));
        let scalars = self.scalars.iter().map(|from| (from[0].0, scalar(from[0]).clone()));
        let mut vars: Vec<VarInfo> = Vec::new();
        for (kernel, info) in dims.chain(scalars) {
            let taken = vars.iter().any(|other| other.name == info.name);
            let name = if taken { format!("{}_{}", self.edges[kernel], info.name) } else { info.name };
            vars.push(VarInfo { name, ty: info.ty });
        }
        self.vars = vars;
    }

    fn var(&mut self, name: &str, ty: Ty) -> Var {
        self.vars.push(VarInfo { name: name.into(), ty });
        Var(self.vars.len() as u32 - 1)
    }

    /// New numbers for the variables of a kernel: those of its parameters, and fresh ones for all others.
    fn all_vars(&mut self, kernel: usize) -> Vec<Var> {
        let params = self.params(kernel);
        let infos = params.into_iter().zip(&self.kernels[kernel].vars).collect::<Vec<_>>();
        infos.into_iter().map(|(param, info)| param.unwrap_or_else(|| self.var(&info.name, info.ty))).collect()
    }

    fn finish(mut self, name: &str, body: Vec<Stmt>) -> Inlined {
        // Sizes mention parameters alone: of other variables any number does.
        let sizes = |k: usize| self.params(k).into_iter().map(|param| param.unwrap_or(Var(0))).collect();
        let all: Vec<Vec<Var>> = (0..self.kernels.len()).map(sizes).collect();
        let none = HashMap::new();
        let rewrite = |k: usize| Rewrite { vars: &all[k], values: &none, buffers: &self.places[k], loads: &|_| None };
        let requires = self.kernels.iter().enumerate().flat_map(|(k, kernel)| {
            let rewrite = rewrite(k);
            kernel.requires.iter().map(move |(e, text)| (rewrite.expr(e), text.clone())).collect::<Vec<_>>()
        });
        let requires = requires.collect();
        let buffer = |from: &Sources| {
            let (k, b) = from[0];
            let buffer = &self.kernels[k].buffers[b];
            let named = |other: &&Sources| self.kernels[other[0].0].buffers[other[0].1].name == buffer.name;
            let clash = k > 0 && self.buffers.iter().filter(named).count() > 1;
            Buffer {
                name: if clash { format!("{}_{}", self.edges[k], buffer.name) } else { buffer.name.clone() },
                shape: buffer.shape.iter().map(|e| rewrite(k).expr(e)).collect(),
                index_below: buffer.index_below.as_ref().map(|e| rewrite(k).expr(e)),
                ..buffer.clone()
            }
        };
        let kernel = Kernel {
            name: name.into(),
            dims: (0..self.dims.len() as u32).map(Var).collect(),
            scalars: (self.dims.len()..self.dims.len() + self.scalars.len()).map(|i| Var(i as u32)).collect(),
            buffers: self.buffers.iter().map(buffer).collect(),
            requires,
            body,
            vars: std::mem::take(&mut self.vars),
            span: self.kernels[0].span,
        };
        Inlined { kernel, dims: self.dims, scalars: self.scalars, buffers: self.buffers }
    }

    /// The new numbers of a kernel's variables that are parameters.
    fn params(&self, kernel: usize) -> Vec<Option<Var>> {
        let from = self.kernels[kernel];
        let mut numbers = vec![None; from.vars.len()];
        let all = [(&from.dims, &self.dims, 0), (&from.scalars, &self.scalars, self.dims.len())];
        for (own, sources, first) in all {
            for (i, var) in own.iter().enumerate() {
                let place =
                    sources.iter().position(|s| s.contains(&(kernel, i))).expect("every parameter has a source");
                numbers[var.0 as usize] = Some(Var((first + place) as u32));
            }
        }
        numbers
    }
}

/// A dim of all these at once.
fn narrowest<'v>(mut infos: impl Iterator<Item = &'v VarInfo>) -> VarInfo {
    let first = infos.next().expect("a dim has a source").clone();
    infos.fold(first, |a, b| match (a.ty, b.ty) {
        (Ty::Int { lo, hi }, Ty::Int { lo: l, hi: h }) => VarInfo { ty: Ty::Int { lo: lo.max(l), hi: hi.min(h) }, ..a },
        _ => a,
    })
}

/// Makes the dims one that the extents of two buffers are, which are the same buffer. Each is a kernel's number and the buffer's.
fn unify(kernels: &[&Kernel], dims: &mut Vec<Sources>, a: (usize, usize), b: (usize, usize)) -> Result<(), String> {
    let [of_a, of_b] = [a, b].map(|(kernel, buffer)| &kernels[kernel].buffers[buffer]);
    let differ = || format!("`{}` and `{}` have other extents", of_a.name, of_b.name);
    if of_a.shape.len() != of_b.shape.len() || of_a.elem != of_b.elem {
        return Err(differ());
    }
    for (x, y) in of_a.shape.iter().zip(&of_b.shape) {
        match (&x.kind, &y.kind) {
            (Kind::Int(x), Kind::Int(y)) if x == y => {}
            (Kind::Var(x), Kind::Var(y)) => {
                let place = |kernel: usize, var: &Var| {
                    let dim = kernels[kernel].dims.iter().position(|dim| dim == var)?;
                    dims.iter().position(|s| s.contains(&(kernel, dim)))
                };
                let (Some(to), Some(from)) = (place(a.0, x), place(b.0, y)) else { return Err(differ()) };
                if to != from {
                    let (to, from) = (to.min(from), to.max(from));
                    let more = dims.remove(from);
                    dims[to].extend(more);
                }
            }
            _ => return Err(differ()),
        }
    }
    Ok(())
}
