//! Kernels of which each team computes the rows that it reads by another kernel: `schedules/recomputed.json` of a folder lists them.
//! They are for CUDA, where rows that are computed many times cost less than waiting for who computes them once.
use crate::audit::Allowed;
use crate::inlined::Inlined;
use crate::ir::inline::{self, Sources};
use crate::ir::rewrite::Rewrite;
use crate::ir::{BinOp, Buffer, Expr, Kernel, Kind, Node, Span, Ty, Var, VarInfo, print};
use crate::library::{Library, LibraryError};
use crate::loop_ir::Func;
use crate::lower::{Scheduled, recompute};
use crate::places::Places;
use crate::schedule::Schedule;
use crate::target::Target;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;

/// The file, in the folder's `schedules/`.
pub const FILE: &str = "recomputed.json";

/// A kernel with rows of another one, as the file has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// Name of the result.
    pub name: String,
    /// The kernel that reads the rows. It has the schedule that is listed for the same `most`.
    pub consumer: String,
    /// Sizes of the consumer up to which it is done so.
    pub most: BTreeMap<String, i32>,
    /// The kernel that computes the rows.
    pub producer: String,
    /// What the consumer reads in these of its buffers, the producer writes to these of its own.
    pub rows: BTreeMap<String, String>,
    /// How the producer's items are done, each by a member of the consumer's team.
    pub schedule: Schedule,
}

/// A kernel with rows of another one.
pub struct Recomputed<'l> {
    /// What it was made from.
    pub spec: Spec,
    /// The consumer and the producer.
    pub pair: [&'l Kernel; 2],
    /// The kernels that the plan has: the one that reads, those that are computed in it, then the one of the rows.
    pub kernels: Vec<String>,
    /// What is handed on: of each edge, the reader and its buffer, and the writer and its buffer, by their numbers.
    pub edges: Vec<((usize, usize), (usize, usize))>,
    /// The parameters as those of a kernel, which has no body, and where they come from.
    pub result: inline::Inlined,
    /// The consumer's schedule.
    pub schedule: Schedule,
    /// The function.
    pub func: Func,
}

impl Recomputed<'_> {
    /// The float operations of the source of both.
    pub fn allowed(&self, places: &Places) -> Allowed {
        Allowed::of(self.pair[0], places).and(Allowed::of(self.pair[1], places))
    }

    /// Whether the consumer's buffer of this number is one of the rows, and no buffer here.
    pub fn is_row(&self, buffer: usize) -> bool {
        self.spec.rows.contains_key(&self.pair[0].buffers[buffer].name)
    }
}

impl Library {
    /// What the folder lists; nothing where it has no list.
    pub fn recomputed_specs(&self) -> Result<Vec<Spec>, LibraryError> {
        self.listed(FILE)
    }

    /// The listed kernels, each lowered to a function.
    pub fn recomputed(&self) -> Result<Vec<Recomputed<'_>>, LibraryError> {
        self.recomputed_specs()?.into_iter().map(|spec| self.recompute(spec)).collect()
    }

    /// A listed kernel, lowered to a function.
    pub fn recompute(&self, spec: Spec) -> Result<Recomputed<'_>, LibraryError> {
        let schedules = self.schedule(&spec.consumer, Target::Cuda)?;
        let schedule = schedules.into_iter().find(|schedule| schedule.most == spec.most).ok_or_else(|| {
            let (name, consumer, most) = (&spec.name, &spec.consumer, &spec.most);
            LibraryError(format!(
                "schedules/{FILE}: `{name}`: there is no schedule of `{consumer}` for the sizes {most:?}"
            ))
        })?;
        self.recompute_under(spec, schedule)
    }

    /// A listed kernel, lowered to a function with this schedule of the consumer.
    pub fn recompute_under(&self, spec: Spec, schedule: Schedule) -> Result<Recomputed<'_>, LibraryError> {
        let failed = |what: String| LibraryError(format!("schedules/{FILE}: `{}`: {what}", spec.name));
        let pair = [self.kernel(&spec.consumer)?, self.kernel(&spec.producer)?];
        let number = |kernel: &Kernel, name: &String| {
            let missing = || failed(format!("`{}` has no buffer `{name}`", kernel.name));
            kernel.buffers.iter().position(|b| b.name == *name).ok_or_else(missing)
        };
        let edges = spec.rows.iter().map(|(read, written)| Ok((number(pair[1], written)?, number(pair[0], read)?)));
        let edges = edges.collect::<Result<Vec<_>, LibraryError>>()?;
        let consumer = Scheduled { kernel: pair[0], schedule: &schedule };
        let producer = Scheduled { kernel: pair[1], schedule: &spec.schedule };
        let func = recompute(&spec.name, consumer, producer, &edges).map_err(|e| failed(e.to_string()))?;
        let own = self.inlined.iter().find(|inlined| inlined.spec.name == spec.consumer);
        let parts = Parts::of(pair[0], own);
        let last = parts.kernels.len();
        let rows = edges.iter().flat_map(|(w, r)| parts.buffers[*r].iter().map(move |reader| (*reader, (last, *w))));
        Ok(Recomputed {
            edges: parts.edges.iter().copied().chain(rows).collect(),
            result: together(&spec.name, pair, &edges, &parts),
            kernels: parts.kernels.iter().cloned().chain([spec.producer.clone()]).collect(),
            pair,
            schedule,
            func,
            spec,
        })
    }
}

/// What a kernel consists of, and where its parameters come from.
struct Parts {
    kernels: Vec<String>,
    edges: Vec<((usize, usize), (usize, usize))>,
    dims: Vec<Sources>,
    scalars: Vec<Sources>,
    buffers: Vec<Sources>,
}

impl Parts {
    fn of(kernel: &Kernel, inlined: Option<&Inlined>) -> Parts {
        let own = |count: usize| (0..count).map(|i| vec![(0, i)]).collect();
        match inlined {
            Some(Inlined { kernels, edges, result, .. }) => Parts {
                kernels: kernels.clone(),
                edges: edges.iter().enumerate().map(|(k, (read, written))| ((0, *read), (k + 1, *written))).collect(),
                dims: result.dims.clone(),
                scalars: result.scalars.clone(),
                buffers: result.buffers.clone(),
            },
            None => Parts {
                kernels: vec![kernel.name.clone()],
                edges: Vec::new(),
                dims: own(kernel.dims.len()),
                scalars: own(kernel.scalars.len()),
                buffers: own(kernel.buffers.len()),
            },
        }
    }
}

/// The parameters of both in the order of the function: dims, integer scalars, floats, of each the consumer's first; the buffers
/// without the edges, which are conditions now: their extents are the same for both.
fn together(name: &str, pair: [&Kernel; 2], edges: &[(usize, usize)], parts: &Parts) -> inline::Inlined {
    let last = parts.kernels.len();
    let is_int = |k: usize, s: &usize| matches!(info(pair[k], pair[k].scalars[*s]).ty, Ty::Int { .. });
    let of = |int: bool| {
        let pick = move |k: usize| (0..pair[k].scalars.len()).filter(move |s| is_int(k, s) == int).map(move |s| (k, s));
        pick(0).chain(pick(1)).collect::<Vec<_>>()
    };
    let dims: Vec<(usize, usize)> = (0..2).flat_map(|k| (0..pair[k].dims.len()).map(move |d| (k, d))).collect();
    let scalars = [of(true), of(false)].concat();
    let var_of = |&(k, d): &(usize, usize)| (k, pair[k].dims[d]);
    let scalar_of = |&(k, s): &(usize, usize)| (k, pair[k].scalars[s]);
    let all: Vec<(usize, Var)> = dims.iter().map(var_of).chain(scalars.iter().map(scalar_of)).collect();
    let mut vars: Vec<VarInfo> = Vec::new();
    for (k, var) in &all {
        let VarInfo { name, ty } = info(pair[*k], *var).clone();
        let taken = vars.iter().any(|other| other.name == name);
        vars.push(VarInfo { name: if taken { format!("{}_{name}", pair[1].name) } else { name }, ty });
    }
    let numbers = [0, 1].map(|k| {
        let new = |i: usize| all.iter().position(|p| *p == (k, Var(i as u32))).unwrap_or(0);
        (0..pair[k].vars.len()).map(|i| Var(new(i) as u32)).collect::<Vec<_>>()
    });
    let (none, no_buffers) = (HashMap::new(), Vec::new());
    let rewrite = [0, 1].map(|k| Rewrite { vars: &numbers[k], values: &none, buffers: &no_buffers, loads: &|_| None });
    let places = (0..pair[0].buffers.len())
        .filter(|b| edges.iter().all(|(_, read)| read != b))
        .map(|b| (0, b))
        .chain((0..pair[1].buffers.len()).filter(|b| edges.iter().all(|(written, _)| written != b)).map(|b| (1, b)));
    let places: Vec<(usize, usize)> = places.collect();
    let buffer = |&(k, b): &(usize, usize)| {
        let buffer = &pair[k].buffers[b];
        let clash = k == 1 && pair[0].buffers.iter().any(|other| other.name == buffer.name);
        Buffer {
            name: if clash { format!("{}_{}", pair[1].name, buffer.name) } else { buffer.name.clone() },
            shape: buffer.shape.iter().map(|e| rewrite[k].expr(e)).collect(),
            index_below: buffer.index_below.as_ref().map(|e| rewrite[k].expr(e)),
            ..buffer.clone()
        }
    };
    let stated = (0..2).flat_map(|k| pair[k].requires.iter().map(move |r| (k, r)));
    let stated = stated.map(|(k, (e, text))| (rewrite[k].expr(e), text.clone()));
    let alike = edges.iter().flat_map(|(written, read)| {
        let shapes = pair[0].buffers[*read].shape.iter().zip(&pair[1].buffers[*written].shape);
        shapes.map(|(a, b)| equal(rewrite[0].expr(a), rewrite[1].expr(b), &vars)).collect::<Vec<_>>()
    });
    let requires = stated.chain(alike).collect();
    let of_consumer =
        |sources: &[Sources], k: usize, i: usize| if k == 0 { sources[i].clone() } else { vec![(last, i)] };
    inline::Inlined {
        dims: dims.iter().map(|(k, d)| of_consumer(&parts.dims, *k, *d)).collect(),
        scalars: scalars.iter().map(|(k, s)| of_consumer(&parts.scalars, *k, *s)).collect(),
        buffers: places.iter().map(|(k, b)| of_consumer(&parts.buffers, *k, *b)).collect(),
        kernel: Kernel {
            name: name.into(),
            dims: (0..dims.len() as u32).map(Var).collect(),
            scalars: (dims.len()..all.len()).map(|i| Var(i as u32)).collect(),
            buffers: places.iter().map(buffer).collect(),
            requires,
            body: Vec::new(),
            vars,
            span: pair[0].span,
        },
    }
}

fn info(kernel: &Kernel, var: Var) -> &VarInfo {
    &kernel.vars[var.0 as usize]
}

/// The condition that two extents are the same.
fn equal(a: Expr, b: Expr, vars: &[VarInfo]) -> (Expr, String) {
    let e: Expr = Rc::new(Node { kind: Kind::Binary(BinOp::Eq, a, b), ty: Ty::Bool, span: Span::default() });
    let text = print::expr(&e, vars);
    (e, text)
}
