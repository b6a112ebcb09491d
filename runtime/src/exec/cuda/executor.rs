//! Runs a plan stage by stage on one stream of a GPU.
use super::{
    CudaError, Gpu, Need,
    driver::{DeviceMemory, Pinned, Stream},
    error::USE_CPU,
    fault::Faulty,
    kernels::{self, Loaded},
    upload::Upload,
};
use crate::{
    exec::{
        ExecError, Executor, Planted,
        buffers::{check_step, fill_table, ints, most_bytes, part, weight},
    },
    gguf::Gguf,
    plan::{Arg, BEST, BoundStage, Buffer, BufferId, LOGITS, Plan, Role, Step},
};
use kernels_gen::{Extent, LaunchError, check_call, check_indices};
use std::ops::Range;

/// What an executor is made for.
#[derive(Clone, Debug)]
pub struct Setup {
    /// The GPU, opened in this thread.
    pub gpu: Gpu,
    /// The most tokens and outputs of a step, and the chunks of the KV cache.
    pub limits: Step,
}

/// The CUDA executor of a plan.
pub struct Cuda {
    // Fields are dropped in this order: the work ends before what it uses goes.
    stream: Stream,
    stages: Vec<Stage>,
    kernels: Vec<Loaded>,
    faulty: Option<Faulty>,
    tensors: Tensors,
    logits: Output,
    best: Output,
    input: BufferId,
    limits: Step,
    /// The last step, and the bytes of its tokens, from which they are copied.
    step: Step,
    tokens: Vec<u8>,
    need: Need,
    gpu: Gpu,
}

/// A stage, and the number of its kernel among the loaded ones.
struct Stage {
    bound: BoundStage,
    kernel: usize,
}

/// The buffers and their memory.
struct Tensors {
    buffers: Vec<Buffer>,
    memory: Vec<DeviceMemory>,
}

/// A buffer that is copied back after each step.
struct Output {
    buffer: BufferId,
    host: Pinned,
    /// Bytes of the last step.
    len: usize,
}

impl Cuda {
    /// Checks that everything fits, compiles and loads the kernels, and copies the weights of `model`.
    pub fn new(plan: &Plan, model: &Gguf, setup: Setup) -> Result<Self, crate::Error> {
        let Setup { gpu, limits } = setup;
        let bound = plan.bind(kernels_gen::kernel)?;
        refuse_computed_indices(plan, &bound)?;
        let find = |name| plan.find(name).ok_or(ExecError::NoBuffer(name));
        let (logits, best) = (find(LOGITS)?, find(BEST)?);
        let input = plan.buffers.iter().position(|b| matches!(b.role, Role::Input)).map(BufferId);
        let input = input.ok_or(ExecError::NoBuffer("tokens"))?;
        let need = Need::of(plan, &limits)?;
        need.check(&format!("cuda:{} ({})", gpu.number(), gpu.name()), gpu.memory()?)?;
        let (stages, kernels) = load(&gpu, bound)?;
        let stream = Stream::new(&gpu)?;
        let output = |buffer: BufferId| -> Result<Output, ExecError> {
            let host = Pinned::new(&gpu, most_bytes(plan.buffer(buffer), &limits)?)?;
            Ok(Output { buffer, host, len: 0 })
        };
        let (logits, best) = (output(logits)?, output(best)?);
        let tensors = Tensors::new(plan, model, &limits, &gpu, &stream, need.weights)?;
        let step = Step { tokens: 0, outputs: 0, position: 0, chunks: limits.chunks };
        let (faulty, tokens) = (None, Vec::new());
        Ok(Cuda { stream, stages, kernels, faulty, tensors, logits, best, input, limits, step, tokens, need, gpu })
    }

    /// The GPU.
    pub fn gpu(&self) -> &Gpu {
        &self.gpu
    }

    /// The memory that was taken on it.
    pub fn need(&self) -> Need {
        self.need
    }

    /// Puts a stage on the stream, and the fault that follows it where one is planted.
    fn enqueue(&self, number: usize) -> Result<(), ExecError> {
        let (stage, step) = (&self.stages[number], &self.step);
        if !stage.bound.has_work(step) {
            return Ok(());
        }
        self.launch(stage, step)?;
        match &self.faulty {
            Some(faulty) => Ok(faulty.after(number, step, &self.tensors.memory, &self.stream)?),
            None => Ok(()),
        }
    }

    fn launch(&self, stage: &Stage, step: &Step) -> Result<(), ExecError> {
        let BoundStage { name, kernel, ints: sizes, floats, args } = &stage.bound;
        let ints = ints(sizes, step);
        let extents: Vec<Extent> =
            args.iter().zip(kernel.buffers).map(|(&arg, info)| self.tensors.lend(arg, info.written, step)).collect();
        let refused = |source: LaunchError| ExecError::Launch { stage: name.clone(), source };
        check_call(kernel, &ints, floats, &extents).map_err(refused)?;
        for (i, arg) in args.iter().enumerate().filter(|(_, arg)| arg.buffer == self.input) {
            let (offset, len) = part(&self.tensors.buffers[arg.buffer.0], *arg, step);
            check_indices(kernel, &ints, i, &self.tokens[offset..offset + len]).map_err(refused)?;
        }
        let work = (kernel.cuda.work)(&ints);
        let Ok(items) = u32::try_from(work) else {
            return Err(CudaError::new(format!("stage {name}: {work} work items are too many"), USE_CPU).into());
        };
        if items == 0 {
            return Ok(());
        }
        let kernels::Shape { grid, threads, shared } = kernels::shape(kernel, items);
        let mut values: Vec<u64> = extents.iter().map(|extent| extent.address).collect();
        values.extend(ints.iter().map(|&int| u64::from(int as u32)));
        values.extend(floats.iter().map(|float| u64::from(float.to_bits())));
        values.push(u64::from(items));
        let function = self.kernels[stage.kernel].function();
        // SAFETY: the call was checked, so that the kernel stays inside of its buffers, which live as long as the stream.
        let started = unsafe { self.stream.launch(function, (grid, threads, shared), &mut values) };
        started.map_err(|error| CudaError::call(&format!("starting stage {name} ({})", kernel.name), error).into())
    }
}

impl Executor for Cuda {
    fn limits(&self) -> Step {
        self.limits
    }

    fn step(&mut self, tokens: &[i32], position: usize, outputs: usize) -> Result<(), ExecError> {
        let done = self.feed(tokens, position, outputs).and_then(|()| self.enqueue_all());
        self.finish(done, "computing a step")
    }

    fn identity(&self) -> Result<String, ExecError> {
        let kernels = self.kernels.iter().map(|kernel| format!(", {} {}", kernel.name(), kernel.hash()));
        Ok(self.gpu.identity()? + &kernels.collect::<String>())
    }

    fn logits(&self) -> &[f32] {
        self.logits.numbers()
    }

    fn best(&self) -> &[i32] {
        self.best.numbers()
    }

    fn read(&self, buffer: BufferId, part: Range<usize>) -> Result<Vec<u8>, ExecError> {
        let memory = &self.tensors.memory[buffer.0];
        assert!(part.start <= part.end && part.end <= memory.len(), "{part:?} is not in a buffer of {}", memory.len());
        let mut host = vec![0; part.len()];
        // SAFETY: the memory has these bytes, and the stream is waited for.
        unsafe { self.stream.download(&mut host, memory.address() + part.start as u64)? };
        self.stream.wait("reading a buffer")?;
        Ok(host)
    }

    fn begin(&mut self, tokens: &[i32], position: usize, outputs: usize) -> Result<(), ExecError> {
        let done = self.feed(tokens, position, outputs);
        self.finish(done, "copying tokens")
    }

    fn stage(&mut self, number: usize) -> Result<(), ExecError> {
        let done = self.enqueue(number);
        self.finish(done, &format!("computing stage {}", self.stages[number].bound.name))
    }

    fn plant(&mut self, fault: Planted) -> Result<(), ExecError> {
        if let Some(weight) = fault.weight() {
            let memory = &self.tensors.memory[weight.0];
            let mut bytes = self.read(weight, 0..memory.len())?;
            fault.damage(&mut bytes);
            // SAFETY: the memory has as many bytes, which live until the stream is waited for.
            let done = unsafe { self.stream.upload(memory.address(), &bytes) };
            self.finish(done.map_err(ExecError::from), "planting a fault")?;
        }
        self.faulty = Some(Faulty::new(&self.gpu, fault)?);
        Ok(())
    }
}

impl Cuda {
    /// Begins a step: checks it and puts the copy of its tokens on the stream.
    fn feed(&mut self, tokens: &[i32], position: usize, outputs: usize) -> Result<(), ExecError> {
        check_step(&self.limits, tokens.len(), position, outputs)?;
        self.step = Step { tokens: tokens.len(), outputs, position, chunks: self.limits.chunks };
        self.tokens = tokens.iter().flat_map(|token| token.to_le_bytes()).collect();
        // SAFETY: the bytes stay as they are until the next step, and each is waited for; the buffer was made for the
        // largest step.
        unsafe { self.stream.upload(self.tensors.memory[self.input.0].address(), &self.tokens)? };
        Ok(())
    }

    /// Waits for the stream, also where putting work on it has failed; the first error counts.
    fn finish(&self, done: Result<(), ExecError>, doing: &str) -> Result<(), ExecError> {
        let waited = self.stream.wait(doing);
        done?;
        Ok(waited?)
    }

    /// Puts all stages on the stream, and the copies of what they compute.
    fn enqueue_all(&mut self) -> Result<(), ExecError> {
        (0..self.stages.len()).try_for_each(|number| self.enqueue(number))?;
        for output in [&mut self.logits, &mut self.best] {
            output.len = self.tensors.buffers[output.buffer.0].bytes(&self.step).unwrap_or(0);
            let (host, from) = (&mut output.host.bytes_mut()[..output.len], &self.tensors.memory[output.buffer.0]);
            // SAFETY: `step` waits for the stream before anyone looks at them.
            unsafe { self.stream.download(host, from.address())? };
        }
        Ok(())
    }
}

/// Four-byte numbers of which all bit patterns are valid.
trait Number {}
impl Number for f32 {}
impl Number for i32 {}

impl Output {
    fn numbers<T: Number>(&self) -> &[T] {
        // SAFETY: any bytes are a number; `align_to` takes care of the rest, and the memory is aligned to a page.
        unsafe { self.host.bytes()[..self.len].align_to::<T>() }.1
    }
}

impl Tensors {
    fn new(
        plan: &Plan,
        model: &Gguf,
        limits: &Step,
        gpu: &Gpu,
        stream: &Stream,
        weights: usize,
    ) -> Result<Tensors, ExecError> {
        let take = |buffer: &Buffer| Ok(DeviceMemory::new(gpu, most_bytes(buffer, limits)?, &buffer.name)?);
        let memory = plan.buffers.iter().map(take).collect::<Result<Vec<_>, ExecError>>()?;
        let mut upload = Upload::new(gpu, stream, weights)?;
        for (buffer, memory) in plan.buffers.iter().zip(&memory) {
            match &buffer.role {
                Role::Weight => {
                    let data = weight(buffer, model, limits)?;
                    // SAFETY: the memory was taken for these bytes, and lives until the upload is finished.
                    unsafe { upload.copy(memory.address(), data, |done| model.release(done))? };
                }
                Role::Table(row) => {
                    let mut table = vec![0; memory.len()];
                    fill_table(buffer, row, limits, &mut table);
                    // SAFETY: as above.
                    unsafe { upload.copy(memory.address(), &table, |_| ())? };
                }
                Role::Cache => stream.zero(memory)?,
                Role::Input | Role::Activation => {}
            }
        }
        upload.finish()?;
        Ok(Tensors { buffers: plan.buffers.clone(), memory })
    }

    /// The memory of an argument in this step.
    fn lend(&self, arg: Arg, written: bool, step: &Step) -> Extent {
        let (buffer, memory) = (&self.buffers[arg.buffer.0], &self.memory[arg.buffer.0]);
        let (offset, len) = part(buffer, arg, step);
        let constant = matches!(buffer.role, Role::Weight | Role::Input | Role::Table(_));
        Extent { address: memory.address() + offset as u64, len: len as u64, writable: written && !constant }
    }
}

/// Loads each kernel of the stages once.
fn load(gpu: &Gpu, bound: Vec<BoundStage>) -> Result<(Vec<Stage>, Vec<Loaded>), CudaError> {
    let mut kernels: Vec<_> = bound.iter().map(|stage| stage.kernel).collect();
    kernels.sort_by_key(|kernel| kernel.name);
    kernels.dedup_by_key(|kernel| kernel.name);
    let loaded = kernels::load(gpu, &kernels)?;
    let number = |stage: &BoundStage| loaded.iter().position(|kernel| kernel.name() == stage.kernel.name).unwrap_or(0);
    let stages = bound.into_iter().map(|bound| Stage { kernel: number(&bound), bound }).collect();
    Ok((stages, loaded))
}

/// Indices are checked on the host before a step, which knows the tokens and nothing else.
fn refuse_computed_indices(plan: &Plan, stages: &[BoundStage]) -> Result<(), CudaError> {
    for stage in stages {
        let most: Vec<i32> = stage.kernel.ranges.iter().map(|&(lo, _)| lo).collect();
        for (i, arg) in stage.args.iter().enumerate() {
            let buffer = plan.buffer(arg.buffer);
            if (stage.kernel.index_below)(&most, i).is_some() && !matches!(buffer.role, Role::Input) {
                let message = format!("stage {}: the indices in `{}` cannot be checked", stage.name, buffer.name);
                return Err(CudaError::new(message, USE_CPU));
            }
        }
    }
    Ok(())
}
