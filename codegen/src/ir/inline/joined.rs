//! The parameters of several kernels as those of one.
use super::stored::{Stored, product};
use super::{Inlined, Sources};
use crate::ir::operators::BinOp;
use crate::ir::rewrite::Rewrite;
use crate::ir::{Buffer, Expr, Kernel, Kind, Node, Stmt, Ty, Var, VarInfo, print};
use std::collections::HashMap;
use std::rc::Rc;

/// The parameters of several kernels as those of one.
pub(super) struct Joined<'k> {
    kernels: Vec<&'k Kernel>,
    dims: Vec<Sources>,
    scalars: Vec<Sources>,
    buffers: Vec<Sources>,
    /// The new numbers of each kernel's buffers; none for edges.
    pub(super) places: Vec<Vec<Option<usize>>>,
    vars: Vec<VarInfo>,
    /// The name of each kernel's edge; empty for the consumer.
    edges: Vec<String>,
    /// The buffers of the consumer and of a producer, and the producer's number, where the last index of what is stored is
    /// several of what is read.
    flat: Vec<(usize, usize, usize)>,
}

impl<'k> Joined<'k> {
    pub(super) fn new(
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
        let mut flat = Vec::new();
        for (p, ((edge, kernel), stored)) in producers.iter().zip(stored).enumerate() {
            let (more, fewer) = (consumer.buffers[*edge].shape.len(), kernel.buffers[stored.buffer].shape.len());
            let alike = if more > fewer { fewer - 1 } else { usize::MAX };
            unify(&kernels, &mut dims, (0, *edge), (p + 1, stored.buffer), alike)
                .map_err(|why| format!("{} and {}: {why}", consumer.name, kernel.name))?;
            flat.extend((more > fewer).then_some((*edge, stored.buffer, p + 1)));
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
                        unify(&kernels, &mut dims, buffers[place][0], (k, b), usize::MAX)
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
        let mut joined = Joined { kernels, dims, scalars, buffers, places, vars: Vec::new(), edges, flat };
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

    pub(super) fn var(&mut self, name: &str, ty: Ty) -> Var {
        self.vars.push(VarInfo { name: name.into(), ty });
        Var(self.vars.len() as u32 - 1)
    }

    /// New numbers for the variables of a kernel: those of its parameters, and fresh ones for all others.
    pub(super) fn all_vars(&mut self, kernel: usize) -> Vec<Var> {
        let params = self.params(kernel);
        let infos = params.into_iter().zip(&self.kernels[kernel].vars).collect::<Vec<_>>();
        infos.into_iter().map(|(param, info)| param.unwrap_or_else(|| self.var(&info.name, info.ty))).collect()
    }

    pub(super) fn finish(mut self, name: &str, body: Vec<Stmt>) -> Inlined {
        // Sizes mention parameters alone: of other variables any number does.
        let sizes = |k: usize| self.params(k).into_iter().map(|param| param.unwrap_or(Var(0))).collect();
        let all: Vec<Vec<Var>> = (0..self.kernels.len()).map(sizes).collect();
        let none = HashMap::new();
        let rewrite = |k: usize| Rewrite { vars: &all[k], values: &none, buffers: &self.places[k], loads: &|_| None };
        let requires = self.kernels.iter().enumerate().flat_map(|(k, kernel)| {
            let rewrite = rewrite(k);
            kernel.requires.iter().map(move |(e, text)| (rewrite.expr(e), text.clone())).collect::<Vec<_>>()
        });
        let as_long = self.flat.iter().map(|&(read, written, k)| {
            let stored = &self.kernels[k].buffers[written].shape;
            let (last, alike) = (rewrite(k).expr(&stored[stored.len() - 1]), stored.len() - 1);
            let several: Vec<Expr> =
                self.kernels[0].buffers[read].shape[alike..].iter().map(|e| rewrite(0).expr(e)).collect();
            let kind = Kind::Binary(BinOp::Eq, last, product(&several));
            let e: Expr = Rc::new(Node { kind, ty: Ty::Bool, span: self.kernels[0].span });
            let text = print::expr(&e, &self.vars);
            (e, text)
        });
        let requires = requires.chain(as_long).collect();
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

/// Makes the dims one that the extents of two buffers are, which are the same buffer, or the first `alike` of them. Each is a
/// kernel's number and the buffer's.
fn unify(
    kernels: &[&Kernel],
    dims: &mut Vec<Sources>,
    a: (usize, usize),
    b: (usize, usize),
    alike: usize,
) -> Result<(), String> {
    let [of_a, of_b] = [a, b].map(|(kernel, buffer)| &kernels[kernel].buffers[buffer]);
    let differ = || format!("`{}` and `{}` have other extents", of_a.name, of_b.name);
    let whole = alike == usize::MAX;
    if whole && of_a.shape.len() != of_b.shape.len() || of_a.elem != of_b.elem {
        return Err(differ());
    }
    for (x, y) in of_a.shape.iter().zip(&of_b.shape).take(alike) {
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
