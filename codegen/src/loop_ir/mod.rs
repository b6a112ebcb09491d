//! The loop IR: how a kernel is run, down to loops, registers, lanes and instructions.
//!
//! This page is the whole of it. Lowering makes it from the algorithm IR and a schedule; a printer turns it into source
//! for one target; [`interp`] runs it with lanes in lockstep and workers in random turns, so that a lowering is tested on any machine.
//!
//! Workers (threads of a CPU, groups of threads on a GPU) share the items of the [`Bind::Work`] loop and run at once. What they
//! tell each other goes through [`Mem::Scratch`] and [`Stmt::Arrive`], and through nothing else. A *team* of workers may do
//! each item together: its members share arrays ([`Mem::Shared`]), and meet at [`Stmt::Barrier`] and where they arrive as one.
//!
//! A worker is `width` lanes in lockstep inside its [`Bind::Simd`] loop. An expression is *uniform* (one value)
//! or *varying* (one value a lane): varying are the lane variable, loads with a lane stride, variables declared so, and
//! whatever is computed from them.
mod access;
pub mod ahead;
mod divergence;
mod early;
pub mod interp;
pub(crate) mod lanes;
pub mod memory;
pub mod print;
pub mod registers;
pub(crate) mod rename;
mod shared;
mod team;
pub mod tidy;
mod walk;
mod work;
mod worker;

pub use work::Sizes;

use crate::ir::{BinOp, Buffer, Expr as AlgExpr, Scalar, Span, UnOp};
use crate::layout::Layout;

/// A variable of a function; [`Func::vars`] says what it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Var(pub u32);

/// What a value is, per lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Ty {
    /// IEEE binary32.
    F32,
    /// Never leaves its range: nothing wraps.
    I32,
    /// Byte offsets; never varying.
    I64,
    /// A truth value.
    Bool,
    /// Four unsigned bytes, lowest address in the lowest byte.
    U8x4,
    /// Four signed bytes.
    I8x4,
    /// Two signed halves of 16 bits, the lower address in the lower half.
    I16x2,
}

/// Name, type and place of a [`Var`].
#[derive(Clone, Debug)]
pub struct VarInfo {
    /// What the source calls it; need not be unique.
    pub name: String,
    /// Of each lane.
    pub ty: Ty,
    /// One value a lane.
    pub varying: bool,
    /// Where the source says what it is computed from.
    pub span: Span,
}

/// A lowered kernel, with the parameters of the algorithm IR; or two that are fused, with those of both (see [`crate::lower::fuse`]).
#[derive(Clone, Debug)]
pub struct Func {
    /// That of the kernel, with what the schedule adds.
    pub name: String,
    /// Lanes of the `Simd` loop; 1 where there is none.
    pub width: usize,
    /// Members of the `Team` loop; 1 where there is none.
    pub team: usize,
    /// Loads of an innermost loop that should be under way at once: printers write out as many of its iterations.
    pub in_flight: usize,
    /// CTAs that registers of a multiprocessor are shared by; 0 where that is for the compiler to say.
    pub resident: usize,
    /// How many of the integer parameters are dims.
    pub dims: usize,
    /// Variables 0..ints are the integer parameters: dims, then integer scalars.
    pub ints: usize,
    /// Variables ints..ints+floats are the float scalars.
    pub floats: usize,
    /// As in the kernel.
    pub buffers: Vec<Buffer>,
    /// How each of them lies in memory where its rows lie side by side; without an entry they do not.
    pub layouts: Vec<Option<Layout>>,
    /// As in the kernel: what the launch checks. Of fused kernels each has its own.
    pub requires: Vec<(AlgExpr, String)>,
    /// Number of work items: the extent of the `Work` loop, over the integer parameters.
    pub work: Expr,
    /// What workers share beside the buffers.
    pub scratch: Option<Scratch>,
    /// What it does.
    pub body: Vec<Stmt>,
    /// Every [`Var`].
    pub vars: Vec<VarInfo>,
}

/// Memory in which workers leave partial results for each other, and counters of who has arrived.
#[derive(Clone, Debug)]
pub struct Scratch {
    /// Bytes for each work item.
    pub item_bytes: usize,
    /// Number of counters, over the integer parameters. They are 0 before and after a call.
    pub counters: Expr,
}

/// Memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mem {
    /// A buffer parameter.
    Buffer(usize),
    /// An array of the worker, see [`Stmt::Array`].
    Local(Var),
    /// An array of the team.
    Shared(Var),
    /// What the workers share, see [`Scratch`].
    Scratch,
}

/// How a loop's iterations are run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Bind {
    /// One after the other.
    Serial,
    /// One after the other, and it stays a loop: compilers are kept from writing its iterations out.
    Rolled,
    /// Shared by workers, which run at once. On a CPU, a call runs the part `lo..hi` that it is given.
    Work,
    /// The first item of the worker in the `Work` loop, where it has one; in front of it. On a GPU, what is inside does not wait
    /// for the launch before: it only asks for memory of buffers early, at addresses made of dims, and for none outside of them.
    First,
    /// At once, by the members of a team; the extent is their number, the variable the member. Right inside the `Work` or `First` loop.
    Team,
    /// At once, in lockstep; the extent is the function's width, the variable is the lane.
    Simd,
}

/// Whose an array is, or who arrives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Owner {
    /// Each worker by itself.
    Worker,
    /// The members of a team together.
    Team,
}

/// Statements.
#[allow(missing_docs)]
#[derive(Clone, Debug)]
pub enum Stmt {
    /// A value, never changed.
    Let {
        var: Var,
        value: Expr,
    },
    /// A register, changed by `Set`.
    Reg {
        var: Var,
        init: Expr,
    },
    Set {
        var: Var,
        value: Expr,
    },
    /// An array of numbers, uniform, of no value at first; at the top of the function.
    Array {
        var: Var,
        scalar: Scalar,
        len: usize,
        of: Owner,
    },
    /// `var` runs from `lo` to below `hi` by `step`.
    For {
        bind: Bind,
        var: Var,
        lo: Expr,
        hi: Expr,
        step: i32,
        body: Vec<Stmt>,
    },
    /// The condition is uniform.
    If {
        cond: Expr,
        then: Vec<Stmt>,
        other: Vec<Stmt>,
    },
    /// Counts one of `of` arrivals at a counter (both uniform); `last` is whether it was the last, which sets the counter to 0 again.
    /// What a worker wrote before it arrived can be read by those that arrive later; one of one hears of nobody. The members of a
    /// team that arrives meet here as at a barrier and count once: what any of them wrote counts as written before, what others
    /// did before they arrived all of them hear of, and `last` is the same for all.
    Arrive {
        last: Var,
        counter: Expr,
        of: Expr,
        by: Owner,
    },
    /// Waits until `arrivals` have come at a counter, and counts its team as one of `of` itself (all uniform): the last of these sets
    /// the counter to 0 again. The members of the team meet here as at a barrier, and hear of what those did that have arrived.
    AwaitArrivals {
        counter: Expr,
        arrivals: Expr,
        of: Expr,
    },
    /// All members of the team meet, each at this statement and in the same item. What a member did before it, all others can
    /// rely on after it.
    Barrier,
    /// Begins to copy `len` neighbouring numbers a lane from a buffer to an array of the team, as they are. Until the worker's
    /// next `Await` nobody may touch those in the array, nor write those in the buffer. 4, 8 or 16 bytes, at multiples of that. With
    /// `only`, a varying truth value, lanes in which it is false copy nothing.
    Copy {
        to: Access,
        from: Access,
        len: usize,
        only: Option<Expr>,
    },
    /// Waits until all copies that the worker has begun are done.
    Await,
    /// Asks for bytes that will be read soon. Where they are not, nothing happens.
    Prefetch {
        from: Access,
        bytes: usize,
    },
    /// Writes a number (a varying value: one a lane, each to its place). A stored NaN is canonical. With `only`, a varying truth
    /// value, lanes in which it is false write nothing.
    Store {
        to: Access,
        value: Expr,
        only: Option<Expr>,
        span: Span,
    },
    /// Changes varying registers by an instruction of the table that all lanes do together, such as a product of matrices of which
    /// each lane has some elements.
    Accumulate {
        intrinsic: &'static str,
        registers: Vec<Var>,
        args: Vec<Expr>,
        span: Span,
    },
}

/// Numbers in memory: lane `l` touches `addr + l * lane_stride` and its `offset` (bytes from the start of `mem`).
#[derive(Clone, Debug)]
pub struct Access {
    /// Where.
    pub mem: Mem,
    /// Uniform, `I64`.
    pub addr: Box<Expr>,
    /// 0: all lanes share one address, and a load is uniform, unless there is an `offset`.
    pub lane_stride: i32,
    /// Varying, `I32`: how many bytes further each lane's number is, where lanes do not lie evenly.
    pub offset: Option<Box<Expr>>,
    /// What one number is.
    pub scalar: Scalar,
}

/// Expressions. Conversions of halves belong to loads and stores: a load of `F16` or `Bf16` gives `F32`, one of an integer `I32`.
#[allow(missing_docs)]
#[derive(Clone, Debug)]
pub enum Expr {
    /// `I32`.
    Int(i32),
    /// `I64`.
    Long(i64),
    Float(f32),
    Bool(bool),
    Var(Var),
    Load(Access),
    /// Four neighbouring bytes a lane as `U8x4` or `I8x4`, or two neighbouring `i16` as `I16x2`, by `scalar`.
    LoadPack(Access),
    /// `I32` to `I64`.
    Widen(Box<Expr>),
    /// One byte value, in 0..=255, in all four bytes of a `U8x4`.
    Splat4(Box<Expr>),
    /// Four `I32`, which lie in 0..=255, as the bytes of a `U8x4`, the first in the lowest.
    Bytes(Vec<Expr>),
    /// Two `I32`, which lie in `i16`, as the lower and the upper half of an `I16x2`.
    Pair(Box<Expr>, Box<Expr>),
    /// As in the algorithm IR, per lane.
    Unary(UnOp, Box<Expr>),
    /// As in the algorithm IR, per lane; on packs per byte (`And`, `Or`, `Xor`, `Add`, `Sub`, and `Shl`, `Shr` by a uniform `I32`).
    Binary(BinOp, Box<Expr>, Box<Expr>),
    Fma(Box<Expr>, Box<Expr>, Box<Expr>),
    Select(Box<Expr>, Box<Expr>, Box<Expr>),
    /// The value of lane `l ^ mask`.
    Shuffle {
        mask: u32,
        value: Box<Expr>,
    },
    /// The value of lane 0: uniform.
    First(Box<Expr>),
    /// An instruction of the table in [`crate::instructions`], by name.
    Call {
        intrinsic: &'static str,
        args: Vec<Expr>,
        span: Span,
    },
}

impl Access {
    /// Whether each lane touches a place of its own.
    pub fn varies(&self) -> bool {
        self.lane_stride != 0 || self.offset.is_some()
    }

    /// What the place is computed from.
    pub fn exprs(&self) -> impl Iterator<Item = &Expr> {
        std::iter::once(&*self.addr).chain(self.offset.as_deref())
    }
}
