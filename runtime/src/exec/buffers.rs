//! What all executors do alike with a plan's buffers: which bytes a stage takes, and where constants come from.
use super::ExecError;
use crate::{
    gguf::Gguf,
    plan::{Arg, Buffer, RowFn, Step},
};

/// The offset and length in bytes of an argument in its buffer. Where sizes overflow it is empty, which a launch refuses.
pub fn part(buffer: &Buffer, arg: Arg, step: &Step) -> (usize, usize) {
    let row = buffer.row_bytes(step).unwrap_or(0);
    let rows = step.get(buffer.shape[0]);
    let taken = if arg.outputs_only { rows.min(step.outputs) } else { rows };
    ((rows - taken) * row, taken * row)
}

/// All bytes of a buffer in the largest step.
pub fn most_bytes(buffer: &Buffer, limits: &Step) -> Result<usize, ExecError> {
    let bytes = "more than memory can have".into();
    buffer.bytes(limits).ok_or_else(|| ExecError::Memory { buffer: buffer.name.clone(), bytes })
}

/// The bytes of a weight in the model file.
pub fn weight<'m>(buffer: &Buffer, model: &'m Gguf, limits: &Step) -> Result<&'m [u8], ExecError> {
    let (data, expected) = (buffer.tensor(model).map_or(&[][..], |tensor| tensor.data), most_bytes(buffer, limits)?);
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
