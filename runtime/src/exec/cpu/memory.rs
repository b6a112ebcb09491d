//! Memory of an executor: zeroed, aligned to a page, and an error where the system has not enough.
use memmap2::MmapMut;

/// Zeroed bytes. The system gives them as zero pages, which take up memory when they are first written.
pub struct Memory {
    map: MmapMut,
    len: usize,
}

impl Memory {
    /// `len` zero bytes; `None` where the system refuses.
    pub fn zeroed(len: usize) -> Option<Memory> {
        // What is mapped has one byte at least.
        Some(Memory { map: MmapMut::map_anon(len.max(1)).ok()?, len })
    }

    /// The same for bytes that will all be written, and read again and again: in large pages, where the system has them.
    pub fn in_large_pages(len: usize) -> Option<Memory> {
        let memory = Memory::zeroed(len)?;
        // Fewer pages mean fewer look-ups of their addresses, and processors read ahead to the end of a page.
        #[cfg(target_os = "linux")]
        let _ = memory.map.advise(memmap2::Advice::HugePage);
        Some(memory)
    }

    /// Where it is. Writing through it is up to the owner.
    pub fn ptr(&self) -> *mut u8 {
        self.map.as_ptr().cast_mut()
    }

    /// All bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.map[..self.len]
    }

    /// All bytes, to be written.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.map[..self.len]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_zeroed_and_aligned_and_may_be_refused() {
        for make in [Memory::zeroed, Memory::in_large_pages] {
            let mut memory = make(1000).unwrap();
            assert!(memory.bytes().iter().all(|&b| b == 0) && memory.bytes().len() == 1000);
            // For the widest registers.
            assert_eq!(memory.ptr() as usize % 64, 0);
            memory.bytes_mut()[999] = 1;
            assert_eq!(memory.bytes()[999], 1);
            assert!(make(0).unwrap().bytes().is_empty());
            assert!(make(usize::MAX).is_none());
        }
    }
}
