//! What candidates of a task are compared with: small inputs with what the interpreter makes of them, and the sizes of the task
//! with what the shipped schedule makes of them.
use super::bench::BenchError;
use super::cases::{self, Case, at_sizes};
use super::device::{Candidate, Device};
use super::journal;
use super::task::Task;
use super::timing::Timing;
use crate::data::{self, Filler};
use crate::ir::Kernel;
use crate::library::Library;
use crate::loop_ir::Func;
use crate::places::Places;

/// Cases that the loop IR's interpreter runs before a candidate is compiled: the smallest ones.
const INTERPRETED: usize = 2;

/// The shipped schedule of a task and inputs, on a device.
pub struct Reference<'t, D: Device> {
    task: &'t Task<'t>,
    device: &'t D,
    /// The code of the shipped schedule.
    pub shipped: D::Code,
    /// The key of its verdict.
    pub key: String,
    cases: Vec<(Case, D::Placed)>,
    sizes: Vec<Size<D::Placed>>,
}

/// Some sizes of a task.
struct Size<P> {
    /// How often a token needs them.
    times: f64,
    inputs: P,
    /// What the shipped schedule makes of them.
    outputs: Vec<Vec<u8>>,
}

impl<'t, D: Device> Reference<'t, D> {
    /// Brings inputs to the device, and compares the shipped schedule's bits with the interpreter's.
    pub fn new(library: &Library, task: &'t Task<'t>, device: &'t D) -> Result<Reference<'t, D>, BenchError> {
        let failed = |e: String| BenchError::Failed(format!("{}: {e}", task.name()));
        let differs = |difference: String| BenchError::Shipped { task: task.name(), difference };
        let (kernel, places, filler) = (task.kernel, Places::new(&library.sources), Filler::new(&library.sources));
        let func = task.target.lower(kernel, &task.shipped).map_err(failed)?;
        let candidate = Candidate { schedule: task.shipped.clone(), func };
        let text = candidate.text(task.target, &places).map_err(failed)?;
        let (name, compiler) = device.names();
        let key = journal::key(&text, &task.sizes, name, compiler);
        let small = cases::small(&filler, kernel, &task.shipped).map_err(failed)?;
        interpreted(task, small.iter(), &candidate.func).map_err(differs)?;
        let shipped = compile(device, kernel, &candidate).map_err(failed)?;
        let place = |case: Case| {
            let placed = device.place(kernel, &candidate.func, &case.inputs, false)?;
            Ok((case, placed))
        };
        let cases = small.into_iter().map(place).collect::<Result<_, String>>().map_err(failed)?;
        let mut reference = Reference { task, device, shipped, key, cases, sizes: Vec::new() };
        reference.bits(&reference.shipped).map_err(differs)?;
        for (number, (ints, times)) in task.sizes.iter().enumerate() {
            let inputs = cases::inputs(&filler, kernel, ints, false, number as u64).map_err(failed)?;
            let inputs = device.place(kernel, &candidate.func, &inputs, true).map_err(failed)?;
            let outputs = device.run(&reference.shipped, &inputs).map_err(differs)?;
            reference.sizes.push(Size { times: *times, inputs, outputs });
        }
        Ok(reference)
    }

    /// Whether the loop IR's interpreter finds the right bits, and nothing that no kernel may do.
    pub fn interpreted(&self, func: &Func) -> Result<(), String> {
        interpreted(self.task, self.cases.iter().map(|(case, _)| case), func)
    }

    /// Whether code gives the bits that it must, at small sizes and at those of the task.
    pub fn bits(&self, code: &D::Code) -> Result<(), String> {
        let kernel = self.task.kernel;
        for (case, placed) in &self.cases {
            let given = self.device.run(code, placed)?;
            at_sizes(&case.inputs.ints, data::compare(kernel, &case.expected, &given))?;
        }
        for (size, (ints, _)) in self.sizes.iter().zip(&self.task.sizes) {
            let given = self.device.run(code, &size.inputs)?;
            at_sizes(ints, data::compare(kernel, &size.outputs, &given))?;
        }
        Ok(())
    }

    /// Whether the device still runs what it ran before.
    pub fn is_alive(&self) -> Result<(), String> {
        self.cases.iter().take(1).try_for_each(|(_, placed)| self.device.run(&self.shipped, placed).map(drop))
    }

    /// The time of all sizes, each as often as a token needs it.
    pub fn time(&self, code: &D::Code) -> Result<Timing, BenchError> {
        let mut all = Timing::default();
        for size in &self.sizes {
            let samples = self.device.samples(code, &size.inputs);
            let time = samples.and_then(|s| Timing::of(&s).ok_or_else(|| "nothing was measured".into()));
            all += time.map_err(|e| BenchError::Failed(format!("{}: {e}", self.task.name())))?.times(size.times);
        }
        Ok(all)
    }
}

/// Compiles one candidate.
pub fn compile<D: Device>(device: &D, kernel: &Kernel, candidate: &Candidate) -> Result<D::Code, String> {
    device.compile(kernel, &[candidate]).pop().unwrap_or_else(|| Err("it was not compiled".into()))
}

fn interpreted<'c>(task: &Task, cases: impl Iterator<Item = &'c Case>, func: &Func) -> Result<(), String> {
    let mut few = cases.take(INTERPRETED);
    few.try_for_each(|case| cases::interpreted(task.kernel, task.target, func, case))
}
