//! Runs a plan stage by stage; all threads share the work of each stage.
use super::{Pool, memory::Memory, read_rate::Reader, resident::resident_peak, share};
use crate::{
    exec::{
        ExecError, Executor, Footprint, Loading, Planted, ReadRate,
        buffers::{fill_table, most_bytes, weight},
        fault::{Edit, flip},
        step::{check_step, ints},
        weights::Weights,
    },
    gguf::Gguf,
    plan::{Arg, BEST, BoundStage, Buffer, BufferId, LOGITS, Placements, Plan, PlanSchedule, Role, Step},
};
use kernels_gen::{Buf, BufferInfo, Isa, Launch, Target, float_mode_is_ieee};
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A stage whose buffers have no more bytes than this takes about a microsecond, as long as it takes to tell another thread and
/// to hear from it.
const LITTLE: usize = 16 << 10;

/// Parts of a stage's work for each thread. A thread takes its own one after the other, so that it goes on in memory where it was,
/// and then those that others have left: one that the system holds up, or whose processor is shared, does fewer.
const SHARES: usize = 8;

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
    fn bytes(&self) -> &[u8] {
        match self {
            Slot::Mapped(bytes) => bytes,
            Slot::Owned(memory) => memory.bytes(),
        }
    }

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
    planted: Option<Planted>,
    /// Once the memory's rate was measured.
    reader: Option<Reader>,
}

/// The buffers and their memory.
struct Tensors<'m> {
    buffers: Vec<Buffer>,
    slots: Vec<Slot<'m>>,
    weights: Weights,
}

impl<'m> Cpu<'m> {
    /// Binds the stages, borrows the weights of `model` that lie as the kernels want them, packs the others, and takes memory
    /// for everything else.
    pub fn new(plan: &Plan, model: &'m Gguf, setup: Setup, loading: Loading) -> Result<Self, crate::Error> {
        if !setup.isa.available() {
            let message = format!("this processor lacks {} for {}", setup.isa.missing().join(", "), setup.isa);
            return Err(crate::Error::device(message, "leave --isa out to use the best that there is"));
        }
        let stages = plan.bind(kernels_gen::kernel)?;
        let find = |name| plan.find(name).ok_or(ExecError::NoBuffer(name));
        let (logits, best) = (find(LOGITS)?, find(BEST)?);
        let input = plan.buffers.iter().position(|b| matches!(b.role, Role::Input)).map(BufferId);
        let input = input.ok_or(ExecError::NoBuffer("tokens"))?;
        let weights = Weights::of(plan, &stages, Target::Cpu(setup.isa))?;
        let threads = setup.threads;
        let mut pool = Pool::new(threads).map_err(|source| ExecError::Threads { threads, source })?;
        let slots = load(plan, model, &weights, &setup.limits, &mut pool, loading)?;
        let tensors = Tensors { buffers: plan.buffers.clone(), slots, weights };
        let step = Step { tokens: 0, outputs: 0, position: 0, chunks: setup.limits.chunks };
        Ok(Cpu { tensors, stages, pool, setup, input, logits, best, step, planted: None, reader: None })
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
        self.begin(tokens, position, outputs)?;
        (0..self.stages.len()).try_for_each(|number| self.stage(number))
    }

    fn begin(&mut self, tokens: &[i32], position: usize, outputs: usize) -> Result<(), ExecError> {
        check_step(&self.setup.limits, tokens.len(), position, outputs)?;
        self.step = Step { tokens: tokens.len(), outputs, position, chunks: self.setup.limits.chunks };
        if let Slot::Owned(memory) = &mut self.tensors.slots[self.input.0] {
            for (to, token) in memory.bytes_mut().as_chunks_mut().0.iter_mut().zip(tokens) {
                *to = token.to_le_bytes();
            }
        }
        Ok(())
    }

    fn stage(&mut self, number: usize) -> Result<(), ExecError> {
        let (stage, step) = (&self.stages[number], &self.step);
        if stage.has_work(step) {
            run(stage, &self.tensors, step, &mut self.pool, self.setup.isa)?;
            if let Some((buffer, edits)) = self.planted.as_ref().and_then(|planted| planted.after(number, step)) {
                self.tensors.edit(buffer, &edits);
            }
        }
        Ok(())
    }

    fn plant(&mut self, fault: Planted) -> Result<(), ExecError> {
        if let Some(weight) = fault.weight() {
            let mut bytes = self.tensors.owned(weight)?;
            fault.damage(bytes.bytes_mut());
            self.tensors.slots[weight.0] = Slot::Owned(bytes);
        }
        self.planted = Some(fault);
        Ok(())
    }

    fn launched(&self) -> Vec<Option<&'static str>> {
        self.stages.iter().map(|stage| stage.has_work(&self.step).then_some(stage.kernel.name)).collect()
    }

    fn read_rate(&mut self) -> Result<ReadRate, ExecError> {
        let reader = match self.reader.take() {
            Some(reader) => reader,
            None => Reader::new(&mut self.pool)?,
        };
        self.reader.insert(reader).rate(&mut self.pool)
    }

    fn footprint(&self) -> Option<Footprint> {
        self.reader.as_ref().map_or_else(resident_peak, |reader| reader.resident_before)
    }

    fn identity(&self) -> Result<String, ExecError> {
        Ok(format!("cpu, {}", self.setup.isa))
    }

    fn logits(&self) -> &[f32] {
        self.numbers(self.logits)
    }

    fn best(&self) -> &[i32] {
        self.numbers(self.best)
    }

    fn read(&self, buffer: BufferId, part: Range<usize>) -> Result<Vec<u8>, ExecError> {
        Ok(self.tensors.slots[buffer.0].bytes()[part].to_vec())
    }

    fn write(&mut self, buffer: BufferId, at: usize, bytes: &[u8]) -> Result<(), ExecError> {
        let Slot::Owned(memory) = &mut self.tensors.slots[buffer.0] else {
            return Err(ExecError::Constant { buffer: self.tensors.buffers[buffer.0].name.clone() });
        };
        memory.bytes_mut()[at..at + bytes.len()].copy_from_slice(bytes);
        Ok(())
    }

    /// The stages are done one by one under every schedule; what is chosen is their code.
    fn reschedule(&mut self, _plan: &Plan, schedule: PlanSchedule) -> Result<Placements, ExecError> {
        schedule.choose_codes(&mut self.stages);
        let step = Step { tokens: 1, outputs: 1, position: 0, chunks: self.setup.limits.chunks };
        let other = |stage: &&BoundStage| {
            let (kernel, ints) = (stage.kernel, ints(&stage.ints, &step));
            !std::ptr::eq(kernel.cpu(self.setup.isa, &ints, stage.turn), kernel.cpu(self.setup.isa, &ints, 0))
        };
        Ok(Placements { other_codes: self.stages.iter().filter(other).count(), ..Placements::default() })
    }
}

fn run(stage: &BoundStage, tensors: &Tensors, step: &Step, pool: &mut Pool, isa: Isa) -> Result<(), ExecError> {
    let ints = ints(&stage.ints, step);
    let args = stage.args.iter().zip(stage.kernel.buffers);
    let bufs: Vec<Buf> = args.map(|(&arg, info)| tensors.lend(arg, info.written, step)).collect();
    let launch = Launch::new(stage.kernel, isa, &ints, &stage.floats, &bufs)
        .and_then(|launch| launch.in_turn(stage.turn))
        .map_err(|source| ExecError::Launch { stage: stage.name.clone(), source })?;
    let work = launch.work() as usize;
    let threads = if is_little(stage, tensors, step, work) { 1 } else { pool.threads() };
    let shares = if threads == 1 { 1 } else { SHARES };
    let taken: Vec<AtomicUsize> = (0..threads).map(|_| AtomicUsize::new(0)).collect();
    let job = |thread: usize| {
        assert!(float_mode_is_ieee(), "the floating-point mode of the thread was changed");
        for owner in (0..threads).map(|step| (thread + step) % threads) {
            loop {
                let part = match taken[owner].fetch_add(1, Ordering::Relaxed) {
                    number if number < shares => share(work, threads * shares, owner * shares + number),
                    _ => break,
                };
                if !part.is_empty() {
                    // SAFETY: `Cpu::new` has checked that the instruction set is available; shares are disjoint; and the
                    // pool runs one job at a time.
                    unsafe { launch.run(part.start as i32, part.end as i32) };
                }
            }
        }
    };
    let done = if threads == 1 { pool.run_alone(&job) } else { pool.run(&job) };
    done.map_err(|source| ExecError::Panicked { stage: stage.name.clone(), source })
}

/// Whether one thread is done with a stage before the others would have heard of it.
fn is_little(stage: &BoundStage, tensors: &Tensors, step: &Step, work: usize) -> bool {
    let looks_up = stage.args.iter().any(|arg| matches!(tensors.buffers[arg.buffer.0].role, Role::Input));
    let rows = |buffer: &Buffer| buffer.row_bytes(step).unwrap_or(usize::MAX).saturating_mul(step.tokens);
    let bytes = |(&arg, info): (&Arg, &BufferInfo)| {
        let buffer = &tensors.buffers[arg.buffer.0];
        match buffer.role {
            // Only the rows of the step's tokens are read.
            Role::Table(_) => rows(buffer),
            Role::Weight(_) if looks_up => rows(buffer),
            // What is written is as much as is read.
            Role::Cache if info.written => 0,
            _ => tensors.weights.part(buffer, arg, step).1,
        }
    };
    work <= 1 || stage.args.iter().zip(stage.kernel.buffers).map(bytes).fold(0, usize::saturating_add) <= LITTLE
}

impl Tensors<'_> {
    /// A copy of a buffer's bytes.
    fn owned(&self, id: BufferId) -> Result<Memory, ExecError> {
        let bytes = self.slots[id.0].bytes();
        let mut memory = take(&self.buffers[id.0], bytes.len())?;
        memory.bytes_mut().copy_from_slice(bytes);
        Ok(memory)
    }

    /// A planted fault.
    fn edit(&mut self, id: BufferId, edits: &[Edit]) {
        let Slot::Owned(memory) = &mut self.slots[id.0] else { return };
        for &edit in edits {
            match edit {
                Edit::Flip { at } => memory.bytes_mut()[at] = flip(memory.bytes()[at]),
                Edit::Copy { from, to, len } => memory.bytes_mut().copy_within(from..from + len, to),
            }
        }
    }

    /// The memory of an argument in this step.
    fn lend(&self, arg: Arg, written: bool, step: &Step) -> Buf<'_> {
        let (buffer, slot) = (&self.buffers[arg.buffer.0], &self.slots[arg.buffer.0]);
        let (offset, len) = self.weights.part(buffer, arg, step);
        let writable = written && matches!(slot, Slot::Owned(_));
        // SAFETY: the slot has memory for the largest step, and `Cpu::step` has checked that this is none larger.
        // It is reached by pointer only while a step runs.
        unsafe { Buf::raw(slot.ptr().add(offset), len, writable) }
    }
}

/// The memory of all buffers for the largest step.
fn load<'m>(
    plan: &Plan,
    model: &'m Gguf,
    weights: &Weights,
    limits: &Step,
    pool: &mut Pool,
    loading: Loading,
) -> Result<Vec<Slot<'m>>, ExecError> {
    let packed = plan.buffers.iter().enumerate().filter(|(i, _)| weights.packing(*i).is_some());
    let bytes = packed.map(|(_, buffer)| Ok(weight(buffer, model, limits)?.len()));
    let total = bytes.sum::<Result<usize, ExecError>>()?;
    loading(0, total);
    let mut slots = Vec::new();
    for (i, buffer) in plan.buffers.iter().enumerate() {
        slots.push(match (&buffer.role, weights.packing(i)) {
            (Role::Weight(_), None) => Slot::Mapped(weight(buffer, model, limits)?),
            (Role::Weight(_), Some(packing)) => {
                let data = weight(buffer, model, limits)?;
                let bytes = packing.bytes();
                let mut memory = Memory::in_large_pages(bytes).ok_or_else(|| no_memory(buffer, bytes))?;
                let panicked = |source| ExecError::Panicked { stage: format!("loading {}", buffer.name), source };
                packing.pack(data, memory.bytes_mut(), pool).map_err(panicked)?;
                model.release(data);
                loading(data.len(), total);
                Slot::Owned(memory)
            }
            (role, _) => {
                let mut memory = take(buffer, most_bytes(buffer, limits)?)?;
                if let Role::Table(row) = role {
                    fill_table(buffer, row, limits, memory.bytes_mut());
                }
                Slot::Owned(memory)
            }
        });
    }
    Ok(slots)
}

fn take(buffer: &Buffer, bytes: usize) -> Result<Memory, ExecError> {
    Memory::zeroed(bytes).ok_or_else(|| no_memory(buffer, bytes))
}

fn no_memory(buffer: &Buffer, bytes: usize) -> ExecError {
    ExecError::Memory { buffer: buffer.name.clone(), bytes: bytes.to_string() }
}
