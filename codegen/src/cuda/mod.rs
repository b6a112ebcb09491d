//! CUDA code: prints a loop-IR function as CUDA C++ for NVRTC.
//!
//! The lanes of a function are neighbouring threads of a warp, a *group*; the groups of the grid share the work items. Where
//! groups form teams, a CTA is one team, and the CTAs share the work items.
//! Values that are the same in all lanes are computed by all of them and stored by the first.
mod apart;
mod expr;
mod in_flight;
mod in_memory;
mod stmt;
mod text;
mod unit;

pub use unit::{Part, unit};

use crate::loop_ir::{Bind, Func, Owner, Stmt};
use crate::lower::Illegal;
use crate::places::Places;

/// A kernel as CUDA C++. [`unit`] makes a translation unit of it.
///
/// Its parameters are buffers, dims, integer scalars, floats, `scratch` and `counters`. Dims are `int`s. Integer scalars are
/// pointers to them, so that a launch that was recorded can be repeated for another position. `scratch` and `counters` are
/// there only where [`Source::scratch_per_item`] is not 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// Name of the entry.
    pub entry: String,
    /// Type and name of each parameter.
    pub parameters: Vec<(String, String)>,
    /// What CTA `cta` of `ctas` does.
    pub body: String,
    /// Threads of a CTA.
    pub threads: usize,
    /// CTAs for which a multiprocessor should have registers at a time, or 0.
    pub resident: usize,
    /// Work items that a CTA does at once.
    pub at_once: usize,
    /// Bytes of dynamic shared memory that a CTA needs.
    pub shared: usize,
    /// Bytes of scratch memory for each work item.
    pub scratch_per_item: usize,
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

/// Bytes of shared memory that a CTA can have on every GPU.
const MOST_SHARED: usize = 99 << 10;

/// Whose array it is, and its bytes with what fills it up so that the next one is aligned.
fn array(s: &Stmt) -> Option<(Owner, usize)> {
    match s {
        Stmt::Array { scalar, len, of, .. } => Some((*of, (scalar.bytes() * len).next_multiple_of(16))),
        _ => None,
    }
}

/// Whether memory is asked for in the middle of the work.
fn prefetches(stmts: &[Stmt]) -> bool {
    stmts.iter().any(|s| match s {
        Stmt::Prefetch { .. } => true,
        Stmt::For { bind: Bind::First, .. } => false,
        s => s.lists().into_iter().any(|list| prefetches(list)),
    })
}

/// Prints a function for CTAs of `threads`, or says what is in the way. `#line` says where in the source a statement comes
/// from, as far as `places` knows.
pub fn emit(func: &Func, threads: usize, places: &Places) -> Result<Source, Illegal> {
    let illegal = |reason: String| Illegal { kernel: func.name.clone(), reason };
    let fits = if func.team > 1 { threads == func.team * func.width } else { threads.is_multiple_of(32) };
    if !WIDTHS.contains(&func.width) || !fits || threads == 0 || threads > 1024 {
        let teams = if func.team > 1 { format!(" that are one team of {}", func.team) } else { String::new() };
        return Err(illegal(format!("no CTA of {threads} threads in groups of {}{teams}", func.width)));
    }
    if let Some(exchange) = func.misplaced_exchange() {
        return Err(illegal(format!("lanes exchange numbers where only some may be: `{exchange}`")));
    }
    if let Some(other) = func.misplaced_in_front() {
        return Err(illegal(format!("in front of the items, memory is only asked for: `{other}`")));
    }
    if prefetches(&func.body) {
        return Err(illegal(
            "a GPU asks for weights before its items only: leave `prefetch` out of the schedule".into(),
        ));
    }
    let arrays =
        |owner| func.body.iter().filter_map(array).filter(|(of, _)| *of == owner).map(|(_, bytes)| bytes).sum();
    let (of_team, of_group): (usize, usize) = (arrays(Owner::Team), arrays(Owner::Worker));
    // A group of one thread keeps its arrays for itself.
    let of_group = if func.width > 1 { of_group } else { 0 };
    let groups = threads / func.width;
    let shared = of_team + of_group * groups;
    if shared > MOST_SHARED {
        return Err(illegal(format!(
            "the arrays of a CTA take {shared} bytes of shared memory, {MOST_SHARED} are there"
        )));
    }
    let printer = stmt::Printer::new(func, (of_team, of_group), places);
    Ok(Source {
        entry: func.name.clone(),
        parameters: printer.parameters(),
        body: printer.body(threads).map_err(illegal)?,
        threads,
        resident: func.resident,
        at_once: groups / func.team,
        shared,
        scratch_per_item: func.scratch.as_ref().map_or(0, |scratch| scratch.item_bytes),
    })
}
