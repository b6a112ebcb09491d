//! What all executors do alike with a plan's buffers: which bytes a stage takes, where constants come from, which steps fit.
use super::ExecError;
use crate::{
    gguf::Gguf,
    plan::{Arg, Buffer, RowFn, Size, Step},
};

/// Refuses a step that is empty, or larger than `limits`.
pub fn check_step(limits: &Step, tokens: usize, position: usize, outputs: usize) -> Result<(), ExecError> {
    let &Step { tokens: most_tokens, outputs: most_outputs, .. } = limits;
    if tokens == 0 || tokens > most_tokens || outputs > most_outputs.min(tokens) {
        return Err(ExecError::StepSize { tokens, outputs, most_tokens, most_outputs });
    }
    let capacity = limits.get(Size::Capacity);
    if position > capacity || tokens > capacity - position {
        return Err(ExecError::ContextFull { tokens, position, capacity });
    }
    Ok(())
}

/// The offset and length in bytes of an argument in its buffer. Where sizes overflow it is empty, which a launch refuses.
pub fn part(buffer: &Buffer, arg: Arg, step: &Step) -> (usize, usize) {
    let row = buffer.row_bytes(step).unwrap_or(0);
    let rows = step.get(buffer.shape[0]);
    let taken = if arg.outputs_only { rows.min(step.outputs) } else { rows };
    ((rows - taken) * row, taken * row)
}

/// The values of integer parameters. A size that does not fit is one that no kernel accepts.
pub fn ints(sizes: &[Size], step: &Step) -> Vec<i32> {
    sizes.iter().map(|&size| i32::try_from(step.get(size)).unwrap_or(-1)).collect()
}

/// All bytes of a buffer in the largest step.
pub fn most_bytes(buffer: &Buffer, limits: &Step) -> Result<usize, ExecError> {
    let bytes = "more than memory can have".into();
    buffer.bytes(limits).ok_or_else(|| ExecError::Memory { buffer: buffer.name.clone(), bytes })
}

/// The bytes of a weight in the model file.
pub fn weight<'m>(buffer: &Buffer, model: &'m Gguf, limits: &Step) -> Result<&'m [u8], ExecError> {
    let (data, expected) =
        (model.tensor(&buffer.name).map_or(&[][..], |tensor| tensor.data), most_bytes(buffer, limits)?);
    if data.len() == expected {
        return Ok(data);
    }
    Err(ExecError::WeightSize { buffer: buffer.name.clone(), given: data.len(), expected: expected.to_string() })
}

/// Fills the memory of a table, row by row.
pub fn fill_table(buffer: &Buffer, row: &RowFn, limits: &Step, memory: &mut [u8]) {
    let bytes = buffer.row_bytes(limits).unwrap_or(0);
    let mut numbers = vec![0.0; bytes / 4];
    for (index, to) in memory.chunks_exact_mut(bytes.max(1)).enumerate() {
        row(index, &mut numbers);
        for (to, number) in to.as_chunks_mut().0.iter_mut().zip(&numbers) {
            *to = number.to_le_bytes();
        }
    }
}
