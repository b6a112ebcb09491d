//! CUDA code: prints a loop-IR function as CUDA C++ for NVRTC.
//!
//! The lanes of a function are neighbouring threads of a warp, a *group*; the groups of the grid share the work items.
//! Values that are the same in all lanes are computed by all of them and stored by the first.
mod expr;
mod stmt;
mod text;

use crate::ir::Kernel;
use crate::loop_ir::{Func, Stmt};
use crate::lower::{Illegal, lower};
use crate::places::Places;
use crate::schedule::Schedule;

/// A kernel as CUDA C++: `extern "C" __global__ void NAME(buffers.., ints.., floats.., int work)`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// The whole translation unit.
    pub text: String,
    /// Name of the entry.
    pub entry: String,
    /// Threads of a group.
    pub lanes: usize,
    /// Bytes of dynamic shared memory that each group of a CTA needs.
    pub shared_per_group: usize,
}

/// What every translation unit begins with.
pub const PRELUDE: &str = include_str!("prelude.cu");
/// Its name in compiled code.
pub const PRELUDE_FILE: &str = "prelude.cu";
/// What the names of files in compiled code begin with: the compiler puts its current folder before a name that is not
/// absolute, and code must be the same on every machine.
pub const ROOT: &str = "/kgen/";

/// Numbers of lanes that a group can have.
pub const WIDTHS: [usize; 6] = [1, 2, 4, 8, 16, 32];

/// A kernel under a schedule, or what is in the way.
pub fn source(kernel: &Kernel, schedule: &Schedule, places: &Places) -> Result<Source, Illegal> {
    emit(&lower(kernel, schedule)?, schedule.threads, places)
}

/// Prints a function for CTAs of `threads`, or says what is in the way. `#line` says where in the source a statement comes
/// from, as far as `places` knows.
pub fn emit(func: &Func, threads: usize, places: &Places) -> Result<Source, Illegal> {
    let illegal = |reason: String| Illegal { kernel: func.name.clone(), reason };
    if !WIDTHS.contains(&func.width) || !threads.is_multiple_of(func.width.max(32)) || threads > 1024 {
        return Err(illegal(format!("no CTA of {threads} threads in groups of {}", func.width)));
    }
    let arrays: usize = func.body.iter().map(|s| if let Stmt::Array { len, .. } = s { *len } else { 0 }).sum();
    // A group of one thread keeps its arrays for itself.
    let shared = if func.width > 1 { 4 * arrays.next_multiple_of(4) } else { 0 };
    let body = stmt::Printer::new(func, shared, places).function(threads).map_err(illegal)?;
    Ok(Source {
        text: format!("#line 1 \"{ROOT}{PRELUDE_FILE}\"\n{PRELUDE}\n#line 1 \"{ROOT}{}.cu\"\n{body}", func.name),
        entry: func.name.clone(),
        lanes: func.width,
        shared_per_group: shared,
    })
}

/// Whether a schedule can be used for a kernel on CUDA, with the reason if not.
pub fn legal(kernel: &Kernel, schedule: &Schedule) -> Result<(), Illegal> {
    source(kernel, schedule, &Places::default()).map(|_| ())
}
