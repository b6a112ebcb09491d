//! What the assembler says of registers that it keeps in memory. A cubin does not have it: there, spills and arrays are both
//! local memory.
use serde::Serialize;

/// Bytes of the instructions that move registers to local memory and back, as they stand in the code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Spills {
    /// Written.
    pub stores: u64,
    /// Read.
    pub loads: u64,
}

impl Spills {
    /// Of the kernel `entry`, from the log of a compilation with [`crate::nvrtc::REPORT`]; none where the log does not say.
    pub fn of(log: &str, entry: &str) -> Option<Spills> {
        let header = format!("Function properties for {entry}");
        let line = log.lines().skip_while(|line| !line.trim_end().ends_with(&header)).nth(1)?;
        let before = |what: &str| line.split_once(what)?.0.split_whitespace().next_back()?.parse().ok();
        Some(Spills { stores: before(" bytes spill stores")?, loads: before(" bytes spill loads")? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_tells_spills_by_kernel() {
        let log = "ptxas info    : Compiling entry function 'ab' for 'sm_90'\n\
            ptxas info    : Function properties for ab\n\
            ptxas         .     1008 bytes stack frame, 1512 bytes spill stores, 1540 bytes spill loads\n\
            ptxas info    : Function properties for b\n\
            ptxas         .     0 bytes stack frame, 0 bytes spill stores, 4 bytes spill loads\n\
            ptxas info    : Function properties for c\n";
        assert_eq!(Spills::of(log, "ab"), Some(Spills { stores: 1512, loads: 1540 }));
        assert_eq!(Spills::of(log, "b"), Some(Spills { stores: 0, loads: 4 }));
        assert_eq!((Spills::of(log, "c"), Spills::of(log, "d"), Spills::of("", "b")), (None, None, None));
    }
}
