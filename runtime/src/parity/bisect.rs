//! One product with a quantized weight, by two definitions on the same bytes: activations quantized to blocks, and the weight
//! dequantized against float activations. Tells two definitions from two devices that do not agree on one.
use super::{
    Report,
    product::{PRODUCT, format, one_product},
};
use crate::{
    Error,
    exec::Executor,
    plan::{BoundStage, BufferId, CHUNK, Plan, Role, Step},
};
use serde::Serialize;

/// Rows of the weight that are dequantized at a time.
const ROWS: usize = 1024;
const FLOAT: usize = size_of::<f32>();

/// The comparison.
#[derive(Clone, Debug, Serialize)]
pub struct Bisection {
    /// Name of the product's stage in the model's plan.
    pub stage: String,
    /// Its weight.
    pub weight: String,
    /// Rows of the weight, each of which gives a number.
    pub rows: usize,
    /// How far the definitions are apart on the reference.
    pub reference: Distance,
    /// How far they are apart on the executor under test.
    pub tested: Distance,
    /// Numbers that differ between the two executors with quantized activations.
    pub quantized_differing: usize,
    /// Numbers that differ between the two executors with the dequantized weight.
    pub float_differing: usize,
}

/// How far the product with quantized activations is from that with the dequantized weight, on one executor.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Distance {
    /// The root of the squares of the differences by those of the float product, in percent.
    pub relative_rms_percent: f64,
}

/// Both products of one executor.
struct Products {
    quantized: Vec<f32>,
    float: Vec<f32>,
}

/// Makes an executor of a plan: the reference's kind, or, where `tested`, the other one.
pub type Make<'a, 'm> = dyn FnMut(bool, &Plan, Step) -> Result<Box<dyn Executor + 'm>, Error> + 'a;

/// Compares the definitions for one stage: `stage`, else the first that differs in `report`, else the first product of the
/// plan. The activations are those that `reference` has for the last of `tokens`, which fit into one step.
pub fn bisect<'m>(
    plan: &Plan,
    report: &Report,
    stage: Option<&str>,
    reference: &mut dyn Executor,
    tokens: &[i32],
    make: &mut Make<'_, 'm>,
) -> Result<Bisection, Error> {
    let stages = plan.bind(kernels_gen::kernel)?;
    let number = pick(&stages, report, stage)?;
    let x = activations(plan, &stages, number, reference, tokens)?;
    let (product, rows) = one_product(plan, &stages[number], x)?;
    let limits = Step { tokens: rows.min(ROWS), outputs: 1, position: 0, chunks: ROWS.div_ceil(CHUNK) };
    let a = products(make(false, &product, limits)?.as_mut(), rows)?;
    let b = products(make(true, &product, limits)?.as_mut(), rows)?;
    let differing = |a: &[f32], b: &[f32]| a.iter().zip(b).filter(|(a, b)| a.to_bits() != b.to_bits()).count();
    Ok(Bisection {
        stage: stages[number].name.clone(),
        weight: product.buffers[0].name.clone(),
        rows,
        reference: a.distance(),
        tested: b.distance(),
        quantized_differing: differing(&a.quantized, &b.quantized),
        float_differing: differing(&a.float, &b.float),
    })
}

/// Refuses the name of a stage that cannot be bisected, with the names of those that can.
pub fn check_bisected(plan: &Plan, stage: Option<&str>) -> Result<(), Error> {
    pick(&plan.bind(kernels_gen::kernel)?, &Report::default(), stage).map(drop)
}

fn pick(stages: &[BoundStage], report: &Report, name: Option<&str>) -> Result<usize, Error> {
    let product = |name: &str| stages.iter().position(|stage| stage.name == name && format(stage).is_some());
    let first = || stages.iter().position(|stage| format(stage).is_some());
    let found = match name {
        Some(name) => product(name),
        None => report.difference.as_ref().and_then(|difference| product(&difference.stage)).or_else(first),
    };
    found.ok_or_else(|| {
        let products = stages.iter().filter(|stage| format(stage).is_some()).map(|stage| stage.name.as_str());
        let names: Vec<&str> =
            products.filter(|name| !name.starts_with("blk.") || name.starts_with("blk.0.")).collect();
        match names[..] {
            [] => Error::usage("the model has no quantized matrices", "leave --bisect out"),
            _ => Error::usage(
                format!("--bisect {}: there is no such product with a quantized matrix", name.unwrap_or_default()),
                format!("there are {}, and those of the other layers", names.join(", ")),
            ),
        }
    })
}

/// The float activations, of the last token, that the stage's input is quantized from.
fn activations(
    plan: &Plan,
    stages: &[BoundStage],
    number: usize,
    reference: &mut dyn Executor,
    tokens: &[i32],
) -> Result<Vec<f32>, Error> {
    let inputs: Vec<BufferId> = stages[number].reads().map(|arg| arg.buffer).collect();
    let quantizes = |stage: &BoundStage| {
        let quantizing = stage.kernel.name.starts_with("quantize_") || stage.kernel.name == "weigh_q8k";
        quantizing && stage.writes().any(|arg| inputs.contains(&arg.buffer))
    };
    let Some(quantize) = stages[..number].iter().rposition(quantizes) else {
        return Err(Error::Failure(format!("{} has no quantized input", stages[number].name)));
    };
    reference.begin(tokens, 0, 1)?;
    (0..quantize).try_for_each(|stage| reference.stage(stage))?;
    let step = Step { tokens: tokens.len(), outputs: 1, position: 0, chunks: reference.limits().chunks };
    // The last row of all that it reads, each as long as the first: the activations, and what weighs them.
    let mut rows = stages[quantize].reads().map(|arg| {
        let buffer = plan.buffer(arg.buffer);
        let end = buffer.bytes(&step).unwrap_or(0);
        let row = if matches!(buffer.role, Role::Weight(_)) { end } else { buffer.row_bytes(&step).unwrap_or(0) };
        let bytes = reference.read(arg.buffer, end - row..end)?;
        Ok::<Vec<f32>, Error>(bytes.as_chunks().0.iter().map(|number| f32::from_le_bytes(*number)).collect())
    });
    let mut x = rows.next().unwrap_or_else(|| Ok(Vec::new()))?;
    for weights in rows {
        x.iter_mut().zip(weights?).for_each(|(x, weight)| *x *= weight);
    }
    Ok(x)
}

/// Both products of an executor that [`one_product`]'s plan was made for.
fn products(executor: &mut dyn Executor, rows: usize) -> Result<Products, Error> {
    let all: Vec<i32> = (0..rows as i32).collect();
    let mut float = Vec::with_capacity(rows);
    for rows in all.chunks(executor.limits().tokens) {
        executor.step(rows, 0, 1)?;
        float.extend_from_slice(executor.logits());
    }
    let bytes = executor.read(PRODUCT, 0..rows * FLOAT)?;
    let quantized = bytes.as_chunks().0.iter().map(|number| f32::from_le_bytes(*number)).collect();
    Ok(Products { quantized, float })
}

impl Products {
    fn distance(&self) -> Distance {
        let squares = |pairs: &mut dyn Iterator<Item = f64>| pairs.map(|x| x * x).sum::<f64>();
        let pairs = self.quantized.iter().zip(&self.float);
        let error = squares(&mut pairs.map(|(&q, &f)| f64::from(q) - f64::from(f)));
        let size = squares(&mut self.float.iter().map(|&f| f64::from(f)));
        Distance { relative_rms_percent: 100.0 * (error / size).sqrt() }
    }
}
