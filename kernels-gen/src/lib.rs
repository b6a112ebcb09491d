//! The kernels and block formats of apr, and the CPU code generated from them.
mod float_mode;
mod fused;
mod inlined;
mod launch;
pub mod tuned;

mod generated {
    #![allow(missing_docs, nonstandard_style, unused, clippy::all)]
    include!(concat!(env!("OUT_DIR"), "/kernels.rs"));
}

pub use float_mode::float_mode_is_ieee;
pub use fused::Fused;
pub use generated::{FUSED, INLINED, KERNELS};
pub use inlined::{Edge, Inlined, Sources};
pub use kgen::{cpu::Isa, layout::Layout, target::Target};
pub use launch::{Buf, Extent, Launch, LaunchError, check_call, check_indices};

/// The CPU code of a kernel: does work items `lo..hi`.
///
/// `bufs` are the buffers in the order of [`Kernel::buffers`] (of any alignment), `ints` and `floats` the parameters in the
/// order of [`Kernel::ints`] and [`Kernel::floats`].
///
/// # Safety
/// All that [`Launch`] checks, and that the processor has the instructions.
pub type Code = unsafe fn(bufs: &[*mut u8], ints: &[i32], floats: &[f32], lo: i32, hi: i32);

/// A generated kernel: how it is called, what a call must satisfy, and its code for each instruction set.
#[derive(Debug)]
pub struct Kernel {
    /// Name with its instance, as `matvec_q4k`.
    pub name: &'static str,
    /// Names of the integer parameters: dims, then integer scalars.
    pub ints: &'static [&'static str],
    /// How many of `ints` are dims, each at least 1.
    pub dims: usize,
    /// Names of the float scalars.
    pub floats: &'static [&'static str],
    /// The buffers. A kernel never reads a buffer that it writes.
    pub buffers: &'static [BufferInfo],
    /// The conditions that the kernel states over its ints; the error is the text of the one that does not hold.
    pub require: fn(&[i32]) -> Result<(), &'static str>,
    /// For a buffer of indices: all its values lie in `0..bound`.
    pub index_below: fn(&[i32], buffer: usize) -> Option<i32>,
    /// Least and largest value of each of `ints`.
    pub ranges: &'static [(i32, i32)],
    /// How the buffers lie in memory: for each [`Isa`], then for CUDA.
    pub memory: [Memory; 4],
    /// The code for CPUs, by [`Isa`] as index: of each list the first that fits is used, and the last fits always. None where the
    /// kernel is for CUDA alone.
    pub cpu: [&'static [Cpu]; 3],
    /// The code for CUDA that was built in, see [`Kernel::codes`].
    pub shipped: &'static [Cuda],
}

/// How the buffers of a kernel lie in memory on one target.
#[derive(Debug)]
pub struct Memory {
    /// Given the ints, the exact length of each buffer in bytes, saturated at `u64::MAX`.
    pub bytes: fn(&[i32], &mut [u64]),
    /// Of the weights whose rows lie side by side; all other buffers are row-major.
    pub layouts: &'static [Option<Layout>],
}

/// The code of a kernel for one instruction set.
#[derive(Debug)]
pub struct Cpu {
    /// Whether it is for these integer parameters.
    pub fits: fn(&[i32]) -> bool,
    /// Number of work items, which threads may share in any way.
    pub work: fn(&[i32]) -> i32,
    /// What does them.
    pub code: Code,
}

impl Kernel {
    /// How the buffers lie in memory on a target.
    pub fn memory(&self, target: Target) -> &Memory {
        match target {
            Target::Cpu(isa) => &self.memory[isa as usize],
            Target::Cuda => &self.memory[Isa::ALL.len()],
        }
    }

    /// The code for an instruction set and these integer parameters; `turn` counts in turns over those that fit, and 0 is the
    /// first, which is meant to be used.
    pub fn cpu(&self, isa: Isa, ints: &[i32], turn: usize) -> &'static Cpu {
        in_turn(self.cpu[isa as usize], turn, |code| (code.fits)(ints))
    }

    /// The code for CUDA: the first that fits is used, and the last fits always.
    pub fn codes(&self) -> &'static [Cuda] {
        tuned::of(self.name).unwrap_or(self.shipped)
    }

    /// The same for CUDA.
    pub fn cuda(&self, ints: &[i32], turn: usize) -> &'static Cuda {
        in_turn(self.codes(), turn, |code| (code.fits)(ints))
    }
}

/// Of codes of which the last fits always, one of those that fit: `turn` counts in turns over them.
pub fn in_turn<C>(codes: &[C], turn: usize, fits: impl Fn(&C) -> bool) -> &C {
    let (last, others) = codes.split_last().expect("every kernel has code");
    let fitting = others.iter().filter(|code| fits(code));
    let turn = turn % (fitting.clone().count() + 1);
    fitting.chain([last]).nth(turn).unwrap_or(last)
}

/// What stands where a processor has no such instruction set, which is asked before any code runs.
///
/// # Safety
/// None is needed.
#[cfg(not(target_arch = "x86_64"))]
unsafe fn no_code(_: &[*mut u8], _: &[i32], _: &[f32], _: i32, _: i32) {
    unreachable!("the instruction set is not available");
}

/// The CUDA code of a kernel. CTAs take `at_once` work items in turn, until all are done.
#[derive(Clone, Debug)]
pub struct Cuda {
    /// Whether it is for these integer parameters.
    pub fits: fn(&[i32]) -> bool,
    /// Name of the entry.
    pub entry: &'static str,
    /// Types and names of the parameters in CUDA C++: buffers, dims, scalars, floats, scratch and counters, in the order of
    /// [`Kernel`], or of [`Fused`]. The integer scalars are pointers to `int`s; the last two are there where `scratch_per_item`
    /// is not 0.
    pub parameters: &'static [(&'static str, &'static str)],
    /// What CTA `cta` of `ctas` does, in CUDA C++. [`kgen::cuda::unit`] makes a translation unit of it.
    pub body: &'static str,
    /// The float operations of each line of the kernel's source, for the audit of what the compiler makes of it.
    pub allowed: &'static str,
    /// Work items that a CTA does at once.
    pub at_once: u32,
    /// Threads of a CTA.
    pub threads: u32,
    /// CTAs for which a multiprocessor should have registers at a time, or 0.
    pub resident: u32,
    /// Bytes of dynamic shared memory of a CTA.
    pub shared: u32,
    /// Bytes of scratch memory for each work item, in which groups leave partial results for each other.
    pub scratch_per_item: u32,
    /// How much there is to do.
    pub sizes: Sizes,
}

/// How much there is to do, for given integer parameters.
#[derive(Clone, Debug)]
pub enum Sizes {
    /// Of code that was built in.
    Built {
        /// Number of 32-bit counters.
        counters: fn(&[i32]) -> i32,
        /// Number of work items.
        work: fn(&[i32]) -> i32,
    },
    /// Of code that was lowered when the program started.
    Tuned(kgen::loop_ir::Sizes),
}

impl Cuda {
    /// Number of 32-bit counters that groups meet at: 0 before and after each launch.
    pub fn counters(&self, ints: &[i32]) -> i32 {
        match &self.sizes {
            Sizes::Built { counters, .. } => counters(ints),
            Sizes::Tuned(sizes) => sizes.counters(ints).unwrap_or(i32::MAX),
        }
    }

    /// Number of work items.
    pub fn work(&self, ints: &[i32]) -> i32 {
        match &self.sizes {
            Sizes::Built { work, .. } => work(ints),
            Sizes::Tuned(sizes) => sizes.work_items(ints).unwrap_or(i32::MAX),
        }
    }

    /// The code of the same kernel under another schedule for the same sizes. It lives as long as the process.
    fn tuned(shipped: &Cuda, source: kgen::cuda::Source, sizes: kgen::loop_ir::Sizes) -> Cuda {
        Cuda {
            body: source.body.leak(),
            at_once: source.at_once as u32,
            threads: source.threads as u32,
            resident: source.resident as u32,
            shared: source.shared as u32,
            scratch_per_item: source.scratch_per_item as u32,
            parameters: source
                .parameters
                .into_iter()
                .map(|(ty, name)| (&*ty.leak(), &*name.leak()))
                .collect::<Vec<_>>()
                .leak(),
            sizes: Sizes::Tuned(sizes),
            ..shipped.clone()
        }
    }

    /// The code as a part of a launch.
    pub fn part(&self) -> kgen::cuda::Part<'static> {
        kgen::cuda::Part { parameters: self.parameters.to_vec(), body: self.body }
    }
}

/// A buffer parameter of a [`Kernel`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BufferInfo {
    /// Name of the parameter.
    pub name: &'static str,
    /// Name of the element's type: a number (`f32`) or a block (`Q4K`).
    pub elem: &'static str,
    /// Bytes of one element.
    pub elem_bytes: usize,
    /// Elements that a block stands for; 1 where the element is a number.
    pub elements: usize,
    /// The bytes of a block at which 16-bit floats begin: its scales.
    pub halves: &'static [usize],
    /// Whether the kernel writes it; else it reads it.
    pub written: bool,
}

/// The code for CUDA of all kernels, of those with others in them, and of pairs.
pub fn all_cuda() -> impl Iterator<Item = &'static Cuda> {
    let inlined = INLINED.iter().map(|inlined| &inlined.kernel);
    let alone = KERNELS.iter().chain(inlined).flat_map(|kernel| kernel.codes());
    alone.chain(FUSED.iter().map(|fused| &fused.cuda))
}

/// The kernel of this name.
pub fn kernel(name: &str) -> Option<&'static Kernel> {
    KERNELS.iter().find(|k| k.name == name)
}
