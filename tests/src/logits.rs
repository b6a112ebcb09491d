//! Logits through the library, and how far they are from others.
use apr::{
    exec::{
        ExecError, Session,
        cpu::{Cpu, Setup},
    },
    gguf::Gguf,
    model::Model,
    plan::{Activations, CHUNK, Step, transformer_with},
};
use kernels_gen::Isa;
use std::path::Path;

/// A session on `model` with room for `positions`, fed at most `tokens` at a time, `outputs` of which get logits.
pub fn session(file: &Gguf, positions: usize, tokens: usize, outputs: usize) -> Session<'_> {
    session_with(file, (positions, tokens, outputs), Activations::default())
}

/// The same with other activations.
pub fn session_with(
    file: &Gguf,
    (positions, tokens, outputs): (usize, usize, usize),
    activations: Activations,
) -> Session<'_> {
    let model = Model::load(file).expect("the model is supported");
    let limits = Step { tokens, outputs, position: 0, chunks: positions.div_ceil(CHUNK) };
    let setup = Setup { threads: 2, isa: Isa::best(), limits };
    Session::new(Box::new(
        Cpu::new(&transformer_with(&model, activations, positions), file, setup, &|_, _| ())
            .expect("there is memory for a small model"),
    ))
}

/// The logits of all positions, `[tokens, vocabulary]`, and the size of the vocabulary.
pub fn logits(model: &Path, tokens: &[u32]) -> (Vec<f32>, usize) {
    logits_with(model, tokens, Activations::default())
}

/// The same with other activations.
pub fn logits_with(model: &Path, tokens: &[u32], activations: Activations) -> (Vec<f32>, usize) {
    let file = Gguf::open(model).expect("the model opens");
    let mut session = session_with(&file, (tokens.len(), 64, 64), activations);
    let mut all = Vec::new();
    let add = |logits: &[f32]| -> Result<(), ExecError> {
        all.extend_from_slice(logits);
        Ok(())
    };
    session.prefill_all(tokens, add).expect("the forward pass runs");
    let vocabulary = all.len() / tokens.len();
    (all, vocabulary)
}

/// The index of the largest; the first of equals.
pub fn argmax(row: &[f32]) -> usize {
    (1..row.len()).fold(0, |best, i| if row[i] > row[best] { i } else { best })
}

/// How far the largest is above the second largest.
pub fn lead(row: &[f32]) -> f32 {
    let best = argmax(row);
    let second = row.iter().enumerate().filter(|(i, _)| *i != best).map(|(_, &x)| x).fold(f32::NEG_INFINITY, f32::max);
    row[best] - second
}

/// Squared error by the squares of the truth, for each row.
pub fn nmse(rows: &[f32], truth: &[f32], vocabulary: usize) -> Vec<f64> {
    assert_eq!(rows.len(), truth.len());
    let row = |(ours, truth): (&[f32], &[f32])| {
        squares(ours, truth) / truth.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>()
    };
    rows.chunks(vocabulary).zip(truth.chunks(vocabulary)).map(row).collect()
}

/// The root of the mean squared error.
pub fn rms_error(ours: &[f32], truth: &[f32]) -> f64 {
    (squares(ours, truth) / ours.len() as f64).sqrt()
}

fn squares(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(&a, &b)| (f64::from(a) - f64::from(b)).powi(2)).sum()
}

/// The middle one, or the mean of the two in the middle.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let n = values.len();
    (values[(n - 1) / 2] + values[n / 2]) / 2.0
}
