//! What is tuned: a schedule of a kernel's list, with the sizes that it serves.
use super::model::Need;
use crate::inspect::counts;
use crate::ir::{Kernel, Ty};
use crate::library::{Library, LibraryError};
use crate::schedule::Schedule;
use crate::target::Target;

/// A schedule of a kernel's list, and what it is for.
#[derive(Clone, Debug)]
pub struct Task<'l> {
    /// The kernel.
    pub kernel: &'l Kernel,
    /// What the schedule is for.
    pub target: Target,
    /// Its place in the kernel's list.
    pub entry: usize,
    /// The schedule as it is shipped.
    pub shipped: Schedule,
    /// Sizes that it serves: dims and integer scalars, and how often a token needs them.
    pub sizes: Vec<(Vec<i32>, f64)>,
    /// Bytes that are read and written at least, at all sizes together, each as often as a token needs them.
    pub bytes: f64,
}

/// The tasks of a kernel: its schedules that serve one of these needs, of which each has a weight: how often a token has it.
pub fn tasks<'l>(
    library: &'l Library,
    kernel: &'l Kernel,
    target: Target,
    needs: &[(Need, f64)],
) -> Result<Vec<Task<'l>>, LibraryError> {
    let list = library.schedule(&kernel.name, target)?;
    let mut served: Vec<Vec<(Vec<i32>, f64)>> = vec![Vec::new(); list.len()];
    for (need, weight) in needs.iter().filter(|(need, _)| need.kernel == kernel.name) {
        let ints = integers(kernel, need)?;
        let entry = list.iter().position(|schedule| schedule.fits(kernel, &ints)).unwrap_or(list.len() - 1);
        match served[entry].iter_mut().find(|(other, _)| *other == ints) {
            Some((_, times)) => *times += weight,
            None => served[entry].push((ints, *weight)),
        }
    }
    let mut tasks = Vec::new();
    for (entry, (shipped, sizes)) in list.into_iter().zip(served).enumerate() {
        let mut bytes = 0.0;
        for (ints, times) in &sizes {
            let counts = counts::count(kernel, ints).map_err(LibraryError)?;
            let all = counts.buffers.iter().fold(0u64, |sum, b| sum.saturating_add(b.bytes));
            bytes += all as f64 * times;
        }
        if !sizes.is_empty() {
            tasks.push(Task { kernel, target, entry, shipped, sizes, bytes });
        }
    }
    Ok(tasks)
}

/// The sizes of a need in the kernel's order.
fn integers(kernel: &Kernel, need: &Need) -> Result<Vec<i32>, LibraryError> {
    let is_int = |v: &&crate::ir::Var| matches!(kernel.vars[v.0 as usize].ty, Ty::Int { .. });
    let parameters = kernel.dims.iter().chain(&kernel.scalars).filter(is_int);
    let given = |name: &str| need.sizes.iter().find(|(given, _)| *given == name).map(|(_, n)| *n);
    let value = |v: &crate::ir::Var| {
        let name = &kernel.vars[v.0 as usize].name;
        let missing = || LibraryError(format!("a model says nothing of the size `{name}` of `{}`", kernel.name));
        let value = given(name).ok_or_else(missing)?;
        i32::try_from(value).map_err(|_| LibraryError(format!("`{}`: {name} = {value} is too large", kernel.name)))
    };
    parameters.map(value).collect()
}

impl Task<'_> {
    /// Name of the kernel, with the sizes that the schedule is for.
    pub fn name(&self) -> String {
        let most: Vec<String> = self.shipped.most.iter().map(|(name, most)| format!("{name}<={most}")).collect();
        if most.is_empty() { self.kernel.name.clone() } else { format!("{} {}", self.kernel.name, most.join(",")) }
    }

    /// Bytes a second where a token takes so many microseconds.
    pub fn rate(&self, us: f64) -> f64 {
        self.bytes / us * 1e6
    }
}
