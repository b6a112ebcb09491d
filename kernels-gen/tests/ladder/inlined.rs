//! A kernel with others in it gives what they give one after the other, with its parameters from theirs as apr takes them.
use super::data::{Case, Rng, case, filled};
use super::{library, meaning};
use kernels_gen::{INLINED, Inlined};
use kgen::ir::Kernel;

/// The parameters of the kernels by themselves, made from those of the whole.
fn apart(launch: &Inlined, kernels: &[&Kernel], whole: &Case, rng: &mut Rng) -> Vec<Case> {
    let mut ints: Vec<Vec<i32>> = kernels.iter().map(|k| vec![0; k.dims.len() + k.scalars.len()]).collect();
    let mut floats: Vec<Vec<f32>> = kernels.iter().map(|k| vec![0.0; k.scalars.len()]).collect();
    launch.ints.iter().zip(&whole.ints).for_each(|(to, v)| to.iter().for_each(|&(k, i)| ints[k][i] = *v));
    launch.floats.iter().zip(&whole.floats).for_each(|(to, v)| to.iter().for_each(|&(k, i)| floats[k][i] = *v));
    let table = |k: &Kernel| kernels_gen::kernel(&k.name).expect("it is generated");
    let mut cases: Vec<Case> = Vec::new();
    for (k, kernel) in kernels.iter().enumerate() {
        ints[k].truncate(table(kernel).ints.len());
        floats[k].truncate(table(kernel).floats.len());
        let mut case = filled(kernel, ints[k].clone(), false, rng);
        case.floats = floats[k].clone();
        for (bytes, from) in whole.buffers.iter().zip(launch.buffers) {
            from.iter().filter(|(own, _)| *own == k).for_each(|&(_, b)| case.buffers[b] = bytes.clone());
        }
        cases.push(case);
    }
    cases
}

#[test]
fn inlined_kernels_are_one_after_the_other() {
    let library = library();
    let rows = library.recomputed().unwrap_or_else(|e| panic!("{e}")).len();
    assert_eq!(rows + library.inlined.len(), INLINED.len());
    for (inlined, launch) in library.inlined.iter().zip(&INLINED[rows..]) {
        let whole = &inlined.result.kernel;
        assert_eq!(
            (launch.kernel.name, launch.kernels),
            (&*whole.name, &inlined.kernels.iter().map(|n| &**n).collect::<Vec<_>>()[..])
        );
        let kernels: Vec<&Kernel> =
            inlined.kernels.iter().map(|name| library.kernel(name).unwrap_or_else(|e| panic!("{e}"))).collect();
        for seed in 0..12 {
            let mut rng = Rng::new(seed);
            let case = case(whole, seed % 3 == 2, &mut rng);
            let mut single = apart(launch, &kernels, &case, &mut rng);
            for edge in launch.edges {
                let (writer, written) = edge.writer;
                single[0].buffers[edge.reader.1] = meaning(kernels[writer], &single[writer])[written].clone();
            }
            let (expected, given) = (meaning(kernels[0], &single[0]), meaning(whole, &case));
            for ((buffer, given), from) in whole.buffers.iter().zip(&given).zip(launch.buffers) {
                let same = !buffer.written || *given == expected[from[0].1];
                assert!(same, "{} {:?}: other bits", whole.name, case.ints);
            }
            let ints: Vec<&[i32]> = single.iter().map(|case| &case.ints[..]).collect();
            assert_eq!(Inlined::pick(launch.ints, &ints), Some(case.ints.clone()));
        }
    }
}
