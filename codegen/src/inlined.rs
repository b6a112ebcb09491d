//! Kernels that CUDA computes where another one reads them: `schedules/inlined.json` of a folder lists them. Each is a kernel of
//! its own, with its schedules in the file of [`Target::Cuda`].
use crate::ir::Kernel;
use crate::ir::inline;
use crate::library::{Library, LibraryError};
use crate::target::Target;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The file, in the folder's `schedules/`.
pub const FILE: &str = "inlined.json";

/// A kernel with others in it, as the file has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// Name of the result.
    pub name: String,
    /// Sizes of the result up to which it is used.
    #[serde(default)]
    pub most: BTreeMap<String, i32>,
    /// The kernel that reads.
    pub consumer: String,
    /// What it reads in these of its buffers is computed by these kernels.
    pub inline: BTreeMap<String, String>,
    /// Buffers of the producers, by their names there, that are one.
    #[serde(default)]
    pub same: Vec<String>,
}

/// A kernel with others in it.
#[derive(Clone, Debug)]
pub struct Inlined {
    /// What it was made from.
    pub spec: Spec,
    /// The kernels it was made from: the consumer, then the producers.
    pub kernels: Vec<String>,
    /// For each producer the consumer's buffer that it would write, and its own.
    pub edges: Vec<(usize, usize)>,
    /// The kernel, and where its parameters come from.
    pub result: inline::Inlined,
}

impl Inlined {
    /// Makes a listed kernel of the others.
    pub(crate) fn new(spec: Spec, kernels: &[Kernel]) -> Result<Inlined, LibraryError> {
        let failed = |what: String| LibraryError(format!("schedules/{FILE}: `{}`: {what}", spec.name));
        let find = |name: &String| {
            kernels.iter().find(|k| k.name == *name).ok_or_else(|| failed(format!("there is no kernel `{name}`")))
        };
        if kernels.iter().any(|k| k.name == spec.name) {
            return Err(failed("there is a kernel of this name".into()));
        }
        let consumer = find(&spec.consumer)?;
        let (mut producers, mut edges, mut names) = (Vec::new(), Vec::new(), vec![consumer.name.clone()]);
        for (edge, name) in &spec.inline {
            let producer = find(name)?;
            let read = consumer.buffers.iter().position(|b| b.name == *edge && !b.written);
            let read = read.ok_or_else(|| failed(format!("`{}` reads no buffer `{edge}`", consumer.name)))?;
            // One that stores to several is refused below.
            edges.push((read, producer.buffers.iter().position(|b| b.written).unwrap_or(0)));
            producers.push((read, producer));
            names.push(name.clone());
        }
        let result = inline::inline(&spec.name, consumer, &producers, &spec.same).map_err(failed)?;
        Ok(Inlined { kernels: names, edges, result, spec })
    }
}

impl Library {
    /// Checks that weights lie in memory as the kernels by themselves want them: they are there once.
    pub fn check_layouts(&self, inlined: &Inlined) -> Result<(), LibraryError> {
        let name = &inlined.spec.name;
        let own = self.schedule(name, Target::Cuda)?;
        for (buffer, sources) in inlined.result.kernel.buffers.iter().zip(&inlined.result.buffers) {
            for &(kernel, index) in sources {
                let from = self.kernel(&inlined.kernels[kernel])?;
                let alone = self.schedule(&from.name, Target::Cuda)?;
                let wanted = alone[0].layout.get(&from.buffers[index].name);
                if own.iter().any(|schedule| schedule.layout.get(&buffer.name) != wanted) {
                    let (buffer, from) = (&buffer.name, &from.name);
                    let what = format!("`{name}` wants `{buffer}` in another layout than `{from}` by itself");
                    return Err(LibraryError(format!("schedules/{}: {what}", Target::Cuda.schedule_file())));
                }
            }
        }
        Ok(())
    }
}
