//! Candidates on a GPU: compiled by NVRTC, audited, run between guards, and timed by CUDA events.
use super::cases::{BEFORE, Inputs, packed};
use super::device::{Candidate, Device};
use crate::audit::{Allowed, audit};
use crate::cuda::{self, Source};
use crate::gpu::{self, Function, Gpu, GpuError, Graph, MOST_CTAS, Memory, Module, Stream};
use crate::ir::Kernel;
use crate::loop_ir::Func;
use crate::nvrtc::{Arch, Compiler, by_all_threads};
use crate::places::Places;

/// Bytes that inputs take together, so that no cache has those of one launch when they are read again.
const FAR_APART: usize = 256 << 20;
/// Inputs of fewer bytes are there once: in a model, the launch before has just written them.
const SMALL: usize = 64 << 10;
/// The most copies of inputs.
const MOST_COPIES: usize = 512;
/// Launches in a row, at least, where one takes less than [`LONG`] seconds.
const IN_A_ROW: usize = 16;
const LONG: f64 = 1e-3;
/// Measurements.
const SAMPLES: usize = 11;

/// A GPU with its compiler.
pub struct Cuda {
    gpu: Gpu,
    compiler: Compiler,
    version: String,
    places: Places,
    read_rate: f64,
    stream: Stream,
}

/// Code on the GPU.
pub struct Code {
    function: Function,
    source: Source,
    func: Func,
    /// Has the function.
    _module: Module,
}

impl Code {
    fn load(source: Source, cubin: &[u8], func: &Func) -> Result<Code, String> {
        let load = || -> Result<(Module, Function), GpuError> {
            let module = Module::load(cubin)?;
            let function = module.function(&source.entry, source.threads, source.shared)?;
            Ok((module, function))
        };
        let (module, function) = load().map_err(|e| e.to_string())?;
        Ok(Code { function, source, func: func.clone(), _module: module })
    }
}

/// Inputs on the GPU.
pub struct Placed {
    ints: Vec<i32>,
    floats: Vec<f32>,
    /// Whether each buffer is written.
    written: Vec<bool>,
    /// The buffers, then the integer scalars.
    memory: Memory,
    /// The buffers that are there several times, and these.
    large: Vec<usize>,
    copies: Vec<Memory>,
}

/// The memory that a launch needs beside its buffers, and its size.
struct Extra {
    /// Scratch memory and counters.
    memory: Memory,
    work: usize,
}

impl Cuda {
    /// GPU `number`; its read rate is measured. `places` are those of the kernels' sources.
    pub fn open(number: u32, places: Places) -> Result<Cuda, String> {
        let gpu = Gpu::open(number).map_err(|e| e.to_string())?;
        // Candidates come and go; what is shipped in the end is compiled again.
        let compiler = Compiler::with_cache(None);
        let help = |e: &crate::nvrtc::NotFound| format!("{e}\n  help: {}", crate::nvrtc::INSTALL);
        let version = format!("NVRTC {}", compiler.nvrtc().map_err(help)?.version());
        let read_rate = gpu::read_rate::read_rate(&gpu, &compiler).map_err(|e| e.to_string())?;
        let stream = Stream::new(&gpu).map_err(|e| e.to_string())?;
        Ok(Cuda { gpu, compiler, version, places, read_rate, stream })
    }

    /// The GPU.
    pub fn gpu(&self) -> &Gpu {
        &self.gpu
    }

    fn extra(&self, code: &Code, placed: &Placed) -> Result<Extra, GpuError> {
        let number = |n: Option<i32>| n.map(|n| n.max(0) as usize).ok_or_else(|| GpuError("too much work".into()));
        let (work, counters) = (number(code.func.work_items(&placed.ints))?, number(code.func.counters(&placed.ints))?);
        let memory = Memory::new([work * code.source.scratch_per_item, 4 * counters])?;
        memory.fill(1, 0)?;
        Ok(Extra { memory, work })
    }

    /// Puts a launch on the stream, with the large inputs of a copy.
    fn launch(&self, code: &Code, placed: &Placed, extra: &Extra, copy: usize) -> Result<(), GpuError> {
        let mut addresses = placed.memory.addresses();
        if let Some(copy) = placed.copies.get(copy) {
            placed.large.iter().enumerate().for_each(|(i, buffer)| addresses[*buffer] = copy.address(i));
        }
        let (buffers, scalars) = addresses.split_at(placed.written.len());
        let scratch = [extra.memory.address(0), extra.memory.address(1)];
        let given = (&placed.ints[..], &placed.floats[..]);
        let mut values = gpu::parameters(&code.func, buffers, given, scalars[0], scratch);
        let shape = [gpu::grid(&code.source, extra.work, MOST_CTAS), code.source.threads, code.source.shared];
        // SAFETY: the values are the kernel's parameters; its buffers are as large as it needs them at these sizes and live until
        // the callers have waited; emitted kernels wait for the launch before them.
        unsafe { self.stream.launch(code.function, shape, &mut values) }
    }

    fn run_once(&self, code: &Code, placed: &Placed) -> Result<Vec<Vec<u8>>, GpuError> {
        let written = placed.written.iter().enumerate().filter(|(_, written)| **written);
        written.clone().try_for_each(|(i, _)| placed.memory.fill(i, BEFORE))?;
        let extra = self.extra(code, placed)?;
        self.gpu.wait()?;
        self.launch(code, placed, &extra, usize::MAX)?;
        self.stream.wait()?;
        placed.memory.intact()?;
        extra.memory.intact()?;
        if extra.memory.read(1)?.iter().any(|byte| *byte != 0) {
            return Err(GpuError("the counters are not 0 at the end".into()));
        }
        let mut out = vec![Vec::new(); placed.written.len()];
        written.clone().try_for_each(|(i, _)| {
            out[i] = placed.memory.read(i)?;
            Ok(())
        })?;
        Ok(out)
    }

    fn seconds(&self, code: &Code, placed: &Placed) -> Result<Vec<f64>, GpuError> {
        let extra = self.extra(code, placed)?;
        self.gpu.wait()?;
        let one = |copy| self.launch(code, placed, &extra, copy);
        one(0)?;
        let once = self.stream.seconds(|| one(0))?;
        let launches = placed.copies.len().max(if once < LONG { IN_A_ROW } else { 1 });
        let all = Graph::record(&self.stream, || (0..launches).try_for_each(|i| one(i % placed.copies.len().max(1))))?;
        all.start(&self.stream)?;
        let sample = |_| Ok(self.stream.seconds(|| all.start(&self.stream))? / launches as f64);
        (0..SAMPLES).map(sample).collect()
    }
}

/// Machine code that the audit has passed.
fn machine_code(compiler: &Compiler, arch: &Arch, allowed: &Allowed, source: &Source) -> Result<Vec<u8>, String> {
    let compiled = compiler.compile(&source.text(), &source.entry, arch, &[]).map_err(|e| e.to_string())?;
    audit(&compiled.ptx, allowed).map_err(|violations| {
        let first = violations.first().map(|v| v.to_string()).unwrap_or_default();
        format!("the audit refuses {} instructions, the first is {first}", violations.len())
    })?;
    // Every launch may start before the one before it ends.
    if arch.overlaps_launches() && !compiled.ptx.contains("griddepcontrol.wait") {
        return Err("the code does not wait for the launch before it".into());
    }
    Ok(compiled.cubin)
}

impl Device for Cuda {
    type Code = Code;
    type Placed = Placed;

    fn names(&self) -> (&str, &str) {
        (&self.gpu.name, &self.version)
    }

    fn read_rate(&self) -> f64 {
        self.read_rate
    }

    fn compile(&self, kernel: &Kernel, candidates: &[&Candidate]) -> Vec<Result<Code, String>> {
        let allowed = Allowed::of(kernel, &self.places);
        let emit = |c: &&Candidate| cuda::emit(&c.func, c.schedule.threads, &self.places).map_err(|e| e.to_string());
        let sources: Vec<Result<Source, String>> = candidates.iter().map(emit).collect();
        let (compiler, arch) = (&self.compiler, &self.gpu.arch);
        let made = by_all_threads(&sources, |source| {
            machine_code(compiler, arch, &allowed, source.as_ref().map_err(Clone::clone)?)
        });
        let all = sources.into_iter().zip(made).zip(candidates);
        all.map(|((source, cubin), candidate)| Code::load(source?, &cubin?, &candidate.func)).collect()
    }

    fn place(&self, kernel: &Kernel, func: &Func, inputs: &Inputs, to_time: bool) -> Result<Placed, String> {
        let buffers = packed(func, inputs);
        let scalars: Vec<u8> = inputs.ints[func.dims..].iter().flat_map(|v| v.to_le_bytes()).collect();
        let written: Vec<bool> = kernel.buffers.iter().map(|b| b.written).collect();
        let is_large = |i: &usize| !written[*i] && buffers[*i].len() >= SMALL;
        let large: Vec<usize> = (0..buffers.len()).filter(is_large).filter(|_| to_time).collect();
        let bytes: usize = large.iter().map(|i| buffers[*i].len()).sum();
        let count = if bytes == 0 { 0 } else { FAR_APART.div_ceil(bytes).min(MOST_COPIES) };
        let placed = || -> Result<Placed, GpuError> {
            let memory = Memory::holding(buffers.iter().chain([&scalars]).map(Vec::as_slice))?;
            let copy = |_| Memory::holding(large.iter().map(|i| &buffers[*i][..]));
            let copies = (0..count).map(copy).collect::<Result<_, _>>()?;
            let (ints, floats) = (inputs.ints.clone(), inputs.floats.clone());
            Ok(Placed { ints, floats, written: written.clone(), memory, large: large.clone(), copies })
        };
        placed().map_err(|e| e.to_string())
    }

    fn run(&self, code: &Code, placed: &Placed) -> Result<Vec<Vec<u8>>, String> {
        self.run_once(code, placed).map_err(|e| e.to_string())
    }

    fn samples(&self, code: &Code, placed: &Placed) -> Result<Vec<f64>, String> {
        self.seconds(code, placed).map_err(|e| e.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::library::Library;
    use crate::target::Target;
    use crate::tune::space::around;
    use std::path::Path;

    #[test]
    fn candidates_compile_and_pass_the_audit() {
        let compiler = Compiler::with_cache(None);
        if let Err(missing) = compiler.nvrtc() {
            return eprintln!("skipped: {missing}");
        }
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name("kernels-gen");
        let library = Library::open(&folder).unwrap_or_else(|e| panic!("{e}"));
        let places = Places::new(&library.sources);
        for (name, field) in [("rmsnorm", "in_flight"), ("attention_128", "team"), ("add", "tile")] {
            let kernel = library.kernel(name).unwrap_or_else(|e| panic!("{e}"));
            let shipped = library.schedule(name, Target::Cuda).unwrap_or_else(|e| panic!("{e}")).remove(0);
            let (allowed, mut compiled) = (Allowed::of(kernel, &places), 0);
            for schedule in around(kernel, Target::Cuda, &shipped, field) {
                let Ok(func) = Target::Cuda.lower(kernel, &schedule) else { continue };
                let source = cuda::emit(&func, schedule.threads, &places).unwrap_or_else(|e| panic!("{e}"));
                let code = machine_code(&compiler, &Arch::of_capability(9, 0), &allowed, &source);
                assert!(code.unwrap_or_else(|e| panic!("{schedule:?}: {e}")).starts_with(b"\x7fELF"));
                compiled += 1;
            }
            assert!(compiled >= 3, "{name}: {compiled} candidates by {field}");
        }
    }
}
