//! What `kgen inspect` finds, and how it is written as JSON: docs/inspect.md describes it.
use kgen::inspect::counts::{Counts, Touched};
use kgen::inspect::cubin::Resources;
use kgen::inspect::mix::{Access, Mix};
use kgen::inspect::occupancy::{Occupancy, Sm};
use kgen::inspect::roofline::{Bound, Gpu};
use kgen::inspect::spills::Spills;
use kgen::ir::Kernel;
use serde::ser::SerializeStruct;
use serde::{Serialize, Serializer};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Everything.
#[derive(Serialize)]
pub struct Report {
    /// As sm_90.
    pub arch: String,
    /// What an SM holds, or why that is not known, which JSON does not have.
    #[serde(serialize_with = "known")]
    pub sm: Result<Sm, String>,
    pub gpu: Option<Gpu>,
    pub codes: Vec<Code>,
    /// One for each kernel, where sizes were given.
    #[serde(rename = "counts")]
    pub asked: Vec<Asked>,
}

fn known<S: Serializer>(sm: &Result<Sm, String>, to: S) -> Result<S::Ok, S::Error> {
    sm.as_ref().ok().serialize(to)
}

/// The code of a kernel under one schedule, or of a pair.
pub struct Code {
    pub kernel: String,
    pub entry: String,
    pub nvrtc: String,
    pub most: BTreeMap<String, i32>,
    /// Whether it is what runs at the sizes that were given.
    pub serves: Option<bool>,
    pub threads: usize,
    pub dynamic_shared: u64,
    pub resources: Resources,
    pub spills: Option<Spills>,
    pub occupancy: Option<Occupancy>,
    pub mix: Mix,
}

impl Serialize for Code {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let Resources { registers, stack, shared, constant, parameters, max_threads } = &self.resources;
        let memory: Vec<Value> = self.mix.accesses.iter().map(access).collect();
        let instructions = json!({"all": self.mix.all, "classes": self.mix.classes, "memory": memory});
        let mut code = to.serialize_struct("Code", 16)?;
        code.serialize_field("kernel", &self.kernel)?;
        code.serialize_field("entry", &self.entry)?;
        code.serialize_field("nvrtc", &self.nvrtc)?;
        code.serialize_field("most", &self.most)?;
        code.serialize_field("serves", &self.serves)?;
        code.serialize_field("threads", &self.threads)?;
        code.serialize_field("max_threads", max_threads)?;
        code.serialize_field("registers", registers)?;
        code.serialize_field("stack_bytes", stack)?;
        code.serialize_field("spill_bytes", &self.spills)?;
        code.serialize_field("shared_bytes", &json!({"static": shared, "dynamic": self.dynamic_shared}))?;
        code.serialize_field("constant_bytes", constant)?;
        code.serialize_field("parameter_bytes", parameters)?;
        code.serialize_field("occupancy", &self.occupancy)?;
        code.serialize_field("limited_by", &self.occupancy.map(|occupancy| occupancy.limits()))?;
        code.serialize_field("instructions", &instructions)?;
        code.end()
    }
}

fn access((Access { way, space, bytes }, count): (&Access, &u64)) -> Value {
    json!({"way": way, "space": space, "bytes": bytes, "count": count})
}

/// What a kernel asks for at some sizes.
#[derive(Serialize)]
pub struct Asked {
    pub kernel: String,
    pub sizes: BTreeMap<String, i32>,
    pub read_bytes: u64,
    pub written_bytes: u64,
    pub buffers: Vec<Buffer>,
    pub byte_products: u64,
    pub products: u64,
    pub floats: BTreeMap<String, u64>,
    pub bound: Option<Bound>,
}

/// How much of a buffer is touched.
#[derive(Serialize)]
pub struct Buffer {
    pub name: String,
    pub written: bool,
    pub bytes: u64,
    pub all_bytes: u64,
}

impl Asked {
    /// Of these counts, with the least time on a GPU where one is named.
    pub fn new(kernel: &Kernel, ints: &[i32], counts: &Counts, gpu: Option<&Gpu>) -> Asked {
        let names = super::arguments::integer_names(kernel).into_iter().map(String::from);
        let bytes = |written| {
            counts.buffers.iter().filter(|b| b.written == written).fold(0u64, |n, b| n.saturating_add(b.bytes))
        };
        let buffer = |b: &Touched| {
            let Touched { name, written, bytes, all_bytes } = b.clone();
            Buffer { name, written, bytes, all_bytes }
        };
        Asked {
            kernel: kernel.name.clone(),
            sizes: names.zip(ints.iter().copied()).collect(),
            read_bytes: bytes(false),
            written_bytes: bytes(true),
            buffers: counts.buffers.iter().map(buffer).collect(),
            byte_products: counts.operations.byte_products,
            products: counts.operations.products,
            floats: counts.operations.floats().map(|(operation, n)| (operation.to_string(), n)).collect(),
            bound: gpu.map(|gpu| gpu.bound(counts)),
        }
    }
}
