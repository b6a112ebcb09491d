//! How much memory the process has had.
use crate::exec::Footprint;

/// The most memory that was resident so far, pages of mapped files among it; none where the system does not tell.
pub fn resident_peak() -> Option<Footprint> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    Some(Footprint { bytes: peak(&status)?, what: "resident, most so far" })
}

/// The line `VmHWM` of a process's status, in bytes.
fn peak(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_peak_is_read() {
        assert_eq!(peak("VmPeak:\t  900 kB\nVmHWM:\t   123 kB\n"), Some(123 * 1024));
        assert_eq!(peak("VmPeak:\t  900 kB\n"), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn what_was_touched_is_counted() {
        let bytes = std::hint::black_box(vec![1u8; 64 << 20]);
        assert!(resident_peak().is_some_and(|peak| peak.bytes > bytes.len() as u64));
    }
}
