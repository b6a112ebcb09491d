//! Our logits against a float64 forward pass, and how llama.cpp's compare: equal bits are not bought with a worse answer.
use apr::plan::Activations;
use tests::{
    data::Oracle,
    logits::{argmax, lead, logits, logits_with, median, nmse, rms_error},
};

/// Our median error may be this much of llama.cpp's.
const MOST: f64 = 1.1;

fn compare(name: &'static str) {
    let Some(oracle) = Oracle::open("oracle", name) else { return };
    let (ours, vocabulary) = logits(&oracle.model, &oracle.tokens);
    let (truth, llama) = (oracle.truth(), oracle.llama());
    assert!(oracle.tokens.len() > 4 * 64, "too few positions for several chunks to merge");
    assert_eq!(ours.len(), truth.len());

    let (own, theirs) = (median(nmse(&ours, &truth, vocabulary)), median(nmse(&llama, &truth, vocabulary)));
    println!("{name}: median NMSE {own:.3e}, llama.cpp's {theirs:.3e}");
    assert!(own <= MOST * theirs, "{name}: median NMSE {own:.3e}, llama.cpp's is {theirs:.3e}");

    // Without the 8 bits of the activations, what is left is float rounding, but for a near tie between experts.
    for activations in [Activations::Q16k, Activations::F32] {
        let (ours, _) = logits_with(&oracle.model, &oracle.tokens, activations);
        let own = median(nmse(&ours, &truth, vocabulary));
        println!("{name}: median NMSE {own:.3e} with {activations}");
        assert!(own <= theirs / 100.0, "{name}: median NMSE {own:.3e} with {activations}, llama.cpp's is {theirs:.3e}");
    }

    let clear = 4.0 * rms_error(&ours, &truth);
    let rows = || ours.chunks(vocabulary).zip(truth.chunks(vocabulary));
    let decided = rows().filter(|(_, truth)| f64::from(lead(truth)) > clear).count();
    assert!(decided > 0, "{name}: no position has a clear best token");
    for (position, (ours, truth)) in rows().enumerate() {
        let (own, right) = (argmax(ours), argmax(truth));
        assert!(own == right || f64::from(lead(truth)) <= clear, "{name}: position {position}: {own}, truth {right}");
    }
}

tests::test_each_oracle!(compare);
