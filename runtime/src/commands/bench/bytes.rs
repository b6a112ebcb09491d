//! How many bytes a token of an answer takes from memory.
use crate::plan::{Arg, BufferId, CHUNK, Plan, Role, Size, Stage, Step};

/// What one token reads, as it lies in the model file and in the KV cache: what a layout adds to it in memory does not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TokenBytes {
    /// The weights of all stages, the output matrix among them; of an embedding that is only looked up, one row, and of experts
    /// those that are used.
    pub weights: u64,
    /// The keys and values of its own position and of those before that it sees.
    pub cache: u64,
}

impl TokenBytes {
    /// For a token at this position.
    pub fn at(plan: &Plan, position: usize) -> TokenBytes {
        let step = Step { tokens: 1, outputs: 1, position, chunks: (position + 1).div_ceil(CHUNK) };
        let mut bytes = TokenBytes { weights: 0, cache: 0 };
        for (id, buffer) in plan.buffers.iter().enumerate() {
            let whole = buffer.bytes(&step).unwrap_or(0);
            match buffer.role {
                Role::Weight(_) if is_looked_up(plan, id) => {
                    bytes.weights += buffer.row_bytes(&step).unwrap_or(0) as u64;
                }
                Role::Weight(_) => {
                    let (used, of) = routed(plan, id).unwrap_or((1, 1));
                    bytes.weights += (whole / of * used) as u64;
                }
                Role::Cache => {
                    let seen = window(plan, id).unwrap_or(usize::MAX).min(position + 1);
                    bytes.cache += (whole / step.chunks / CHUNK * seen) as u64;
                }
                Role::Input | Role::Table(_) | Role::Activation => {}
            }
        }
        bytes
    }

    /// Both together.
    pub fn total(&self) -> u64 {
        self.weights + self.cache
    }
}

/// How many experts a token uses of how many, where a weight is that of experts.
fn routed(plan: &Plan, weight: usize) -> Option<(usize, usize)> {
    let stage = plan
        .stages
        .iter()
        .find(|stage| stage.args.contains(&("w", Arg { buffer: BufferId(weight), outputs_only: false })))?;
    Some((fixed(stage, "S")?, fixed(stage, "E")?))
}

/// How many positions the stage sees that attends to a cache.
fn window(plan: &Plan, cache: usize) -> Option<usize> {
    let takes = |stage: &&Stage| stage.args.iter().any(|(_, arg)| arg.buffer.0 == cache);
    plan.stages.iter().filter(takes).find_map(|stage| fixed(stage, "window"))
}

/// An integer of a stage that is the same in all steps.
fn fixed(stage: &Stage, name: &str) -> Option<usize> {
    match stage.ints.iter().find(|(own, _)| *own == name)?.1 {
        Size::Fixed(n) => Some(n),
        _ => None,
    }
}

/// Whether every stage that takes a weight takes the step's tokens, too: only their rows are read.
fn is_looked_up(plan: &Plan, weight: usize) -> bool {
    let takes = |stage: &&Stage| stage.args.iter().any(|(_, arg)| arg.buffer.0 == weight);
    let is_input = |id: usize| matches!(plan.buffers[id].role, Role::Input);
    plan.stages.iter().filter(takes).all(|stage| stage.args.iter().any(|(_, arg)| is_input(arg.buffer.0)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Buffer;

    #[test]
    fn a_token_reads_all_weights_one_row_of_the_embedding_and_the_cache() {
        let fixed = Size::Fixed;
        let buffer =
            |role, elem_bytes, shape: &[Size]| Buffer { name: String::new(), role, elem_bytes, shape: shape.to_vec() };
        let buffers = vec![
            buffer(Role::Input, 4, &[Size::Tokens]),
            buffer(Role::Weight(None), 144, &[fixed(1000), fixed(2)]),
            buffer(Role::Weight(None), 144, &[fixed(10), fixed(2)]),
            buffer(Role::Cache, 2, &[Size::Chunks, fixed(3), fixed(CHUNK)]),
        ];
        let stage = |args: &[usize]| {
            let args = args.iter().map(|&i| ("", Arg { buffer: BufferId(i), outputs_only: false })).collect();
            Stage { name: String::new(), kernel: String::new(), ints: Vec::new(), floats: Vec::new(), args }
        };
        let mut plan = Plan { buffers, stages: vec![stage(&[0, 1]), stage(&[2, 3])] };
        assert_eq!(TokenBytes::at(&plan, 99), TokenBytes { weights: 288 + 2880, cache: 600 });
        plan.stages.push(stage(&[1, 3]));
        let tied = TokenBytes { weights: 288_000 + 2880, cache: 600 };
        assert_eq!(TokenBytes::at(&plan, 99), tied, "a tied embedding is read as the output matrix");
        assert_eq!(tied.total(), 291_480);
        let (weight, experts) = (plan.stages[1].args[0].1, [("S", fixed(2)), ("E", fixed(10))]);
        plan.stages[1] = Stage { ints: experts.to_vec(), args: vec![("w", weight)], ..plan.stages[1].clone() };
        assert_eq!(TokenBytes::at(&plan, 99).weights, 288_000 + 2880 / 10 * 2, "2 of 10 experts are read");
        plan.stages.push(Stage { ints: vec![("window", fixed(30))], ..stage(&[3]) });
        assert_eq!(
            (TokenBytes::at(&plan, 99).cache, TokenBytes::at(&plan, 9).cache),
            (180, 60),
            "30 positions are seen"
        );
    }
}
