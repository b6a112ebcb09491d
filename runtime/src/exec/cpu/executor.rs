//! Runs a plan stage by stage; all threads share the work of each stage.
use super::{Pool, memory::Memory, share};
use crate::{
    exec::{
        ExecError, Executor,
        buffers::{check_step, fill_table, ints, most_bytes, part, weight},
    },
    gguf::Gguf,
    plan::{Arg, BEST, BoundStage, Buffer, BufferId, LOGITS, Plan, Role, Step},
};
use kernels_gen::{Buf, Isa, Launch, float_mode_is_ieee};

/// What an executor is made for.
#[derive(Clone, Copy, Debug)]
pub struct Setup {
    /// Threads, the caller's included; at least 1.
    pub threads: usize,
    /// The instruction set; it must be available.
    pub isa: Isa,
    /// The most tokens and outputs of a step, and the chunks of the KV cache.
    pub limits: Step,
}

/// Where the bytes of a buffer are.
enum Slot<'m> {
    Mapped(&'m [u8]),
    Owned(Memory),
}

impl Slot<'_> {
    fn ptr(&self) -> *mut u8 {
        match self {
            Slot::Mapped(bytes) => bytes.as_ptr().cast_mut(),
            Slot::Owned(memory) => memory.ptr(),
        }
    }
}

/// The CPU executor of a plan.
pub struct Cpu<'m> {
    tensors: Tensors<'m>,
    stages: Vec<BoundStage>,
    pool: Pool,
    setup: Setup,
    input: BufferId,
    logits: BufferId,
    best: BufferId,
    /// The last step.
    step: Step,
}

/// The buffers and their memory.
struct Tensors<'m> {
    buffers: Vec<Buffer>,
    slots: Vec<Slot<'m>>,
}

impl<'m> Cpu<'m> {
    /// Binds the stages, borrows the weights of `model`, and takes memory for everything else.
    pub fn new(plan: &Plan, model: &'m Gguf, setup: Setup) -> Result<Self, crate::Error> {
        if !setup.isa.available() {
            let message = format!("this processor lacks {} for {}", setup.isa.missing().join(", "), setup.isa);
            return Err(crate::Error::device(message, "leave --isa out to use the best that there is"));
        }
        let stages = plan.bind(kernels_gen::kernel)?;
        let find = |name| plan.find(name).ok_or(ExecError::NoBuffer(name));
        let (logits, best) = (find(LOGITS)?, find(BEST)?);
        let input = plan.buffers.iter().position(|b| matches!(b.role, Role::Input)).map(BufferId);
        let input = input.ok_or(ExecError::NoBuffer("tokens"))?;
        let slots = plan.buffers.iter().map(|b| slot(b, model, &setup.limits)).collect::<Result<_, _>>()?;
        let threads = setup.threads;
        let pool = Pool::new(threads).map_err(|source| ExecError::Threads { threads, source })?;
        let tensors = Tensors { buffers: plan.buffers.clone(), slots };
        let step = Step { tokens: 0, outputs: 0, position: 0, chunks: setup.limits.chunks };
        Ok(Cpu { tensors, stages, pool, setup, input, logits, best, step })
    }

    /// The numbers of an activation that the last step left.
    fn numbers<T: Number>(&self, id: BufferId) -> &[T] {
        let Slot::Owned(memory) = &self.tensors.slots[id.0] else { return &[] };
        let bytes = self.tensors.buffers[id.0].bytes(&self.step).unwrap_or(0);
        let bytes = &memory.bytes()[..bytes];
        // SAFETY: any bytes are a number; `align_to` takes care of the rest, and the memory is aligned to more.
        unsafe { bytes.align_to::<T>() }.1
    }
}

/// Four-byte numbers of which all bit patterns are valid.
trait Number {}
impl Number for f32 {}
impl Number for i32 {}

impl Executor for Cpu<'_> {
    fn limits(&self) -> Step {
        self.setup.limits
    }

    fn step(&mut self, tokens: &[i32], position: usize, outputs: usize) -> Result<(), ExecError> {
        check_step(&self.setup.limits, tokens.len(), position, outputs)?;
        let step = Step { tokens: tokens.len(), outputs, position, chunks: self.setup.limits.chunks };
        if let Slot::Owned(memory) = &mut self.tensors.slots[self.input.0] {
            for (to, token) in memory.bytes_mut().as_chunks_mut().0.iter_mut().zip(tokens) {
                *to = token.to_le_bytes();
            }
        }
        for stage in &self.stages {
            if stage.ints.iter().take(stage.kernel.dims).all(|&dim| step.get(dim) > 0) {
                run(stage, &self.tensors, &step, &mut self.pool, self.setup.isa)?;
            }
        }
        self.step = step;
        Ok(())
    }

    fn logits(&self) -> &[f32] {
        self.numbers(self.logits)
    }

    fn best(&self) -> &[i32] {
        self.numbers(self.best)
    }

    fn read(&self, buffer: BufferId) -> Result<Vec<u8>, ExecError> {
        let bytes = self.tensors.buffers[buffer.0].bytes(&self.step).unwrap_or(0);
        Ok(match &self.tensors.slots[buffer.0] {
            Slot::Mapped(data) => data.to_vec(),
            Slot::Owned(memory) => memory.bytes()[..bytes].to_vec(),
        })
    }
}

fn run(stage: &BoundStage, tensors: &Tensors, step: &Step, pool: &mut Pool, isa: Isa) -> Result<(), ExecError> {
    let ints = ints(&stage.ints, step);
    let args = stage.args.iter().zip(stage.kernel.buffers);
    let bufs: Vec<Buf> = args.map(|(&arg, info)| tensors.lend(arg, info.written, step)).collect();
    let launch = Launch::new(stage.kernel, &ints, &stage.floats, &bufs)
        .map_err(|source| ExecError::Launch { stage: stage.name.clone(), source })?;
    let (work, threads) = (launch.work(isa) as usize, pool.threads());
    let job = |thread: usize| {
        assert!(float_mode_is_ieee(), "the floating-point mode of the thread was changed");
        let part = share(work, threads, thread);
        if !part.is_empty() {
            // SAFETY: `Cpu::new` has checked that the instruction set is available; shares are disjoint; and the
            // pool runs one job at a time.
            unsafe { launch.run(isa, part.start as i32, part.end as i32) };
        }
    };
    pool.run(&job).map_err(|source| ExecError::Panicked { stage: stage.name.clone(), source })
}

impl Tensors<'_> {
    /// The memory of an argument in this step.
    fn lend(&self, arg: Arg, written: bool, step: &Step) -> Buf<'_> {
        let (buffer, slot) = (&self.buffers[arg.buffer.0], &self.slots[arg.buffer.0]);
        let (offset, len) = part(buffer, arg, step);
        let writable = written && matches!(slot, Slot::Owned(_));
        // SAFETY: the slot has memory for the largest step, and `Cpu::step` has checked that this is none larger.
        // It is reached by pointer only while a step runs.
        unsafe { Buf::raw(slot.ptr().add(offset), len, writable) }
    }
}

/// The memory of a buffer for the largest step.
fn slot<'m>(buffer: &Buffer, model: &'m Gguf, limits: &Step) -> Result<Slot<'m>, ExecError> {
    if let Role::Weight = buffer.role {
        return Ok(Slot::Mapped(weight(buffer, model, limits)?));
    }
    let bytes = most_bytes(buffer, limits)?;
    let memory = Memory::zeroed(bytes);
    let mut memory =
        memory.ok_or_else(|| ExecError::Memory { buffer: buffer.name.clone(), bytes: bytes.to_string() })?;
    if let Role::Table(row) = &buffer.role {
        fill_table(buffer, row, limits, memory.bytes_mut());
    }
    Ok(Slot::Owned(memory))
}
