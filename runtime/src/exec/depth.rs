//! A KV cache of a depth without a prefill: the same pseudo-random keys and values on every device, so that what comes after
//! them is computed, and can be compared, as after a real prompt of that length.
use super::{ExecError, Executor};
use crate::{
    plan::{BufferId, CHUNK, Plan, Role},
    synth::random::Stream,
};

/// Bits of an f16 that are random: its sign, the lower three of its exponent, and its mantissa.
const RANDOM: u16 = 0x9fff;
/// The bit that makes an exponent of three bits one of 2^-7 to 2^0.
const EXPONENT: u16 = 0x2000;
/// Numbers of a draw.
const OF_A_DRAW: usize = 4;

/// Fills the KV caches of `plan` up to a depth, in whole chunks of positions, and clears the rest. The numbers are of both signs
/// and from 2^-7 to 2 in size, with all mantissas: scores differ, as those of a real prompt do, and no weight is alone.
pub fn fill_to_depth(executor: &mut dyn Executor, plan: &Plan, depth: usize) -> Result<(), ExecError> {
    let limits = executor.limits();
    for (id, buffer) in plan.buffers.iter().enumerate().filter(|(_, buffer)| matches!(buffer.role, Role::Cache)) {
        let stream = Stream::new(0, &buffer.name);
        let chunk = buffer.row_bytes(&limits).unwrap_or(0);
        let mut bytes = vec![0; chunk];
        for number in 0..limits.chunks {
            match number < depth.div_ceil(CHUNK) {
                true => fill(&stream, number * chunk, &mut bytes),
                false => bytes.fill(0),
            }
            executor.write(BufferId(id), number * chunk, &bytes)?;
        }
    }
    Ok(())
}

/// Fills bytes, of which the first is number `first` of a buffer, with f16 numbers.
fn fill(stream: &Stream, first: usize, bytes: &mut [u8]) {
    let draw = size_of::<u16>() * OF_A_DRAW;
    for (i, numbers) in bytes.chunks_mut(draw).enumerate() {
        let mut bits = stream.at((first / draw + i) as u64);
        for number in numbers.as_chunks_mut().0 {
            *number = (bits as u16 & RANDOM | EXPONENT).to_le_bytes();
            bits >>= u16::BITS;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use half::f16;

    #[test]
    fn numbers_are_ordinary_and_do_not_depend_on_where_a_part_begins() {
        let stream = Stream::new(0, "blk.0.kv.k");
        let (mut all, mut part) = (vec![0; 1 << 16], vec![0; 1 << 10]);
        fill(&stream, 0, &mut all);
        fill(&stream, 1 << 12, &mut part);
        assert_eq!(all[1 << 12..][..1 << 10], part);
        let numbers: Vec<f32> = all.as_chunks().0.iter().map(|n| f16::from_le_bytes(*n).to_f32()).collect();
        assert!(numbers.iter().all(|x| (2f32.powi(-7)..2.0).contains(&x.abs())));
        let mean = |of: fn(f32) -> f32| numbers.iter().map(|x| of(*x)).sum::<f32>() / numbers.len() as f32;
        assert!(
            mean(|x| x).abs() < 0.02 && (0.3..0.5).contains(&mean(|x| x * x)),
            "{} {}",
            mean(|x| x),
            mean(|x| x * x)
        );
    }
}
