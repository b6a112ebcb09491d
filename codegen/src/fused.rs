//! Pairs of kernels that CUDA does in one launch: `schedules/fused.json` of a folder lists them.
use crate::audit::Allowed;
use crate::ir::Kernel;
use crate::library::{Library, LibraryError};
use crate::loop_ir::Func;
use crate::lower::{Scheduled, fuse};
use crate::places::Places;
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
        format!("{}_{}", self.producer, self.consumer)
    }
}

/// Two kernels as one function.
pub struct Fused<'l> {
    /// What it was made from.
    pub pair: Pair,
    /// The producer and the consumer.
    pub kernels: [&'l Kernel; 2],
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
        Allowed::of(self.kernels[0], places).and(Allowed::of(self.kernels[1], places))
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
        let failed = |what: String| LibraryError(format!("schedules/{FILE}: {what}"));
        let kernels = [self.kernel(&pair.producer)?, self.kernel(&pair.consumer)?];
        let buffer = |kernel: &Kernel, name: &String| {
            let missing = || failed(format!("`{}` has no buffer `{name}`", kernel.name));
            kernel.buffers.iter().position(|b| b.name == *name).ok_or_else(missing)
        };
        let edge = (buffer(kernels[0], &pair.edge[0])?, buffer(kernels[1], &pair.edge[1])?);
        let producer = Scheduled { kernel: kernels[0], schedule };
        let consumer = Scheduled { kernel: kernels[1], schedule: &pair.schedule };
        // Weights lie in memory once, for a kernel by itself and here.
        let alone = self.schedule(&pair.consumer, Target::Cuda)?;
        if alone.iter().any(|schedule| schedule.layout != pair.schedule.layout) {
            return Err(failed(format!("`{}` has other layouts in {}", pair.consumer, Target::Cuda.schedule_file())));
        }
        let func = fuse(&pair.name(), producer, consumer, edge).map_err(|e| failed(e.to_string()))?;
        Ok(Fused { threads: schedule.threads, kernels, edge, func, pair })
    }
}
