//! A checked call of a kernel: what is launched cannot touch memory outside its buffers.
use crate::{Cpu, Isa, Kernel, Target};
use std::marker::PhantomData;

/// Memory lent to a kernel.
#[derive(Clone, Copy, Debug)]
pub struct Buf<'a> {
    ptr: *mut u8,
    len: usize,
    writable: bool,
    lent: PhantomData<&'a [u8]>,
}

impl<'a> Buf<'a> {
    /// Memory to be read.
    pub fn read(bytes: &'a [u8]) -> Self {
        Buf { ptr: bytes.as_ptr().cast_mut(), len: bytes.len(), writable: false, lent: PhantomData }
    }

    /// Memory to be written.
    pub fn write(bytes: &'a mut [u8]) -> Self {
        Buf { ptr: bytes.as_mut_ptr(), len: bytes.len(), writable: true, lent: PhantomData }
    }

    /// Memory that its owner reaches through a pointer.
    ///
    /// # Safety
    /// `len` bytes at `ptr` are valid and initialized for `'a`, and are written by nobody but launches that are
    /// made with `writable`.
    pub unsafe fn raw(ptr: *mut u8, len: usize, writable: bool) -> Self {
        Buf { ptr, len, writable, lent: PhantomData }
    }

    fn extent(&self) -> Extent {
        Extent { address: self.ptr as u64, len: self.len as u64, writable: self.writable }
    }
}

/// Where the bytes of a buffer are, on any device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// Of the first byte.
    pub address: u64,
    /// Number of bytes.
    pub len: u64,
    /// Whether a kernel may write them.
    pub writable: bool,
}

impl Extent {
    fn overlaps(&self, other: &Extent) -> bool {
        self.address < other.address + other.len && other.address < self.address + self.len
    }
}

/// Why a kernel cannot be launched so.
#[derive(Debug, PartialEq, thiserror::Error)]
pub enum LaunchError {
    /// The wrong number of arguments.
    #[error("{kernel} takes {expected} {what}, {given} given")]
    Count {
        /// Name of the kernel.
        kernel: &'static str,
        /// Ints, floats or buffers.
        what: &'static str,
        /// How many it takes.
        expected: usize,
        /// How many were given.
        given: usize,
    },
    /// More work items than can be counted.
    #[error("{kernel} has too much work for one launch; given {ints}")]
    Work {
        /// Name of the kernel.
        kernel: &'static str,
        /// The integers that were given.
        ints: String,
    },
    /// An integer outside its declared range.
    #[error("{kernel}: {name} is {value}, must be in {lo}..={hi}")]
    Int {
        /// Name of the kernel.
        kernel: &'static str,
        /// Name of the parameter.
        name: &'static str,
        /// Its value.
        value: i32,
        /// Least allowed.
        lo: i32,
        /// Largest allowed.
        hi: i32,
    },
    /// A condition that the kernel states does not hold.
    #[error("{kernel} requires {condition}; given {ints}")]
    Require {
        /// Name of the kernel.
        kernel: &'static str,
        /// Text of the condition.
        condition: &'static str,
        /// Names and values.
        ints: String,
    },
    /// A buffer of another length than its shape.
    #[error("{kernel}: buffer {buffer} has {given} bytes, must have {expected}; {ints}")]
    Length {
        /// Name of the kernel.
        kernel: &'static str,
        /// Name of the buffer.
        buffer: &'static str,
        /// Bytes that the shape takes.
        expected: u64,
        /// Bytes given.
        given: u64,
        /// Names and values.
        ints: String,
    },
    /// A buffer that the kernel writes was lent for reading.
    #[error("{kernel} writes buffer {buffer}, which was lent for reading")]
    ReadOnly {
        /// Name of the kernel.
        kernel: &'static str,
        /// Name of the buffer.
        buffer: &'static str,
    },
    /// A written buffer shares memory with another.
    #[error("{kernel}: buffer {written} is written and overlaps buffer {other}")]
    Overlap {
        /// Name of the kernel.
        kernel: &'static str,
        /// The buffer that is written.
        written: &'static str,
        /// The other.
        other: &'static str,
    },
    /// A value of an index buffer that indexes nothing.
    #[error("{kernel}: {buffer}[{at}] is {value}, must be in 0..{below}")]
    Index {
        /// Name of the kernel.
        kernel: &'static str,
        /// Name of the buffer.
        buffer: &'static str,
        /// Place of the value.
        at: usize,
        /// The value.
        value: i32,
        /// One past the largest allowed.
        below: i32,
    },
}

/// A call of a kernel that passed all checks.
#[derive(Debug)]
pub struct Launch<'a> {
    kernel: &'static Kernel,
    isa: Isa,
    code: &'static Cpu,
    ints: Vec<i32>,
    floats: Vec<f32>,
    bufs: Vec<*mut u8>,
    lent: PhantomData<&'a [u8]>,
}

// SAFETY: the pointers are to memory lent for 'a; `run` asks its callers for disjoint parts, which write disjoint numbers.
unsafe impl Sync for Launch<'_> {}

impl<'a> Launch<'a> {
    /// For the code of an instruction set: checks counts, dims, conditions, exact lengths, that what is written overlaps nothing, and the values of index buffers.
    pub fn new(
        kernel: &'static Kernel,
        isa: Isa,
        ints: &[i32],
        floats: &[f32],
        buffers: &[Buf<'a>],
    ) -> Result<Self, LaunchError> {
        let extents: Vec<Extent> = buffers.iter().map(Buf::extent).collect();
        check_call(kernel, Target::Cpu(isa), ints, floats, &extents)?;
        for (i, buf) in buffers.iter().enumerate() {
            // SAFETY: the memory is lent for reading at least, and nobody writes it while this launch is made.
            check_indices(kernel, ints, i, unsafe { std::slice::from_raw_parts(buf.ptr, buf.len) })?;
        }
        let bufs = buffers.iter().map(|b| b.ptr).collect();
        let code = kernel.cpu(isa, ints, 0);
        Ok(Launch { kernel, isa, code, ints: ints.to_vec(), floats: floats.to_vec(), bufs, lent: PhantomData })
    }

    /// The same with another code of the kernel: see [`Kernel::cpu`].
    pub fn in_turn(self, turn: usize) -> Result<Self, LaunchError> {
        let code = self.kernel.cpu(self.isa, &self.ints, turn);
        check_work(self.kernel, (code.work)(&self.ints), &self.ints)?;
        Ok(Launch { code, ..self })
    }

    /// Number of work items.
    pub fn work(&self) -> i32 {
        (self.code.work)(&self.ints)
    }

    /// Does work items `lo..hi`.
    ///
    /// # Safety
    /// The instruction set is available; no other call that runs at the same time covers the same items, reads what this writes, or
    /// writes what this reads.
    ///
    /// # Panics
    /// When `lo..hi` is not inside `0..work`.
    pub unsafe fn run(&self, lo: i32, hi: i32) {
        let work = self.work();
        assert!(0 <= lo && lo <= hi && hi <= work, "{}: {lo}..{hi} is not in 0..{work}", self.kernel.name);
        // SAFETY: checked by `new`, and promised by the caller.
        unsafe { (self.code.code)(&self.bufs, &self.ints, &self.floats, lo, hi) }
    }
}

/// For a target: checks counts, dims, conditions, the amount of work, exact lengths, and that what is written overlaps nothing. What the
/// buffers hold is not looked at: see [`check_indices`].
pub fn check_call(
    kernel: &'static Kernel,
    target: Target,
    ints: &[i32],
    floats: &[f32],
    buffers: &[Extent],
) -> Result<(), LaunchError> {
    let counts = [
        ("integers", kernel.ints.len(), ints.len()),
        ("floats", kernel.floats.len(), floats.len()),
        ("buffers", kernel.buffers.len(), buffers.len()),
    ];
    for (what, expected, given) in counts {
        if expected != given {
            return Err(LaunchError::Count { kernel: kernel.name, what, expected, given });
        }
    }
    check_ints(kernel, ints)?;
    let work = match target {
        Target::Cpu(isa) => (kernel.cpu(isa, ints, 0).work)(ints),
        Target::Cuda => kernel.cuda(ints, 0).work(ints),
    };
    check_work(kernel, work, ints)?;
    check_buffers(kernel, target, ints, buffers)
}

/// Refuses more work items than can be counted.
fn check_work(kernel: &'static Kernel, work: i32, ints: &[i32]) -> Result<(), LaunchError> {
    // The table gives `i32::MAX` for whatever is more than that.
    match work {
        i32::MAX => Err(LaunchError::Work { kernel: kernel.name, ints: describe(kernel, ints) }),
        _ => Ok(()),
    }
}

/// Checks the values of a buffer of indices; every other buffer passes.
pub fn check_indices(kernel: &'static Kernel, ints: &[i32], buffer: usize, bytes: &[u8]) -> Result<(), LaunchError> {
    let Some(below) = (kernel.index_below)(ints, buffer) else { return Ok(()) };
    for (at, word) in bytes.as_chunks().0.iter().enumerate() {
        let value = i32::from_le_bytes(*word);
        if !(0..below).contains(&value) {
            let buffer = kernel.buffers[buffer].name;
            return Err(LaunchError::Index { kernel: kernel.name, buffer, at, value, below });
        }
    }
    Ok(())
}

fn check_ints(kernel: &'static Kernel, ints: &[i32]) -> Result<(), LaunchError> {
    for ((&name, &value), &(lo, hi)) in kernel.ints.iter().zip(ints).zip(kernel.ranges) {
        if !(lo..=hi).contains(&value) {
            return Err(LaunchError::Int { kernel: kernel.name, name, value, lo, hi });
        }
    }
    (kernel.require)(ints).map_err(|condition| LaunchError::Require {
        kernel: kernel.name,
        condition,
        ints: describe(kernel, ints),
    })
}

fn check_buffers(kernel: &'static Kernel, target: Target, ints: &[i32], buffers: &[Extent]) -> Result<(), LaunchError> {
    let mut bytes = vec![0; buffers.len()];
    (kernel.memory(target).bytes)(ints, &mut bytes);
    for (i, (info, buf)) in kernel.buffers.iter().zip(buffers).enumerate() {
        if buf.len != bytes[i] {
            let (expected, given, ints) = (bytes[i], buf.len, describe(kernel, ints));
            return Err(LaunchError::Length { kernel: kernel.name, buffer: info.name, expected, given, ints });
        }
        if info.written && !buf.writable {
            return Err(LaunchError::ReadOnly { kernel: kernel.name, buffer: info.name });
        }
        for (j, other) in buffers.iter().enumerate() {
            if info.written && i != j && buf.overlaps(other) {
                let other = kernel.buffers[j].name;
                return Err(LaunchError::Overlap { kernel: kernel.name, written: info.name, other });
            }
        }
    }
    Ok(())
}

fn describe(kernel: &Kernel, ints: &[i32]) -> String {
    let pairs: Vec<_> = kernel.ints.iter().zip(ints).map(|(name, value)| format!("{name} = {value}")).collect();
    pairs.join(", ")
}

#[cfg(test)]
mod tests;
