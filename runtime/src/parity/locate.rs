//! The first stage of a step that leaves different bytes behind: both executors run stage by stage, side by side.
use super::{Element, check::Sides};
use crate::{
    Error,
    plan::{BoundStage, Buffer, Step},
};
use serde::Serialize;
use std::fmt;

/// The first element that differs, in the first stage that writes one.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Difference {
    /// Number of the step.
    pub step: usize,
    /// Name of the stage in the plan.
    pub stage: String,
    /// The layer; none before and after the layers.
    pub layer: Option<usize>,
    /// What the stage computes there: its name without the layer.
    pub operation: String,
    /// The stage's kernel.
    pub kernel: String,
    /// The buffer that the stage writes.
    pub buffer: String,
    /// Index of the element in the buffer, by its extents.
    pub index: Vec<usize>,
    /// How many of the elements differ that the stage writes in this step.
    pub differing: usize,
    /// How many it writes.
    pub elements: usize,
    /// The reference's element.
    pub reference: Element,
    /// That of the executor under test.
    pub tested: Element,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let Difference { step, operation, kernel, buffer, index, differing, elements, reference, tested, .. } = self;
        let layer = self.layer.map_or(String::new(), |layer| format!("layer {layer}, "));
        write!(
            f,
            "step {step}, {layer}operation {operation} (kernel {kernel}), {buffer}{index:?}: reference {reference}, \
             tested {tested}; {differing} of {elements} elements differ"
        )
    }
}

/// Repeats a step of both sides, and finds the first difference in it. None where there is none this time. Of several stages
/// in one launch, each is compared by what it leaves in memory.
pub(super) fn locate(
    sides: &mut Sides,
    number: usize,
    tokens: &[i32],
    step: &Step,
) -> Result<Option<Difference>, Error> {
    sides.reference.begin(tokens, step.position, step.outputs)?;
    sides.tested.begin(tokens, step.position, step.outputs)?;
    for index in 0..sides.stages.len() {
        sides.reference.stage(index)?;
        sides.tested.stage(index)?;
        let stage = &sides.stages[index];
        if !sides.tested.leaves(index) {
            continue;
        }
        if let Some(found) = written(sides, stage, step)? {
            return Ok(Some(found.named(number, stage)));
        }
    }
    Ok(None)
}

/// Where two buffers differ.
struct Found {
    buffer: String,
    index: Vec<usize>,
    differing: usize,
    elements: usize,
    reference: Element,
    tested: Element,
}

impl Found {
    fn named(self, step: usize, stage: &BoundStage) -> Difference {
        let Found { buffer, index, differing, elements, reference, tested } = self;
        let in_layer = stage.name.strip_prefix("blk.").and_then(|rest| rest.split_once('.'));
        let in_layer = in_layer.and_then(|(layer, operation)| Some((layer.parse().ok()?, operation)));
        let (layer, operation) = match in_layer {
            Some((layer, operation)) => (Some(layer), operation),
            None => (None, stage.name.as_str()),
        };
        let (stage, kernel, operation) = (stage.name.clone(), stage.kernel.name.into(), operation.into());
        Difference { step, stage, layer, operation, kernel, buffer, index, differing, elements, reference, tested }
    }
}

/// Compares what a stage has written in this step.
fn written(sides: &Sides, stage: &BoundStage, step: &Step) -> Result<Option<Found>, Error> {
    let args = stage.args.iter().zip(stage.kernel.buffers).filter(|(_, info)| info.written);
    for (arg, info) in args.filter(|_| stage.has_work(step)) {
        let buffer = sides.plan.buffer(arg.buffer);
        let part = buffer.changed(step);
        let a = sides.reference.read(arg.buffer, part.clone())?;
        let b = sides.tested.read(arg.buffer, part.clone())?;
        if a != b {
            return Ok(Some(compare(buffer, info.elem, step, part.start, (&a, &b))));
        }
    }
    Ok(None)
}

/// The first of the elements that differ, of which there is one; the bytes begin at `start` in the buffer.
fn compare(buffer: &Buffer, ty: &str, step: &Step, start: usize, (a, b): (&[u8], &[u8])) -> Found {
    let bytes = buffer.elem_bytes;
    let differ = |at: &usize| a[at * bytes..][..bytes] != b[at * bytes..][..bytes];
    let elements = a.len().min(b.len()) / bytes;
    let first = (0..elements).find(differ).unwrap_or(0);
    let (a, b) = (&a[first * bytes..][..bytes], &b[first * bytes..][..bytes]);
    let byte = a.iter().zip(b).position(|(a, b)| a != b).unwrap_or(0);
    Found {
        buffer: buffer.name.clone(),
        index: index(buffer, step, start / bytes + first),
        differing: (0..elements).filter(differ).count(),
        elements,
        reference: Element::new(ty, a, byte),
        tested: Element::new(ty, b, byte),
    }
}

/// The index of an element by the extents of its buffer.
fn index(buffer: &Buffer, step: &Step, mut element: usize) -> Vec<usize> {
    let mut index: Vec<usize> = buffer.shape[1..]
        .iter()
        .rev()
        .map(|&size| {
            let extent = step.get(size).max(1);
            let at = element % extent;
            element /= extent;
            at
        })
        .collect();
    index.push(element);
    index.reverse();
    index
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{Role, Size};

    #[test]
    fn an_element_is_named_by_its_index() {
        let shape = vec![Size::Chunks, Size::Fixed(3), Size::Fixed(4)];
        let buffer = Buffer { name: "b".into(), role: Role::Activation, elem_bytes: 2, shape };
        let step = Step { tokens: 1, outputs: 1, position: 0, chunks: 5 };
        assert_eq!(index(&buffer, &step, 2 * 12 + 4 + 3), [2, 1, 3]);
        let (a, mut b) = ([0; 24], [0; 24]);
        b[15] = 0x3c;
        b[20] = 1;
        let found = compare(&buffer, "f16", &step, 24, (&a, &b));
        assert_eq!((found.index, found.differing, found.elements), (vec![1, 1, 3], 2, 12));
        assert_eq!((found.reference.value, found.tested.value), (Some(0.0), Some(1.0)));
    }
}
