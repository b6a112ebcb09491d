//! Pairs of kernels that CUDA does in one launch: `schedules/fused.json` of a folder lists them.
use crate::audit::Allowed;
use crate::ir::Kernel;
use crate::library::{Library, LibraryError};
use crate::loop_ir::Func;
use crate::lower::{Scheduled, fuse, fuse_lowered};
use crate::places::Places;
use crate::recomputed::Recomputed;
use crate::schedule::Schedule;
use crate::target::Target;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The file, in the folder's `schedules/`.
pub const FILE: &str = "fused.json";

/// A pair as the file has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pair {
    /// What the two are called, where it is not said by their names: a kernel may be in several pairs, for other sizes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The kernel that writes. It has the schedule that is listed for the same `most`.
    pub producer: String,
    /// Sizes of the producer up to which the two are one launch.
    #[serde(default)]
    pub most: BTreeMap<String, i32>,
    /// The kernel that reads what was written.
    pub consumer: String,
    /// The buffer that is handed on: what the producer calls it, and what the consumer does.
    pub edge: [String; 2],
    /// How the consumer's items are done; the threads of a CTA are those of the producer's schedule.
    pub schedule: Schedule,
}

impl Pair {
    /// Name of the two as one.
    pub fn name(&self) -> String {
        self.name.clone().unwrap_or_else(|| format!("{}_{}", self.producer, self.consumer))
    }
}

/// Two kernels as one function.
pub struct Fused<'l> {
    /// What it was made from.
    pub pair: Pair,
    /// The producer and the consumer.
    pub kernels: [Kernel; 2],
    /// The producer, where it is one that computes rows.
    pub rows: Option<Recomputed<'l>>,
    /// Indices of the edge among the buffers of each.
    pub edge: (usize, usize),
    /// Threads of a CTA.
    pub threads: usize,
    /// The function.
    pub func: Func,
}

impl Fused<'_> {
    /// The float operations of the source of both.
    pub fn allowed(&self, places: &Places) -> Allowed {
        let own = self.rows.as_ref().map_or_else(|| Allowed::of(&self.kernels[0], places), |rows| rows.allowed(places));
        own.and(Allowed::of(&self.kernels[1], places))
    }
}

impl Library {
    /// The pairs that the folder lists, in its order; none where it has no list.
    pub fn pairs(&self) -> Result<Vec<Pair>, LibraryError> {
        self.listed(FILE)
    }

    /// The listed pairs, each lowered to one function.
    pub fn fused(&self) -> Result<Vec<Fused<'_>>, LibraryError> {
        self.pairs()?.into_iter().map(|pair| self.fuse(pair)).collect()
    }

    /// A pair lowered to one function.
    pub fn fuse(&self, pair: Pair) -> Result<Fused<'_>, LibraryError> {
        if let Some(spec) = self.recomputed_specs()?.into_iter().find(|spec| spec.name == pair.producer) {
            return self.fuse_onto(pair, self.recompute(spec)?);
        }
        let schedules = self.schedule(&pair.producer, Target::Cuda)?;
        let schedule = schedules.iter().find(|schedule| schedule.most == pair.most).ok_or_else(|| {
            let (file, Pair { producer, most, .. }) = (Target::Cuda.schedule_file(), &pair);
            let what = format!("schedules/{file} has no schedule of `{producer}` for the sizes {most:?}");
            LibraryError(format!("schedules/{FILE}: {what}"))
        })?;
        self.fuse_under(pair, schedule)
    }

    /// A pair lowered to one function, with this schedule of the producer.
    pub fn fuse_under(&self, pair: Pair, schedule: &Schedule) -> Result<Fused<'_>, LibraryError> {
        let [from, to] = [self.kernel(&pair.producer)?, self.kernel(&pair.consumer)?];
        self.check_layout(&pair)?;
        let edge = (buffer(from, &pair.edge[0])?, buffer(to, &pair.edge[1])?);
        let (producer, consumer) = (Scheduled { kernel: from, schedule }, Scheduled { kernel: to, schedule: &pair.schedule });
        let func = fuse(&pair.name(), producer, consumer, edge).map_err(|e| failed(e.to_string()))?;
        Ok(Fused { threads: schedule.threads, kernels: [from.clone(), to.clone()], rows: None, edge, func, pair })
    }

    /// The same with a producer that computes rows.
    fn fuse_onto<'l>(&'l self, pair: Pair, rows: Recomputed<'l>) -> Result<Fused<'l>, LibraryError> {
        let to = self.kernel(&pair.consumer)?;
        self.check_layout(&pair)?;
        let edge = (buffer(&rows.result.kernel, &pair.edge[0])?, buffer(to, &pair.edge[1])?);
        let producer = Scheduled { kernel: rows.pair[0], schedule: &rows.schedule };
        let consumer = Scheduled { kernel: to, schedule: &pair.schedule };
        let written = buffer(rows.pair[0], &pair.edge[0])?;
        let func = fuse_lowered(&pair.name(), (producer, written, rows.func.clone()), consumer, edge);
        let func = func.map_err(|e| failed(e.to_string()))?;
        let kernels = [rows.result.kernel.clone(), to.clone()];
        Ok(Fused { threads: rows.schedule.threads, kernels, rows: Some(rows), edge, func, pair })
    }

    /// Weights lie in memory once, for a kernel by itself and in a pair.
    fn check_layout(&self, pair: &Pair) -> Result<(), LibraryError> {
        let alone = self.schedule(&pair.consumer, Target::Cuda)?;
        if alone.iter().all(|schedule| schedule.layout == pair.schedule.layout) {
            return Ok(());
        }
        Err(failed(format!("`{}` has other layouts in {}", pair.consumer, Target::Cuda.schedule_file())))
    }
}

fn buffer(kernel: &Kernel, name: &String) -> Result<usize, LibraryError> {
    let missing = || failed(format!("`{}` has no buffer `{name}`", kernel.name));
    kernel.buffers.iter().position(|b| b.name == *name).ok_or_else(missing)
}

fn failed(what: String) -> LibraryError {
    LibraryError(format!("schedules/{FILE}: {what}"))
}
