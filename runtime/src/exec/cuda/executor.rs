//! Runs a plan stage by stage on one stream of a GPU.
mod launch;

use super::{
    Gpu, Need,
    driver::{Pinned, Stream},
    fault::Faulty,
    graph::Graph,
    read_rate::read_rate,
    record::Record,
    scratch::{Scratch, ScratchBytes},
    stages::{Placement, Stages, is_decode},
    tensors::Tensors,
};
use crate::{
    exec::{
        ExecError, Executor, Footprint, Loading, Planted, ReadRate,
        buffers::{most_bytes, part},
        step::{check_step, ints},
        weights::Weights,
    },
    gguf::Gguf,
    plan::{BEST, BoundStage, BufferId, LOGITS, Placements, Plan, PlanSchedule, Role, Step},
};
use kernels_gen::{Extent, LaunchError, Target, check_call, check_indices};
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
    /// The step of one token with one output, once it was computed.
    graph: Option<Graph>,
    stages: Stages,
    faulty: Option<Faulty>,
    tensors: Tensors,
    record: Record,
    scratch: Scratch,
    logits: Output,
    best: Output,
    input: BufferId,
    limits: Step,
    /// The last step, and its tokens, from which they are copied.
    step: Step,
    /// A step whose launches were checked while the device was busy.
    ahead: Option<Step>,
    tokens: Pinned,
    need: Need,
    gpu: Gpu,
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
    pub fn new(plan: &Plan, model: &Gguf, setup: Setup, loading: Loading) -> Result<Self, crate::Error> {
        let Setup { gpu, limits } = setup;
        let bound = plan.bind(kernels_gen::kernel)?;
        let weights = Weights::of(plan, &bound, Target::Cuda)?;
        let find = |name| plan.find(name).ok_or(ExecError::NoBuffer(name));
        let (logits, best) = (find(LOGITS)?, find(BEST)?);
        let input = plan.buffers.iter().position(|b| matches!(b.role, Role::Input)).map(BufferId);
        let input = input.ok_or(ExecError::NoBuffer("tokens"))?;
        let need = Need::of(plan, &limits)?;
        need.check(&format!("cuda:{} ({})", gpu.number(), gpu.name()), gpu.memory()?)?;
        let stream = Stream::new(&gpu)?;
        let record = Record::new(&gpu, bound.iter())?;
        let scratch = Scratch::new(&gpu, &stream, ScratchBytes::most(plan, &bound, &limits, PlanSchedule::ALL))?;
        let stages = Stages::load(&gpu, plan, bound, &limits, PlanSchedule::ALL)?;
        let output = |buffer: BufferId| -> Result<Output, ExecError> {
            let host = Pinned::new(&gpu, most_bytes(plan.buffer(buffer), &limits)?)?;
            Ok(Output { buffer, host, len: 0 })
        };
        let (logits, best) = (output(logits)?, output(best)?);
        let tensors = Tensors::new(plan, model, &limits, (&gpu, &stream), weights, loading)?;
        let step = Step { tokens: 0, outputs: 0, position: 0, chunks: limits.chunks };
        let tokens = Pinned::new(&gpu, most_bytes(plan.buffer(input), &limits)?)?;
        let (graph, faulty) = (None, None);
        Ok(Cuda {
            stream,
            graph,
            stages,
            faulty,
            tensors,
            record,
            scratch,
            logits,
            best,
            input,
            limits,
            step,
            ahead: None,
            tokens,
            need,
            gpu,
        })
    }

    /// The GPU.
    pub fn gpu(&self) -> &Gpu {
        &self.gpu
    }

    /// The memory that was taken on it.
    pub fn need(&self) -> Need {
        self.need
    }

    /// How a stage is done in this step. A fault between two stages needs them apart.
    fn placement(&self, number: usize) -> Placement<'_> {
        let struck = |number| self.faulty.as_ref().is_some_and(|faulty| faulty.follows(number, &self.step));
        self.stages.placement(number, &self.step, struck)
    }

    /// Puts a stage on the stream, and the fault that follows it where one is planted.
    fn enqueue(&self, number: usize) -> Result<(), ExecError> {
        let step = &self.step;
        match self.placement(number) {
            Placement::Nothing | Placement::Inside => return Ok(()),
            Placement::Alone(bound) => {
                self.check_tokens(bound, step)?;
                self.launch(&self.stages.call(bound), &self.checked(bound, step)?, step)?;
            }
            Placement::WithNext(pair) => {
                let [first, then] = self.stages.two(pair);
                self.check_tokens(first, step)?;
                self.check_tokens(then, step)?;
                let (own, next) = (self.checked(first, step)?, self.checked(then, step)?);
                let extents = pair.fused.buffers(&own, &next);
                self.launch(&self.stages.fused_call(pair), &extents, step)?;
            }
            Placement::Beside(beside) => self.launch_beside(beside, step)?,
            Placement::Done => {}
        }
        match &self.faulty {
            Some(faulty) => Ok(faulty.after(number, step, self.tensors.memory(), &self.stream)?),
            None => Ok(()),
        }
    }

    /// The buffers of a stage in a step, checked: its kernel stays inside of them.
    fn checked(&self, bound: &BoundStage, step: &Step) -> Result<Vec<Extent>, ExecError> {
        let BoundStage { name, kernel, ints: sizes, floats, args, .. } = bound;
        let ints = ints(sizes, step);
        let extents: Vec<Extent> =
            args.iter().zip(kernel.buffers).map(|(&arg, info)| self.tensors.lend(arg, info.written, step)).collect();
        let refused = |source: LaunchError| ExecError::Launch { stage: name.clone(), source };
        check_call(kernel, Target::Cuda, &ints, floats, &extents).map_err(refused)?;
        self.scratch.lend(bound.cuda(&ints), &ints)?;
        Ok(extents)
    }

    /// Checks the launches of all stages in a step.
    fn check_all(&self, step: &Step) -> Result<(), ExecError> {
        (0..self.stages.len()).try_for_each(|number| match self.placement(number) {
            Placement::Nothing | Placement::Inside | Placement::Done => Ok(()),
            Placement::Alone(bound) => self.checked(bound, step).map(drop),
            Placement::WithNext(pair) => {
                self.stages.two(pair).into_iter().try_for_each(|bound| self.checked(bound, step).map(drop))
            }
            Placement::Beside(beside) => {
                self.stages.all(beside).try_for_each(|bound| self.checked(bound, step).map(drop))
            }
        })
    }

    /// Checks that the tokens of a step are indices of what a stage looks up with them.
    fn check_tokens(&self, bound: &BoundStage, step: &Step) -> Result<(), ExecError> {
        let BoundStage { name, kernel, ints: sizes, args, .. } = bound;
        for (i, arg) in args.iter().enumerate().filter(|(_, arg)| arg.buffer == self.input) {
            let (offset, len) = part(self.tensors.buffer(arg.buffer), *arg, step);
            let refused = |source: LaunchError| ExecError::Launch { stage: name.clone(), source };
            let tokens = &self.tokens.bytes()[offset..offset + len];
            check_indices(kernel, &ints(sizes, step), i, tokens).map_err(refused)?;
        }
        Ok(())
    }
}

impl Executor for Cuda {
    fn limits(&self) -> Step {
        self.limits
    }

    fn step(&mut self, tokens: &[i32], position: usize, outputs: usize) -> Result<(), ExecError> {
        let done = self.feed(tokens, position, outputs).and_then(|()| {
            if !is_decode(&self.step) {
                return self.enqueue_all();
            }
            // Where a planted fault strikes depends on the position, so with one each step is recorded anew.
            let graph = match self.graph.take().filter(|_| self.faulty.is_none()) {
                Some(graph) => {
                    if self.ahead.take() != Some(self.step) {
                        self.check_all(&self.step)?;
                    }
                    (0..self.stages.len())
                        .try_for_each(|number| self.check_tokens(self.stages.bound(number), &self.step))?;
                    graph
                }
                None => Graph::record(&self.stream, || self.enqueue_all())?,
            };
            self.graph.insert(graph).start(&self.stream)?;
            // What is next as a rule is checked meanwhile.
            let next = Step { position: self.step.position + 1, ..self.step };
            let fits = check_step(&self.limits, next.tokens, next.position, next.outputs).is_ok();
            self.ahead = Some(next).filter(|next| fits && self.check_all(next).is_ok());
            Ok(())
        });
        self.finish(done, "computing a step")
    }

    fn launched(&self) -> Vec<Option<&'static str>> {
        let name = |number| match self.placement(number) {
            Placement::Nothing | Placement::Inside | Placement::Done => None,
            Placement::Alone(bound) => Some(bound.kernel.name),
            Placement::Beside(beside) => self.stages.all(beside).next().map(|bound| bound.kernel.name),
            Placement::WithNext(pair) => Some(pair.fused.name),
        };
        (0..self.stages.len()).map(name).collect()
    }

    fn leaves(&self, stage: usize) -> bool {
        !matches!(self.placement(stage), Placement::Inside)
    }

    fn read_rate(&mut self) -> Result<ReadRate, ExecError> {
        Ok(read_rate(&self.gpu, &self.stream)?)
    }

    fn footprint(&self) -> Option<Footprint> {
        Some(Footprint { bytes: self.need.total() as u64, what: "taken on the device" })
    }

    fn identity(&self) -> Result<String, ExecError> {
        let kernels =
            self.stages.kernels().iter().map(|kernel| format!(", {} {}", kernel.name(), kernel.hashes().join(" ")));
        let besides = self.stages.besides().iter().map(|beside| format!(", {}", beside.hash()));
        Ok(self.gpu.identity()? + &kernels.chain(besides).collect::<String>())
    }

    fn logits(&self) -> &[f32] {
        self.logits.numbers()
    }

    fn best(&self) -> &[i32] {
        self.best.numbers()
    }

    fn read(&self, buffer: BufferId, part: Range<usize>) -> Result<Vec<u8>, ExecError> {
        let memory = &self.tensors.memory()[buffer.0];
        assert!(part.start <= part.end && part.end <= memory.len(), "{part:?} is not in a buffer of {}", memory.len());
        let mut host = vec![0; part.len()];
        // SAFETY: the memory has these bytes, and the stream is waited for.
        unsafe { self.stream.download(&mut host, memory.address() + part.start as u64)? };
        self.stream.wait("reading a buffer")?;
        Ok(host)
    }

    fn write(&mut self, buffer: BufferId, at: usize, bytes: &[u8]) -> Result<(), ExecError> {
        let memory = &self.tensors.memory()[buffer.0];
        let fits = at.checked_add(bytes.len()).is_some_and(|end| end <= memory.len());
        assert!(fits, "{} bytes at {at} are not in a buffer of {}", bytes.len(), memory.len());
        // SAFETY: the memory has as many bytes there, and those that are copied live until the stream was waited for.
        let done = unsafe { self.stream.upload(memory.address() + at as u64, bytes) };
        self.finish(done.map_err(ExecError::from), "writing a buffer")
    }

    fn reschedule(&mut self, plan: &Plan, schedule: PlanSchedule) -> Result<Placements, ExecError> {
        let mut bound = self.stages.all_bound().to_vec();
        schedule.choose_codes(&mut bound);
        let bytes = ScratchBytes::most(plan, &bound, &self.limits, schedule);
        let scratch = Scratch::new(&self.gpu, &self.stream, bytes)?;
        let stages = Stages::load(&self.gpu, plan, bound, &self.limits, schedule)?;
        // What was recorded starts the launches of before, in the memory of before.
        (self.graph, self.ahead) = (None, None);
        (self.scratch, self.stages) = (scratch, stages);
        Ok(self.stages.placements(&self.limits))
    }

    fn begin(&mut self, tokens: &[i32], position: usize, outputs: usize) -> Result<(), ExecError> {
        let done = self.feed(tokens, position, outputs).and_then(|()| self.upload());
        self.finish(done, "copying tokens")
    }

    fn stage(&mut self, number: usize) -> Result<(), ExecError> {
        let done = self.enqueue(number);
        self.finish(done, &format!("computing stage {}", self.stages.bound(number).name))
    }

    fn plant(&mut self, fault: Planted) -> Result<(), ExecError> {
        if let Some(weight) = fault.weight() {
            let memory = &self.tensors.memory()[weight.0];
            let mut bytes = self.read(weight, 0..memory.len())?;
            fault.damage(&mut bytes);
            // SAFETY: the memory has as many bytes, which live until the stream is waited for.
            let done = unsafe { self.stream.upload(memory.address(), &bytes) };
            self.finish(done.map_err(ExecError::from), "planting a fault")?;
        }
        self.faulty = Some(Faulty::new(&self.gpu, fault)?);
        self.graph = None;
        Ok(())
    }
}

impl Cuda {
    /// Begins a step: checks it, and lays ready what is copied to the device.
    fn feed(&mut self, tokens: &[i32], position: usize, outputs: usize) -> Result<(), ExecError> {
        check_step(&self.limits, tokens.len(), position, outputs)?;
        self.step = Step { tokens: tokens.len(), outputs, position, chunks: self.limits.chunks };
        self.record.set(&self.step);
        for (to, token) in self.tokens.bytes_mut().as_chunks_mut().0.iter_mut().zip(tokens) {
            *to = token.to_le_bytes();
        }
        for output in [&mut self.logits, &mut self.best] {
            output.len = self.tensors.buffer(output.buffer).bytes(&self.step).unwrap_or(0);
        }
        Ok(())
    }

    /// Puts the copies of the step record and the tokens on the stream.
    fn upload(&self) -> Result<(), ExecError> {
        self.record.upload(&self.stream)?;
        let bytes = 4 * self.step.tokens;
        // SAFETY: the tokens stay as they are until the next step, and each is waited for; there is room for the largest.
        unsafe { self.stream.upload(self.tensors.memory()[self.input.0].address(), &self.tokens.bytes()[..bytes])? };
        Ok(())
    }

    /// Waits for the stream, also where putting work on it has failed; the first error counts.
    fn finish(&self, done: Result<(), ExecError>, doing: &str) -> Result<(), ExecError> {
        let waited = self.stream.wait(doing);
        done?;
        Ok(waited?)
    }

    /// Puts a step on the stream: the copies to the device, all stages, and the copies of what they compute.
    fn enqueue_all(&self) -> Result<(), ExecError> {
        self.upload()?;
        (0..self.stages.len()).try_for_each(|number| self.enqueue(number))?;
        for output in [&self.logits, &self.best] {
            let from = &self.tensors.memory()[output.buffer.0];
            // SAFETY: there are as many bytes on both sides, and `step` waits for the stream before anyone looks at them.
            unsafe { self.stream.download_to(output.host.address(), from.address(), output.len)? };
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
