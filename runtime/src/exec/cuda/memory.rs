//! How much of the GPU's memory a plan needs, known before any of it is taken.
use super::{CudaError, scratch::ScratchBytes};
use crate::{
    exec::weights::Weights,
    plan::{Plan, PlanSchedule, Role, Step},
};
use indicatif::HumanBytes;
use kernels_gen::Target;

/// What is left for the driver: kernels, stacks, and what rounding up takes.
const SPARE: usize = 128 << 20;
/// The driver gives memory in parts of this.
const GRAIN: usize = 512;

/// The bytes of a plan by what they are for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Need {
    /// The model's tensors.
    pub weights: usize,
    /// Keys and values.
    pub cache: usize,
    /// Everything else.
    pub activations: usize,
}

impl Need {
    /// For steps up to `limits`, with all placements.
    pub fn of(plan: &Plan, limits: &Step) -> Result<Need, crate::Error> {
        let bound = plan.bind(kernels_gen::kernel)?;
        let memory = Weights::of(plan, &bound, Target::Cuda)?;
        let scratch = ScratchBytes::most(plan, &bound, limits, PlanSchedule::ALL).total();
        let mut need = Need { activations: scratch.next_multiple_of(GRAIN), ..Need::default() };
        for (i, buffer) in plan.buffers.iter().enumerate() {
            let part = match buffer.role {
                Role::Weight(_) => &mut need.weights,
                Role::Cache => &mut need.cache,
                Role::Input | Role::Table(_) | Role::Activation => &mut need.activations,
            };
            *part = part.saturating_add(memory.most_bytes(plan, i, limits)?.next_multiple_of(GRAIN));
        }
        Ok(need)
    }

    /// All of it.
    pub fn total(&self) -> usize {
        self.weights.saturating_add(self.cache).saturating_add(self.activations)
    }

    /// Whether it fits into the memory of a GPU, with the figures where it does not.
    pub fn check(&self, gpu: &str, (free, total): (usize, usize)) -> Result<(), CudaError> {
        if self.total().saturating_add(SPARE) <= free {
            return Ok(());
        }
        let [need, weights, cache, activations, free, total] =
            [self.total().saturating_add(SPARE), self.weights, self.cache, self.activations, free, total]
                .map(|n| HumanBytes(n as u64));
        let message = format!(
            "the model does not fit into {gpu}: it needs {need} (weights {weights}, KV cache {cache}, activations \
             {activations}, the rest for the driver); {free} of {total} are free"
        );
        let help = "end other programs on the GPU, ask for fewer tokens (--max-tokens), take another GPU (--device cuda:N), \
            or use --device cpu";
        Err(CudaError::new(message, help))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{Buffer, CHUNK, Size};

    fn buffer(name: &str, role: Role, elem_bytes: usize, shape: &[Size]) -> Buffer {
        Buffer { name: name.into(), role, elem_bytes, shape: shape.to_vec() }
    }

    #[test]
    fn counts_every_buffer_and_says_what_is_missing() {
        let fixed = Size::Fixed;
        let buffers = vec![
            buffer("w", Role::Weight(None), 144, &[fixed(10), fixed(256)]),
            buffer("kv", Role::Cache, 2, &[Size::Chunks, fixed(CHUNK)]),
            buffer("x", Role::Activation, 4, &[Size::Tokens, fixed(1000)]),
        ];
        let limits = Step { tokens: 8, outputs: 1, position: 0, chunks: 4 };
        let plan = Plan { buffers, stages: Vec::new() };
        let need = Need::of(&plan, &limits).unwrap();
        assert_eq!(need, Need { weights: 368_640, cache: 512, activations: 32_256 });
        assert_eq!(need.check("a GPU", (SPARE + 401_408, SPARE)), Ok(()));
        let error = need.check("a GPU", (SPARE + 401_407, 1 << 33)).unwrap_err();
        assert!(error.message.contains("weights 360.00 KiB") && error.message.contains("of 8.00 GiB"), "{error}");

        let endless = Plan { buffers: vec![buffer("x", Role::Cache, 2, &[fixed(usize::MAX)])], stages: Vec::new() };
        assert!(Need::of(&endless, &limits).unwrap_err().to_string().contains("no memory for x"));
    }
}
