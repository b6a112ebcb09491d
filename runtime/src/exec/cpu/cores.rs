//! How many threads compute well: one for each core that this process may use, as two threads of a core share its arithmetic.
use std::{collections::HashSet, fs, num::NonZero, thread};

/// Cores of the processors that the process may run on, and no more than its share of time (cgroups) allows. Where the system
/// does not tell cores, each processor counts as one.
pub fn usable_cores() -> usize {
    let available = thread::available_parallelism().map_or(1, NonZero::get);
    allowed_cores().map_or(available, |cores| cores.min(available))
}

#[cfg(target_os = "linux")]
fn allowed_cores() -> Option<usize> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let siblings = |processor: usize| {
        fs::read_to_string(format!("/sys/devices/system/cpu/cpu{processor}/topology/thread_siblings_list")).ok()
    };
    count_cores(allowed(&status)?, siblings)
}

#[cfg(not(target_os = "linux"))]
fn allowed_cores() -> Option<usize> {
    None
}

/// The processors of the line `Cpus_allowed_list` of a process's status.
fn allowed(status: &str) -> Option<Vec<usize>> {
    processors(status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"))?)
}

/// The numbers of a list such as `0-3,8`.
fn processors(list: &str) -> Option<Vec<usize>> {
    let mut all = Vec::new();
    for part in list.trim().split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        all.extend(first.parse().ok()?..=last.parse::<usize>().ok()?);
    }
    Some(all)
}

/// Processors with the same siblings are threads of one core; none where one of them is not known.
fn count_cores(allowed: Vec<usize>, siblings: impl Fn(usize) -> Option<String>) -> Option<usize> {
    let cores: HashSet<String> = allowed.into_iter().map(siblings).collect::<Option<_>>()?;
    Some(cores.len()).filter(|&cores| cores > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_a_core_and_no_more_than_the_system_offers() {
        assert!((1..=thread::available_parallelism().unwrap().get()).contains(&usable_cores()));
    }

    #[test]
    fn lists_of_processors_are_read() {
        assert_eq!(allowed("Name:\tapr\nCpus_allowed_list:\t0-2,5\n"), Some(vec![0, 1, 2, 5]));
        assert_eq!(processors(" 7 \n"), Some(vec![7]));
        assert!(processors("").is_none() && processors("0-x").is_none() && allowed("Name: apr").is_none());
    }

    #[test]
    fn threads_of_a_core_count_once() {
        // Four cores of two threads each, numbered as most systems do: n and n + 4.
        let siblings = |n: usize| Some(format!("{},{}\n", n % 4, n % 4 + 4));
        assert_eq!(count_cores((0..8).collect(), siblings), Some(4));
        assert_eq!(count_cores(vec![1, 2, 5], siblings), Some(2), "an affinity mask of three processors");
        assert_eq!(count_cores(vec![1, 2], |_| None), None);
    }
}
