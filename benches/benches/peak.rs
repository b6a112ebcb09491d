//! What one thread can multiply at most: the instructions for dots of bytes alone, from registers to registers. The matvecs of
//! prefill are a part of this.
use criterion::{Criterion, criterion_group, criterion_main};

#[cfg(target_arch = "x86_64")]
mod x86_64 {
    use criterion::{Criterion, Throughput};
    use std::arch::x86_64::*;
    use std::hint::black_box;
    use std::time::Duration;

    const ROUNDS: u64 = 10_000;
    /// Registers in use, each waiting for itself only: more than an instruction takes cycles, twice.
    const REGISTERS: u64 = 10;

    pub fn peak(c: &mut Criterion) {
        let mut group = c.benchmark_group("peak");
        group.sample_size(10).warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(2));
        if is_x86_feature_detected!("avx2") {
            group.throughput(Throughput::Elements(ROUNDS * REGISTERS * 32));
            // SAFETY: the instruction set is there.
            group.bench_function("vpmaddubsw", |b| b.iter(|| unsafe { maddubs(black_box(ROUNDS)) }));
        }
        if is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512vnni") {
            group.throughput(Throughput::Elements(ROUNDS * REGISTERS * 64));
            // SAFETY: as above.
            group.bench_function("vpdpbusd", |b| b.iter(|| unsafe { dpbusd(black_box(ROUNDS)) }));
        }
        group.finish();
    }

    #[target_feature(enable = "avx2")]
    fn maddubs(rounds: u64) -> i32 {
        let b = _mm256_set1_epi8(black_box(3));
        let mut sums = [_mm256_set1_epi8(black_box(1)); REGISTERS as usize];
        for _ in 0..rounds {
            sums.iter_mut().for_each(|sum| *sum = _mm256_maddubs_epi16(*sum, b));
        }
        sums.iter().fold(0, |all, sum| all ^ _mm256_extract_epi32::<0>(*sum))
    }

    #[target_feature(enable = "avx512f,avx512vnni")]
    fn dpbusd(rounds: u64) -> i32 {
        let b = _mm512_set1_epi8(black_box(3));
        let mut sums = [_mm512_set1_epi8(black_box(1)); REGISTERS as usize];
        for _ in 0..rounds {
            sums.iter_mut().for_each(|sum| *sum = _mm512_dpbusd_epi32(*sum, b, b));
        }
        sums.iter().fold(0, |all, sum| all ^ _mm512_cvtsi512_si32(*sum))
    }
}

fn peak(c: &mut Criterion) {
    #[cfg(target_arch = "x86_64")]
    x86_64::peak(c);
    #[cfg(not(target_arch = "x86_64"))]
    let _ = c;
}

criterion_group!(peaks, peak);
criterion_main!(peaks);
