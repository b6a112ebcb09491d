//! From the algorithm IR and a schedule to the loop IR.
//!
//! Iterations that a tile does side by side are lowered together: every step evaluates an expression for all of them at
//! once ([`Env`] by [`Env`]), and equal operations are emitted once, so that what they share is loaded and decoded once.
mod argmax;
mod axis;
mod build;
mod early;
mod fuse;
mod halves;
mod index;
mod lanes;
mod map;
mod matrix;
mod matrix_dot;
mod matrix_sum;
mod merge;
mod nest;
mod overrun;
mod own;
mod pack;
mod parts;
mod recompute;
mod reduce;
mod rows;
mod splice;
mod split_scales;
mod stage;
mod stmt;
mod sum;
mod sum_lanes;
mod team;
mod terms;
mod tile;
mod value;

pub use fuse::{MOST_ELEMENTS, Scheduled, fuse};
pub use nest::{merge_axes, outer_axes, reductions};
pub use recompute::recompute;

use crate::ir::{self, Kernel};
use crate::layout::Layout;
use crate::loop_ir::{self, Func};
use crate::schedule::Schedule;
use std::collections::{HashMap, HashSet};

/// Why a schedule cannot be used for a kernel on a target.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{kernel}: {reason}")]
pub struct Illegal {
    /// The kernel's name.
    pub kernel: String,
    /// What is in the way.
    pub reason: String,
}

/// Lowers a kernel, or says why the schedule is not legal for it.
pub fn lower(kernel: &Kernel, schedule: &Schedule) -> Result<Func, Illegal> {
    let mut l = Lower::new(kernel, schedule);
    l.layouts = l.layouts_of(schedule)?;
    let work = l.nest()?;
    let mut func = Func {
        name: name(kernel, schedule),
        width: schedule.width,
        team: schedule.team,
        in_flight: schedule.in_flight,
        resident: schedule.resident,
        dims: kernel.dims.len(),
        ints: l.ints,
        floats: l.floats,
        buffers: kernel.buffers.clone(),
        layouts: std::mem::take(&mut l.layouts),
        requires: kernel.requires.clone(),
        work,
        scratch: l.scratch.take(),
        body: l.finish(),
        vars: l.vars,
    };
    loop_ir::registers::keep_in_registers(&mut func);
    if schedule.ahead > 0 {
        loop_ir::ahead::load_ahead(&mut func, schedule.ahead);
    }
    loop_ir::tidy::tidy(&mut func);
    Ok(func)
}

/// The function's name: that of the kernel, with the sizes that the schedule is for.
fn name(kernel: &Kernel, schedule: &Schedule) -> String {
    let sizes: String = schedule.most.iter().map(|(dim, most)| format!("_{}{most}", dim.to_lowercase())).collect();
    format!("{}{sizes}", kernel.name)
}

/// An operand: a variable or a constant.
#[derive(Clone, Debug)]
struct Op {
    e: loop_ir::Expr,
    ty: loop_ir::Ty,
    varying: bool,
}

/// What a value of the algorithm IR became.
#[derive(Clone, Debug)]
enum Val {
    Op(Op),
    /// `base + stride * lane`; `base` is uniform.
    Affine {
        base: Op,
        stride: i32,
    },
    /// `base + at`, where `base` is uniform and `at`, which varies, is small. Where it is an iteration of rows or columns, which one.
    Lanes {
        base: Op,
        at: Op,
        share: Option<usize>,
    },
    /// An integer that is the sum of this over all lanes.
    Partial(Op),
    /// An integer that is `scale` times the sum of both halves of all of these.
    Halves {
        scale: Op,
        halves: Vec<Op>,
    },
    /// An array of the worker or of the team.
    Array(loop_ir::Var),
    /// An array that a part of a merge has left in scratch memory: float `at` from `base` on is its first.
    Left {
        base: Op,
        at: usize,
        len: usize,
        /// The number of its elements, where it is the same for all parts.
        count: Option<Op>,
    },
}

/// Values of variables, for one of the iterations that are lowered together.
type Env = HashMap<ir::Var, Val>;

type Lowered<T> = Result<T, Illegal>;

struct Lower<'a> {
    kernel: &'a Kernel,
    schedule: &'a Schedule,
    vars: Vec<loop_ir::VarInfo>,
    ints: usize,
    floats: usize,
    /// Of the buffers whose rows lie side by side.
    layouts: Vec<Option<Layout>>,
    /// The axis of which each lane does an iteration, and its end, where that is an outer one.
    rows: Option<(ir::Var, Op)>,
    /// The axes that are rows and columns of products of matrices.
    matrix: matrix::Matrix,
    /// Buffers whose blocks are copied for each term of a sum, and the blocks that are there.
    terms: Vec<terms::Term>,
    here: Vec<terms::Here>,
    /// Loops that every item is inside of.
    outer_loops: usize,
    /// What workers share, where a merge is spread over them.
    scratch: Option<loop_ir::Scratch>,
    /// Array declarations, which go to the top.
    arrays: Vec<loop_ir::Stmt>,
    /// Statement lists under construction, innermost last, each with what it has computed already.
    blocks: Vec<Block>,
    /// What names stand for.
    definitions: HashMap<loop_ir::Var, loop_ir::Expr>,
    /// Registers that change.
    registers: HashSet<loop_ir::Var>,
    /// Arrays that change: the states of merges.
    states: HashSet<loop_ir::Var>,
    /// The lane variable.
    lane: Option<loop_ir::Var>,
    /// Whether the lanes do different iterations here.
    spread: bool,
    /// What the members of a team share.
    team: team::Team,
    /// Buffers whose rows are still to be copied to the team's memory, and the rows that are there.
    stage: Vec<stage::Staged>,
    copied: stage::Copied,
    /// Place in the source of what is being lowered.
    span: ir::Span,
}

#[derive(Default)]
struct Block {
    stmts: Vec<loop_ir::Stmt>,
    /// Whether it is the body of a loop.
    repeats: bool,
    known: HashMap<String, Op>,
}
