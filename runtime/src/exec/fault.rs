//! Faults for the self-test of the parity check: edits of an executor's memory, made in the path that serves.
use crate::{
    Error,
    plan::{BoundStage, Buffer, BufferId, CHUNK, Plan, Role, Size, Step},
};
use std::{fmt, str::FromStr};

/// The bit that is flipped in a byte, where it is 0; else it is the one below. In the highest byte of a float they are the
/// exponent's first bits: the number becomes much larger, so that no later rounding swallows the change.
pub const HIGH: u8 = 0x40;

/// A byte with one bit flipped.
pub fn flip(byte: u8) -> u8 {
    byte ^ if byte & HIGH == 0 { HIGH } else { HIGH >> 1 }
}

/// A fault as it is asked for: `bit:LAYER:OP`, `head:LAYER`, `offset:TENSOR` or `partial:TENSOR`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// One bit of what stage `blk.LAYER.OP` writes for the last token flips before the next stage reads it.
    Bit {
        /// The layer.
        layer: usize,
        /// The rest of the stage's name.
        op: String,
    },
    /// The result of the layer's first query head takes the place of the last one's.
    Head {
        /// The layer.
        layer: usize,
    },
    /// A weight's bytes lie one element, or one block, too early.
    Offset {
        /// The weight.
        tensor: String,
    },
    /// The upper half of a weight was never copied.
    Partial {
        /// The weight.
        tensor: String,
    },
}

/// A fault with its place in a plan.
#[derive(Clone, Debug)]
pub struct Planted(Site);

#[derive(Clone, Debug)]
enum Site {
    Stage { number: usize, id: BufferId, buffer: Buffer, heads: Option<usize> },
    Weight { id: BufferId, elem_bytes: usize, shifted: bool },
}

/// What happens to a buffer after a stage; places and lengths are in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Edit {
    /// One bit of a byte flips, see [`flip`].
    Flip {
        /// Which.
        at: usize,
    },
    /// Bytes take the place of others; the two do not overlap.
    Copy {
        /// The first that is read.
        from: usize,
        /// The first that is written.
        to: usize,
        /// How many.
        len: usize,
    },
}

impl FromStr for Fault {
    type Err = String;

    fn from_str(s: &str) -> Result<Fault, String> {
        let layer = |text: &str| text.parse().map_err(|_| format!("`{text}` is no number of a layer"));
        let parts: Vec<&str> = s.splitn(3, ':').collect();
        match parts[..] {
            ["bit", number, op] => Ok(Fault::Bit { layer: layer(number)?, op: op.into() }),
            ["head", number] => Ok(Fault::Head { layer: layer(number)? }),
            ["offset", tensor] => Ok(Fault::Offset { tensor: tensor.into() }),
            ["partial", tensor] => Ok(Fault::Partial { tensor: tensor.into() }),
            _ => Err("write bit:LAYER:OP, head:LAYER, offset:TENSOR or partial:TENSOR".into()),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Fault::Bit { layer, op } => write!(f, "bit:{layer}:{op}"),
            Fault::Head { layer } => write!(f, "head:{layer}"),
            Fault::Offset { tensor } => write!(f, "offset:{tensor}"),
            Fault::Partial { tensor } => write!(f, "partial:{tensor}"),
        }
    }
}

impl Fault {
    /// Finds the fault's place; where there is none, the error lists those that there are.
    pub fn place(&self, plan: &Plan) -> Result<Planted, Error> {
        let site = match self {
            Fault::Bit { layer, op } => {
                let (number, stage) = self.stage(plan, *layer, |_, name| name == op)?;
                written(plan, &stage, number, None)?
            }
            Fault::Head { layer } => {
                let (number, stage) = self.stage(plan, *layer, |stage, _| heads(plan, stage).is_some())?;
                let heads = heads(plan, number);
                if heads == Some(1) {
                    return Err(Error::usage(format!("--plant {self}: the model has one head"), "plant another fault"));
                }
                written(plan, &stage, number, heads)?
            }
            Fault::Offset { tensor } => self.weight(plan, tensor, true)?,
            Fault::Partial { tensor } => self.weight(plan, tensor, false)?,
        };
        Ok(Planted(site))
    }

    /// The stage of a layer that `is_it` picks by its number and the rest of its name.
    fn stage(
        &self,
        plan: &Plan,
        layer: usize,
        is_it: impl Fn(usize, &str) -> bool,
    ) -> Result<(usize, BoundStage), Error> {
        let prefix = format!("blk.{layer}.");
        let of_layer = || {
            let named = plan.stages.iter().enumerate();
            named.filter_map(|(number, stage)| Some((number, stage.name.strip_prefix(&prefix)?)))
        };
        let found = of_layer().find(|&(number, name)| is_it(number, name));
        if let Some((number, _)) = found {
            return Ok((number, plan.bind(kernels_gen::kernel)?.swap_remove(number)));
        }
        let names: Vec<&str> = of_layer().map(|(_, name)| name).collect();
        let message = format!("--plant {self}: there is no such stage");
        Err(Error::usage(
            message,
            match names[..] {
                [] => format!("the layers are 0 to {}", layers(plan).saturating_sub(1)),
                _ => format!("the stages of layer {layer} are {}", names.join(", ")),
            },
        ))
    }

    fn weight(&self, plan: &Plan, tensor: &str, shifted: bool) -> Result<Site, Error> {
        let weights = || plan.buffers.iter().filter(|buffer| matches!(buffer.role, Role::Weight(_)));
        if let Some(buffer) = weights().find(|buffer| buffer.name == tensor)
            && let Some(id) = plan.find(tensor)
        {
            return Ok(Site::Weight { id, elem_bytes: buffer.elem_bytes, shifted });
        }
        let first = |name: &&str| !name.starts_with("blk.") || name.starts_with("blk.0.");
        let names: Vec<&str> = weights().map(|buffer| buffer.name.as_str()).filter(first).collect();
        let help = format!("the tensors are {}, and the same of {} layers in all", names.join(", "), layers(plan));
        Err(Error::usage(format!("--plant {self}: there is no such tensor"), help))
    }
}

/// The query heads of an attention stage; none of another.
fn heads(plan: &Plan, stage: usize) -> Option<usize> {
    let stage = plan.stages.get(stage).filter(|stage| stage.kernel.starts_with("attention_"))?;
    let fixed = |name| stage.ints.iter().find(|(n, _)| *n == name).map(|(_, size)| *size);
    match (fixed("G")?, fixed("R")?) {
        (Size::Fixed(groups), Size::Fixed(of_group)) => Some(groups * of_group),
        _ => None,
    }
}

fn layers(plan: &Plan) -> usize {
    let layer = |name: &str| name.strip_prefix("blk.")?.split('.').next()?.parse::<usize>().ok();
    plan.stages.iter().filter_map(|stage| layer(&stage.name)).max().map_or(0, |last| last + 1)
}

/// The first buffer that a stage writes.
fn written(plan: &Plan, stage: &BoundStage, number: usize, heads: Option<usize>) -> Result<Site, Error> {
    let arg = stage.writes().next();
    let arg = arg.ok_or_else(|| Error::Failure(format!("stage {} writes nothing", stage.name)))?;
    Ok(Site::Stage { number, id: arg.buffer, buffer: plan.buffer(arg.buffer).clone(), heads })
}

impl Planted {
    /// The weight that is damaged, where it is one.
    pub fn weight(&self) -> Option<BufferId> {
        match self.0 {
            Site::Weight { id, .. } => Some(id),
            Site::Stage { .. } => None,
        }
    }

    /// Damages the bytes of that weight.
    pub fn damage(&self, bytes: &mut [u8]) {
        match self.0 {
            Site::Weight { elem_bytes, shifted: true, .. } => bytes.copy_within(elem_bytes.min(bytes.len()).., 0),
            Site::Weight { .. } => {
                let half = bytes.len() / 2;
                bytes[half..].fill(0);
            }
            Site::Stage { .. } => {}
        }
    }

    /// What happens after a stage in this step, and to which buffer.
    pub fn after(&self, stage: usize, step: &Step) -> Option<(BufferId, Vec<Edit>)> {
        match &self.0 {
            Site::Stage { number, id, buffer, heads } if *number == stage => {
                let edits = match heads {
                    Some(heads) => swapped_heads(buffer, *heads, step),
                    None => vec![Edit::Flip { at: flipped(buffer, step) }],
                };
                Some((*id, edits))
            }
            _ => None,
        }
    }
}

/// The byte of the first element that a step writes for its last token.
fn flipped(buffer: &Buffer, step: &Step) -> usize {
    let row = buffer.row_bytes(step).unwrap_or(0);
    let start = match buffer.role {
        // Keys lie with neighbouring positions of a chunk next to each other.
        Role::Cache => {
            let position = step.position + step.tokens - 1;
            position / CHUNK * row + position % CHUNK * buffer.elem_bytes
        }
        _ => step.get(buffer.shape[0]).saturating_sub(1) * row,
    };
    // The highest byte of a number; the first of a block, whose last ones may be padding.
    start + if buffer.elem_bytes <= 4 { buffer.elem_bytes - 1 } else { 0 }
}

/// The first head over the last one, which has other keys where there are several key heads.
fn swapped_heads(buffer: &Buffer, heads: usize, step: &Step) -> Vec<Edit> {
    let row = buffer.row_bytes(step).unwrap_or(0);
    let len = row / heads.max(1);
    (0..step.tokens).map(|t| Edit::Copy { from: t * row, to: t * row + (heads - 1) * len, len }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_parse_and_print() {
        for text in ["bit:3:attn_q.bias", "head:0", "offset:token_embd.weight", "partial:blk.1.ffn_up.weight"] {
            assert_eq!(text.parse::<Fault>().unwrap().to_string(), text);
        }
        for text in ["", "bit", "bit:3", "bit:x:attn_q", "head", "head:x", "head:1:2", "offset", "swap:1"] {
            assert!(text.parse::<Fault>().is_err(), "{text}");
        }
    }

    fn buffer(role: Role, elem_bytes: usize, shape: &[Size]) -> Buffer {
        Buffer { name: "b".into(), role, elem_bytes, shape: shape.to_vec() }
    }

    #[test]
    fn the_flipped_byte_is_of_the_last_token() {
        let step = Step { tokens: 3, outputs: 1, position: 64, chunks: 2 };
        let rows = buffer(Role::Activation, 4, &[Size::Tokens, Size::Fixed(10)]);
        assert_eq!(flipped(&rows, &step), 2 * 40 + 3);
        let blocks = buffer(Role::Activation, 320, &[Size::Tokens, Size::Fixed(2)]);
        assert_eq!(flipped(&blocks, &step), 2 * 640);
        let keys = buffer(Role::Cache, 2, &[Size::Chunks, Size::Fixed(8), Size::Fixed(CHUNK)]);
        assert_eq!(flipped(&keys, &step), 8 * 64 * 2 + 2 * 2 + 1);
    }

    #[test]
    fn numbers_grow_when_their_bit_flips() {
        let flipped = |x: f32| {
            let mut bytes = x.to_le_bytes();
            bytes[3] = flip(bytes[3]);
            f32::from_le_bytes(bytes)
        };
        for x in [0.0, 1e-30, -0.3, 1.0, 1.9, 2.0, -7.0, 1e6] {
            let y = flipped(x);
            assert!(y.is_nan() || y.abs() > 1e3 * x.abs(), "{x} becomes {y}");
            assert_eq!((x.to_bits() ^ y.to_bits()).count_ones(), 1);
        }
    }

    #[test]
    fn heads_are_overwritten_for_every_token() {
        let step = Step { tokens: 2, outputs: 0, position: 0, chunks: 1 };
        let rows = buffer(Role::Activation, 4, &[Size::Tokens, Size::Fixed(4 * 8)]);
        let copy = |from, to| Edit::Copy { from, to, len: 32 };
        assert_eq!(swapped_heads(&rows, 4, &step), [copy(0, 96), copy(128, 224)]);
    }

    #[test]
    fn weights_are_damaged() {
        let damaged = |shifted| {
            let mut bytes: Vec<u8> = (1..=8).collect();
            Planted(Site::Weight { id: BufferId(0), elem_bytes: 2, shifted }).damage(&mut bytes);
            bytes
        };
        assert_eq!(damaged(true), [3, 4, 5, 6, 7, 8, 7, 8]);
        assert_eq!(damaged(false), [1, 2, 3, 4, 0, 0, 0, 0]);
    }
}
