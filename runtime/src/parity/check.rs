//! The check: both executors get the same tokens, in the steps that serve, and what each step leaves behind is compared.
use super::{Argmax, Report, Row, Trace, locate::locate};
use crate::{
    Error,
    exec::{ExecError, Executor},
    plan::{BoundStage, BufferId, Plan, Role, Step},
};

/// What is fed.
#[derive(Clone, Copy, Debug)]
pub struct Feed<'a> {
    /// Position of the first token. Where it is not 0, both KV caches hold the same before it, see [`crate::exec::fill_to_depth`].
    pub start: usize,
    /// The tokens of the prefill, at least 1.
    pub prompt: &'a [u32],
    /// Most of them to be fed at a time, where the executors' largest step has no fewer.
    pub cut: usize,
    /// Decode steps after it, each with the token that the reference finds most likely.
    pub steps: usize,
}

impl<'a> Feed<'a> {
    /// From position 0 on, and as many tokens at a time as the executors take.
    pub fn new(prompt: &'a [u32], steps: usize) -> Feed<'a> {
        Feed { start: 0, prompt, cut: usize::MAX, steps }
    }
}

/// The two executors, of the same plan and model.
pub(super) struct Sides<'c> {
    pub plan: &'c Plan,
    pub stages: Vec<BoundStage>,
    pub reference: &'c mut dyn Executor,
    pub tested: &'c mut dyn Executor,
}

/// Compares two executors of `plan`; `progress` gets each step's row. Both must have room for all positions. What fails on the
/// way makes the report one of inequality.
pub fn check(
    plan: &Plan,
    reference: &mut dyn Executor,
    tested: &mut dyn Executor,
    feed: &Feed,
    progress: &mut dyn FnMut(&Row),
) -> Report {
    check_and_trace(plan, reference, tested, feed, None, progress)
}

/// The same, and keeps what the reference has left behind in a trace, where there is one.
pub fn check_and_trace(
    plan: &Plan,
    reference: &mut dyn Executor,
    tested: &mut dyn Executor,
    feed: &Feed,
    trace: Option<&mut Trace>,
    progress: &mut dyn FnMut(&Row),
) -> Report {
    let mut report = Report::default();
    let done = plan.bind(kernels_gen::kernel).map_err(Error::from).and_then(|stages| {
        let sides = Sides { plan, stages, reference, tested };
        Check { sides, position: feed.start, report: &mut report, trace, progress }.run(feed)
    });
    report.failure = done.err().map(|error| error.to_string());
    report.equal = report.failure.is_none() && report.cache_equal && report.steps.iter().all(Row::equal);
    report
}

struct Check<'c> {
    sides: Sides<'c>,
    position: usize,
    report: &'c mut Report,
    trace: Option<&'c mut Trace>,
    progress: &'c mut dyn FnMut(&Row),
}

impl Check<'_> {
    fn run(&mut self, feed: &Feed) -> Result<(), Error> {
        // A token beyond i32 is beyond every vocabulary, as -1 is, and refused as such.
        let prompt: Vec<i32> = feed.prompt.iter().map(|&token| i32::try_from(token).unwrap_or(-1)).collect();
        let most = self.sides.reference.limits().tokens.min(self.sides.tested.limits().tokens);
        let chunks = self.chunks();
        if let Some(trace) = &mut self.trace {
            trace.begin(feed.start, chunks);
        }
        let mut next = None;
        for part in prompt.chunks(most.min(feed.cut).max(1)) {
            let last = self.position + part.len() == feed.start + prompt.len();
            next = self.step(part, usize::from(last))?;
        }
        self.keep(&prompt)?;
        for _ in 0..feed.steps {
            let token = next.ok_or(Error::Failure("nothing was fed".into()))?;
            next = self.step(&[token], 1)?;
            self.keep(&[token])?;
        }
        if let Some(trace) = &mut self.trace {
            trace.finish(self.sides.plan, self.sides.reference)?;
        }
        let all = Step { tokens: self.chunks() * crate::plan::CHUNK, outputs: 0, position: 0, chunks: self.chunks() };
        self.report.cache_equal = self.caches_equal(&all)?;
        Ok(())
    }

    /// Puts what the reference has computed of these tokens into the trace.
    fn keep(&mut self, tokens: &[i32]) -> Result<(), Error> {
        match &mut self.trace {
            Some(trace) => Ok(trace.add(self.sides.plan, self.sides.reference, tokens)?),
            None => Ok(()),
        }
    }

    /// Chunks of the KV cache that both sides have.
    fn chunks(&self) -> usize {
        self.sides.reference.limits().chunks.min(self.sides.tested.limits().chunks)
    }

    /// One step of both sides; the token that the reference finds most likely, where the step has logits.
    fn step(&mut self, tokens: &[i32], outputs: usize) -> Result<Option<i32>, Error> {
        let step = Step { tokens: tokens.len(), outputs, position: self.position, chunks: self.chunks() };
        let on = |side: &'static str| move |error: ExecError| Error::Failure(format!("{side}: {error}"));
        self.sides.reference.step(tokens, self.position, outputs).map_err(on("reference"))?;
        self.sides.tested.step(tokens, self.position, outputs).map_err(on("tested"))?;
        let row = self.compare(&step)?;
        (self.progress)(&row);
        let next = self.sides.reference.best().last().copied();
        let nan = self.sides.reference.logits().iter().any(|logit| logit.is_nan());
        let differs = !row.equal() && self.report.difference.is_none();
        let number = row.step;
        self.report.steps.push(row);
        if differs {
            self.report.difference = locate(&mut self.sides, number, tokens, &step)?;
        }
        if nan {
            return Err(ExecError::NotANumber { position: self.position + tokens.len() - 1 }.into());
        }
        self.position += tokens.len();
        Ok(next)
    }

    fn compare(&self, step: &Step) -> Result<Row, Error> {
        let (a, b) = (self.sides.reference.logits(), self.sides.tested.logits());
        let has_logits = !a.is_empty() || !b.is_empty();
        let argmax = self.sides.reference.best().last().zip(self.sides.tested.best().last());
        Ok(Row {
            step: self.report.steps.len(),
            position: step.position,
            tokens: step.tokens,
            logits_equal: has_logits.then(|| same_bits(a, b)),
            cache_equal: self.caches_equal(step)?,
            cosine: has_logits.then(|| cosine(a, b)),
            largest_difference: has_logits.then(|| largest_difference(a, b)),
            argmax: argmax.map(|(&reference, &tested)| Argmax { reference, tested }),
        })
    }

    /// Whether all bytes of the KV cache are the same that the step can have changed.
    fn caches_equal(&self, step: &Step) -> Result<bool, Error> {
        for (id, buffer) in self.sides.plan.buffers.iter().enumerate() {
            if let Role::Cache = buffer.role {
                let (id, part) = (BufferId(id), buffer.changed(step));
                if self.sides.reference.read(id, part.clone())? != self.sides.tested.read(id, part)? {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }
}

fn same_bits(a: &[f32], b: &[f32]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.to_bits() == b.to_bits())
}

/// The cosine of the angle between two vectors, in float64.
fn cosine(a: &[f32], b: &[f32]) -> f64 {
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum::<f64>();
    dot(a, b) / (dot(a, a).sqrt() * dot(b, b).sqrt())
}

/// The largest distance of two elements; NaN where one is NaN.
fn largest_difference(a: &[f32], b: &[f32]) -> f64 {
    let distances = a.iter().zip(b).map(|(&a, &b)| if a == b { 0.0 } else { (f64::from(a) - f64::from(b)).abs() });
    distances.fold(0.0, |most, d| if d.is_nan() || most.is_nan() { f64::NAN } else { most.max(d) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_are_compared_and_not_values() {
        assert!(same_bits(&[1.0, f32::NAN], &[1.0, f32::NAN]));
        assert!(!same_bits(&[0.0], &[-0.0]) && !same_bits(&[1.0], &[1.0, 2.0]));
    }

    #[test]
    fn distances_are_those_of_the_worst() {
        assert!((cosine(&[1.0, 2.0], &[2.0, 4.0]) - 1.0).abs() < 1e-12);
        assert_eq!(cosine(&[1.0, 0.0], &[0.0, 3.0]), 0.0);
        assert_eq!(largest_difference(&[1.0, 5.0, f32::INFINITY], &[1.5, 2.0, f32::INFINITY]), 3.0);
        assert!(largest_difference(&[f32::NAN, 1.0], &[0.0, 1.0]).is_nan());
    }
}
