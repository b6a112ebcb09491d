//! What all executors do alike with a step: which ones fit, and what stages are given of it.
use super::ExecError;
use crate::plan::{Size, Step};

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

/// The values of integer parameters. A size that does not fit is one that no kernel accepts.
pub fn ints(sizes: &[Size], step: &Step) -> Vec<i32> {
    sizes.iter().map(|&size| i32::try_from(step.get(size)).unwrap_or(-1)).collect()
}
