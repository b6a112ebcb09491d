//! How a thread rounds. The mode is the processor's, per thread, and any library may have changed it.

/// Whether this thread computes as IEEE-754 says: rounding to nearest even, subnormals kept (MXCSR without
/// flush-to-zero, denormals-are-zero or another rounding). The mode is per thread, and a library may have changed it.
pub fn float_mode_is_ieee() -> bool {
    #[cfg(target_arch = "x86_64")]
    {
        const DENORMALS_ARE_ZERO: u32 = 1 << 6;
        const ROUNDING: u32 = 3 << 13;
        const FLUSH_TO_ZERO: u32 = 1 << 15;
        let mut mxcsr = 0u32;
        // SAFETY: stmxcsr stores 4 bytes to the address of a live u32; every x86_64 processor has it.
        unsafe { std::arch::asm!("stmxcsr [{}]", in(reg) &raw mut mxcsr, options(nostack, preserves_flags)) };
        mxcsr & (DENORMALS_ARE_ZERO | ROUNDING | FLUSH_TO_ZERO) == 0
    }
    #[cfg(not(target_arch = "x86_64"))]
    {
        let tiny = std::hint::black_box(f32::MIN_POSITIVE);
        std::hint::black_box(tiny * 0.5) != 0.0
    }
}

#[cfg(test)]
mod tests {
    #[cfg(target_arch = "x86_64")]
    use super::*;

    #[cfg(target_arch = "x86_64")]
    #[test]
    fn flush_to_zero_is_noticed() {
        std::thread::spawn(|| {
            assert!(float_mode_is_ieee());
            let flush = 0x1f80u32 | 1 << 15;
            // SAFETY: sets a valid mode on a thread that does nothing else.
            unsafe { std::arch::asm!("ldmxcsr [{}]", in(reg) &raw const flush, options(nostack, preserves_flags)) };
            assert!(!float_mode_is_ieee());
        })
        .join()
        .unwrap();
    }
}
