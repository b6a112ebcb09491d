//! Single kernels at the sizes of Qwen2.5-7B, in one thread, for every instruction set that this processor has.
use benches::Case;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use kernels_gen::Isa;
use std::time::Duration;

const HIDDEN: i32 = 3584;
const FFN: i32 = 18944;
const VOCAB: i32 = 152_064;
const HEAD: i32 = 128;

/// Measures a case; `work` is what one run does.
fn measure(c: &mut Criterion, name: &str, mut case: Case, work: Throughput) {
    let mut group = c.benchmark_group(name);
    group.sample_size(10).warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(2));
    group.throughput(work);
    for isa in Isa::ALL.into_iter().filter(|isa| isa.available()) {
        group.bench_function(BenchmarkId::from_parameter(isa), |b| b.iter(|| case.run(isa)));
    }
    group.finish();
}

/// The weights of one token are bytes to be read; many tokens are multiplications to be done.
fn matvec(c: &mut Criterion) {
    const Q4K: (&str, &[usize]) = ("matvec_q4k", &[0, 2]);
    const Q6K: (&str, &[usize]) = ("matvec_q6k", &[208]);
    // attn_q, ffn_up, ffn_down, and the output matrix, which no cache holds.
    let shapes = [
        (Q4K, HIDDEN, HIDDEN, &[1, 64][..]),
        (Q4K, FFN, HIDDEN, &[1, 64]),
        (Q6K, HIDDEN, FFN, &[1, 64]),
        (Q6K, VOCAB, HIDDEN, &[1]),
    ];
    for ((kernel, scales), rows, columns, steps) in shapes {
        for &tokens in steps {
            let blocks = columns / 256;
            let case = Case::new(kernel, &[("T", tokens), ("N", rows), ("B", blocks)]);
            let case = case.blocks("w", scales).activations("x", tokens, blocks);
            let products = tokens as u64 * rows as u64 * columns as u64;
            let work = if tokens == 1 { Throughput::Bytes(case.bytes_read()) } else { Throughput::Elements(products) };
            measure(c, &format!("{kernel} {rows}x{columns} T={tokens}"), case, work);
        }
    }
}

fn rmsnorm(c: &mut Criterion) {
    for tokens in [1, 64] {
        let case = Case::new("rmsnorm", &[("T", tokens), ("H", 1), ("K", HIDDEN)]).floats("x").floats("w");
        let work = Throughput::Bytes(case.bytes_read());
        measure(c, &format!("rmsnorm {HIDDEN} T={tokens}"), case, work);
    }
}

fn quantize(c: &mut Criterion) {
    for tokens in [1, 64] {
        let case = Case::new("quantize_q8k", &[("T", tokens), ("B", FFN / 256)]).floats("x");
        let work = Throughput::Bytes(case.bytes_read());
        measure(c, &format!("quantize_q8k {FFN} T={tokens}"), case, work);
    }
}

/// 28 query heads over 4 key-value heads; the cache of 1024 positions is full after the last token.
fn attention(c: &mut Criterion) {
    for tokens in [1, 64] {
        let place = [("P", 1024), ("pos", 1024 - tokens), ("window", 1024)];
        let sizes = [&[("T", tokens), ("G", 4), ("R", 7), ("C", 16)][..], &place].concat();
        let case = Case::new("attention_128", &sizes).floats("q").floats("cos").floats("sin").halves("kc").halves("vc");
        // Query times key and probability times value, of every head.
        let products = 2 * tokens as u64 * 28 * 1024 * HEAD as u64;
        let cache = 2 * 4 * 1024 * HEAD as u64 * 2;
        let work = if tokens == 1 { Throughput::Bytes(cache) } else { Throughput::Elements(products) };
        measure(c, &format!("attention_128 1024 positions T={tokens}"), case, work);
    }
}

criterion_group!(kernels, matvec, rmsnorm, quantize, attention);
criterion_main!(kernels);
