//! Two kernels in one launch give what one after the other gives, by the table that apr launches them with.
use super::data::{Rng, filled};
use super::{library, meaning};
use kernels_gen::FUSED;
use kgen::loop_ir::interp::run_at_once;

/// Integers of both kernels of a pair, of which the edge has the same size for both.
fn sizes(pair: &str, rng: &mut Rng) -> [Vec<i32>; 2] {
    // Key heads, query heads of each, blocks: some heads lie in two blocks.
    let heads: &[[i32; 3]] = match pair {
        "attention_64_quantize_q8k" => &[[2, 2, 1], [4, 3, 3], [1, 28, 7]],
        "attention_96_quantize_q8k" => &[[2, 4, 3], [1, 8, 3]],
        "attention_128_quantize_q8k" => &[[1, 2, 1], [2, 3, 3]],
        "attention_256_quantize_q8k" => &[[1, 1, 1], [2, 2, 4]],
        other => panic!("the ladder has no sizes for {other}"),
    };
    let [groups, of_group, blocks] = heads[rng.below(heads.len())];
    let window = [1, 50, 70, 1 << 22][rng.below(4)];
    [vec![1, groups, of_group, 3, 3 * 64, rng.below(3 * 64) as i32, window], vec![1, blocks]]
}

#[test]
fn fused_kernels_are_one_after_the_other() {
    let library = library();
    let pairs = library.fused().unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(pairs.len(), FUSED.len());
    for (pair, launch) in pairs.iter().zip(FUSED) {
        let ([producer, consumer], func) = (pair.kernels, &pair.func);
        assert_eq!(
            (&launch.name, &launch.producer, &launch.consumer),
            (&&*func.name, &&*producer.name, &&*consumer.name)
        );
        for seed in 0..9 {
            let mut rng = Rng::new(seed);
            let wild = seed % 3 == 2;
            let [own, others] = sizes(launch.name, &mut rng);
            let first = filled(producer, own, wild, &mut rng);
            let done = meaning(producer, &first);
            let mut then = filled(consumer, others, wild, &mut rng);
            let (written, read) = launch.edge;
            assert_eq!(done[written].len(), then.buffers[read].len(), "the sizes agree");
            then.buffers[read] = done[written].clone();

            let ints = launch.ints((&first.ints, producer.dims.len()), (&then.ints, consumer.dims.len()));
            let floats = launch.floats(&first.floats, &then.floats);
            let expected = launch.buffers(&refs(&done), &refs(&meaning(consumer, &then))).concat();
            let mut buffers: Vec<Vec<u8>> =
                launch.buffers(&refs(&first.buffers), &refs(&then.buffers)).into_iter().map(<[u8]>::to_vec).collect();
            let workers = [1, 2, 3, 60][rng.below(4)];
            func.with_layouts(&ints, &mut buffers, |buffers| {
                run_at_once(func, &ints, &floats, buffers, workers, |n| rng.below(n))
            })
            .unwrap_or_else(|e| panic!("{} {ints:?}: {e}", func.name));
            assert!(buffers.concat() == expected, "{} {ints:?} by {workers} workers: other bits", func.name);
            let code = &launch.cuda;
            let told = ((code.fits)(&ints), Some(code.work(&ints)), Some(code.counters(&ints)));
            assert_eq!(told, (true, func.work_items(&ints), func.counters(&ints)));
        }
    }
}

fn refs(buffers: &[Vec<u8>]) -> Vec<&[u8]> {
    buffers.iter().map(Vec::as_slice).collect()
}
