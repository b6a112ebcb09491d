//! Memory of an executor: zeroed, aligned for the widest registers, and an error where the system has not enough.
use std::{
    alloc::{Layout, alloc_zeroed, dealloc},
    ptr::NonNull,
    slice,
};

/// A cache line, and the widest register.
const ALIGN: usize = 64;

/// Zeroed bytes. The system gives large blocks as zero pages, which take up memory when they are first written.
pub struct Memory {
    ptr: NonNull<u8>,
    layout: Layout,
    len: usize,
}

// SAFETY: it owns its bytes as a Vec does.
unsafe impl Send for Memory {}
// SAFETY: as above.
unsafe impl Sync for Memory {}

impl Memory {
    /// `len` zero bytes; `None` where the system refuses.
    pub fn zeroed(len: usize) -> Option<Memory> {
        let layout = Layout::from_size_align(len.max(1), ALIGN).ok()?;
        // SAFETY: the layout's size is not zero.
        let ptr = NonNull::new(unsafe { alloc_zeroed(layout) })?;
        Some(Memory { ptr, layout, len })
    }

    /// Where it is. Writing through it is up to the owner.
    pub fn ptr(&self) -> *mut u8 {
        self.ptr.as_ptr()
    }

    /// All bytes.
    pub fn bytes(&self) -> &[u8] {
        // SAFETY: `len` bytes are allocated and initialized.
        unsafe { slice::from_raw_parts(self.ptr.as_ptr(), self.len) }
    }

    /// All bytes, to be written.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: as above, and borrowed alone.
        unsafe { slice::from_raw_parts_mut(self.ptr.as_ptr(), self.len) }
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: allocated with this layout.
        unsafe { dealloc(self.ptr.as_ptr(), self.layout) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_zeroed_and_aligned_and_may_be_refused() {
        let mut memory = Memory::zeroed(1000).unwrap();
        assert!(memory.bytes().iter().all(|&b| b == 0) && memory.bytes().len() == 1000);
        assert_eq!(memory.ptr() as usize % ALIGN, 0);
        memory.bytes_mut()[999] = 1;
        assert_eq!(memory.bytes()[999], 1);
        assert!(Memory::zeroed(0).unwrap().bytes().is_empty());
        assert!(Memory::zeroed(usize::MAX).is_none());
    }
}
