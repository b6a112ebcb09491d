//! A kernel whose teams compute their rows gives what the kernel of the rows and then it by itself give.
use super::data::{Case, Rng, filled};
use super::{library, meaning};
use kernels_gen::INLINED;
use kgen::loop_ir::interp::run_at_once;
use kgen::recomputed::Recomputed;

/// A call for rows of so many blocks: its parameters, and the buffers afterwards.
fn call(rows: &Recomputed, n: i32, blocks: i32, wild: bool, rng: &mut Rng) -> (Case, Vec<Vec<u8>>) {
    let [consumer, producer] = rows.pair;
    let size = |name: &str| match name {
        "T" => 1,
        "N" => n,
        "B" | "G" => blocks,
        other => panic!("the ladder has no size for {other}"),
    };
    let name = |v: &kgen::ir::Var| consumer.vars[v.0 as usize].name.as_str();
    let first = filled(producer, vec![1, blocks], wild, rng);
    let mut then = filled(consumer, consumer.dims.iter().map(|v| size(name(v))).collect(), wild, rng);
    let done = meaning(producer, &first);
    for (read, written) in &rows.spec.rows {
        let place = |kernel: &kgen::ir::Kernel, name: &String| kernel.buffers.iter().position(|b| b.name == *name);
        let (read, written) = (place(consumer, read).expect("read"), place(producer, written).expect("written"));
        assert_eq!(then.buffers[read].len(), done[written].len(), "the sizes agree");
        then.buffers[read] = done[written].clone();
    }
    let expected = meaning(consumer, &then);
    let others =
        producer.buffers.iter().zip(&first.buffers).filter(|(b, _)| !b.written).map(|(_, bytes)| bytes.clone());
    let own = |all: &[Vec<u8>]| {
        let kept = all.iter().enumerate().filter(|(b, _)| !rows.is_row(*b));
        kept.map(|(_, bytes)| bytes.clone()).chain(others.clone()).collect::<Vec<_>>()
    };
    let (given, expected) = (own(&then.buffers), own(&expected));
    let case =
        Case { ints: [then.ints, first.ints].concat(), floats: [then.floats, first.floats].concat(), buffers: given };
    (case, expected)
}

#[test]
fn kernels_that_compute_their_rows_are_one_after_the_other() {
    let library = library();
    let all = library.recomputed().unwrap_or_else(|e| panic!("{e}"));
    assert!(!all.is_empty());
    for rows in &all {
        let launch = INLINED.iter().find(|launch| launch.kernel.name == rows.spec.name).expect("it is generated");
        assert_eq!(launch.kernels, rows.kernels.iter().map(String::as_str).collect::<Vec<_>>());
        for (seed, (n, blocks)) in [(1, 1), (16, 3), (40, 14), (33, 16), (5, 9)].into_iter().enumerate() {
            let mut rng = Rng::new(seed as u64);
            let (case, expected) = call(rows, n, blocks, seed % 3 == 2, &mut rng);
            let (mut buffers, teams) = (case.buffers, 1 + rng.below(3));
            rows.func
                .with_layouts(&case.ints, &mut buffers, |buffers| {
                    run_at_once(&rows.func, &case.ints, &case.floats, buffers, teams, |n| rng.below(n))
                })
                .unwrap_or_else(|e| panic!("{} {:?}: {e}", rows.spec.name, case.ints));
            assert!(buffers == expected, "{} {:?}: other bits", rows.spec.name, case.ints);
            assert!((launch.kernel.require)(&case.ints).is_ok() && (launch.kernel.codes()[0].fits)(&case.ints));
        }
    }
}
