//! How fast the threads of a pool read memory: the best of three loops over a buffer that no cache holds.
use super::{Panicked, Pool, resident::resident_peak, share};
use crate::exec::{ExecError, Footprint, ReadRate};
use kernels_gen::Isa;
use memmap2::MmapMut;
use std::{
    hint::black_box,
    time::{Duration, Instant},
};

/// Bytes of the buffer: several times what the caches of large processors have.
const BYTES: usize = 1 << 30;
/// After this time no loop is started, but each is measured at least once: 1 GiB at 10 GB/s takes a third of it.
const PERIOD: Duration = Duration::from_millis(300);
/// Streams that are read side by side.
const STREAMS: usize = 8;
/// Lines that a loop reads ahead of where it is: 4 KiB.
const AHEAD: usize = 64;

/// A cache line.
type Line = [u8; 64];
/// A loop that reads all lines and gives a sum that depends on each.
type Loop = fn(&[Line]) -> u64;

/// The buffer that is read, kept from one measurement to the next.
pub struct Reader {
    memory: MmapMut,
    /// The process's memory before it took the buffer.
    pub resident_before: Option<Footprint>,
}

impl Reader {
    /// Takes the buffer.
    pub fn new(pool: &mut Pool) -> Result<Reader, ExecError> {
        Reader::of(BYTES, pool)
    }

    fn of(bytes: usize, pool: &mut Pool) -> Result<Reader, ExecError> {
        let resident_before = resident_peak();
        let refused = |source| ExecError::ReadBuffer { bytes, source };
        let mut memory = MmapMut::map_anon(bytes).map_err(refused)?;
        // Fewer pages mean fewer look-ups of their addresses. Where the system has no large ones, the loops do without.
        #[cfg(target_os = "linux")]
        let _ = memory.advise(memmap2::Advice::HugePage);
        // Each thread is the first to write its share, so that the system gives it memory that is near.
        let lines: &mut [Line] = memory.as_chunks_mut().0;
        pool.share_out(lines, 1, |_, share| share.iter_mut().for_each(|line| line.fill(1))).map_err(panicked)?;
        Ok(Reader { memory, resident_before })
    }

    /// Measures the loops in turns; a thread reads its share of the buffer, which it has been the first to write.
    pub fn rate(&self, pool: &mut Pool) -> Result<ReadRate, ExecError> {
        let (lines, threads): (&[Line], _) = (self.memory.as_chunks().0, pool.threads());
        let mut best = ReadRate { bytes_a_second: 0.0, way: "" };
        let (loops, begin) = (loops(), Instant::now());
        for (number, (way, read)) in loops.iter().cycle().enumerate() {
            if number >= loops.len() && begin.elapsed() >= PERIOD {
                break;
            }
            let start = Instant::now();
            let job = |thread: usize| {
                black_box(read(&lines[share(lines.len(), threads, thread)]));
            };
            pool.run(&job).map_err(panicked)?;
            let bytes_a_second = self.memory.len() as f64 / start.elapsed().as_secs_f64();
            best = best.or_faster(ReadRate { bytes_a_second, way });
        }
        Ok(best)
    }
}

fn panicked(source: Panicked) -> ExecError {
    ExecError::Panicked { stage: "reading memory".into(), source }
}

/// The loops, for the widest registers that the compiler is told of.
fn loops() -> [(&'static str, Loop); 3] {
    #[cfg(target_arch = "x86_64")]
    if Isa::Avx2.available() {
        return [
            // SAFETY: the instruction set is there.
            ("one stream a thread", |lines| unsafe { wide::one_stream(lines) }),
            // SAFETY: as above.
            ("eight streams a thread", |lines| unsafe { wide::streams(lines) }),
            // SAFETY: as above.
            ("one stream a thread, 4 KiB ahead", |lines| unsafe { wide::ahead(lines) }),
        ];
    }
    [
        ("one stream a thread", one_stream),
        ("eight streams a thread", streams),
        ("one stream a thread, 4 KiB ahead", ahead),
    ]
}

/// The same loops, compiled for registers of 256 bits.
#[cfg(target_arch = "x86_64")]
mod wide {
    use super::Line;

    #[target_feature(enable = "avx2")]
    pub fn one_stream(lines: &[Line]) -> u64 {
        super::one_stream(lines)
    }

    #[target_feature(enable = "avx2")]
    pub fn streams(lines: &[Line]) -> u64 {
        super::streams(lines)
    }

    #[target_feature(enable = "avx2")]
    pub fn ahead(lines: &[Line]) -> u64 {
        super::ahead(lines)
    }
}

#[inline(always)]
fn one_stream(lines: &[Line]) -> u64 {
    let mut sums = [0; 8];
    lines.iter().for_each(|line| add(&mut sums, line));
    total(sums)
}

/// Parts of the share in turns: more lines are on their way at a time.
#[inline(always)]
fn streams(lines: &[Line]) -> u64 {
    let part = lines.len() / STREAMS;
    let parts: [&[Line]; STREAMS] = std::array::from_fn(|i| &lines[i * part..(i + 1) * part]);
    let mut sums = [[0; 8]; STREAMS];
    for at in 0..part {
        for (sums, part) in sums.iter_mut().zip(parts) {
            add(sums, &part[at]);
        }
    }
    let rest = one_stream(&lines[STREAMS * part..]);
    sums.into_iter().fold(rest, |sum, sums| sum.wrapping_add(total(sums)))
}

/// A word of a line further on is read first, so that the line is on its way before it is needed.
#[inline(always)]
fn ahead(lines: &[Line]) -> u64 {
    let (mut sums, mut first) = ([0; 8], 0u64);
    for (line, further) in lines.iter().zip(lines.get(AHEAD..).unwrap_or_default()) {
        first = first.wrapping_add(u64::from(further[0]));
        add(&mut sums, line);
    }
    let rest = one_stream(&lines[lines.len().saturating_sub(AHEAD)..]);
    // Counted once here, and once as part of its line.
    black_box(first);
    total(sums).wrapping_add(rest)
}

#[inline(always)]
fn add(sums: &mut [u64; 8], line: &Line) {
    for (sum, word) in sums.iter_mut().zip(line.as_chunks().0) {
        *sum = sum.wrapping_add(u64::from_ne_bytes(*word));
    }
}

#[inline(always)]
fn total(sums: [u64; 8]) -> u64 {
    sums.into_iter().fold(0, u64::wrapping_add)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_loop_reads_every_line_once() {
        for count in [0, 1, 7, 63, 64, 65, 1003] {
            let lines: Vec<Line> =
                (0..count).map(|i| std::array::from_fn(|at| ((i * 64 + at) * 37 % 251) as u8)).collect();
            let words = lines.iter().flat_map(|line| line.as_chunks().0);
            let sum = words.fold(0, |sum: u64, word| sum.wrapping_add(u64::from_ne_bytes(*word)));
            for (way, read) in loops() {
                assert_eq!(read(&lines), sum, "{way}, {count} lines");
            }
            for read in [one_stream, streams, ahead] {
                assert_eq!(read(&lines), sum, "{count} lines");
            }
        }
    }

    #[test]
    fn the_rate_is_that_of_the_fastest_loop() {
        let mut pool = Pool::new(2).unwrap();
        let reader = Reader::of(1 << 20, &mut pool).unwrap();
        for _ in 0..2 {
            let rate = reader.rate(&mut pool).unwrap();
            assert!(rate.bytes_a_second > 1e6 && loops().iter().any(|(way, _)| *way == rate.way), "{rate:?}");
        }
    }
}
