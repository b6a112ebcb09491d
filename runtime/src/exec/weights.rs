//! Weights as the kernels of a target want them in memory: as they lie in the file, or with rows side by side.
use super::{
    ExecError,
    buffers::{most_bytes, part},
    cpu::{Panicked, Pool},
};
use crate::plan::{Arg, BoundStage, Buffer, Plan, Role, Step};
use kernels_gen::{Layout, Target};

/// The buffers of a plan in the memory of a target.
pub struct Weights {
    packings: Vec<Option<Packing>>,
}

/// How a weight is moved into its layout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packing {
    layout: &'static Layout,
    rows: usize,
    /// Blocks of a row.
    blocks: usize,
}

impl Weights {
    /// What the kernels of the stages ask for. They must agree.
    pub fn of(plan: &Plan, stages: &[BoundStage], target: Target) -> Result<Weights, ExecError> {
        let mut packings: Vec<Option<Option<Packing>>> = vec![None; plan.buffers.len()];
        for stage in stages {
            for (arg, layout) in stage.args.iter().zip(stage.kernel.memory(target).layouts) {
                let buffer = plan.buffer(arg.buffer);
                let wanted = layout.as_ref().and_then(|layout| Packing::new(buffer, layout));
                let known = packings[arg.buffer.0].get_or_insert(wanted);
                if *known != wanted || layout.is_some() != wanted.is_some() {
                    return Err(ExecError::Layout { stage: stage.name.clone(), buffer: buffer.name.clone() });
                }
            }
        }
        Ok(Weights { packings: packings.into_iter().map(Option::flatten).collect() })
    }

    /// How a buffer is packed; `None` where it is not.
    pub fn packing(&self, buffer: usize) -> Option<Packing> {
        self.packings[buffer]
    }

    /// Bytes of a buffer in the largest step.
    pub fn most_bytes(&self, plan: &Plan, buffer: usize, limits: &Step) -> Result<usize, ExecError> {
        let plain = most_bytes(&plan.buffers[buffer], limits)?;
        Ok(self.packings[buffer].map_or(plain, |packing| packing.bytes()))
    }

    /// The offset and length in bytes of an argument in its buffer.
    pub fn part(&self, buffer: &Buffer, arg: Arg, step: &Step) -> (usize, usize) {
        match self.packings[arg.buffer.0] {
            Some(packing) => (0, packing.bytes()),
            None => part(buffer, arg, step),
        }
    }
}

impl Packing {
    /// Of a weight `[rows, blocks]`, or of several whose rows are whole tiles; `None` where the buffer is none.
    fn new(buffer: &Buffer, layout: &'static Layout) -> Option<Packing> {
        let step = Step { tokens: 0, outputs: 0, position: 0, chunks: 0 };
        let matrix = matches!(buffer.role, Role::Weight(_)) && buffer.elem_bytes == layout.block_bytes;
        match buffer.shape[..] {
            [ref several @ .., rows, blocks] if matrix => {
                let (rows, count) = (step.get(rows), several.iter().map(|&size| step.get(size)).product::<usize>());
                let whole = several.is_empty() || rows.is_multiple_of(layout.rows);
                whole.then(|| Packing { layout, rows: count * rows, blocks: step.get(blocks) })
            }
            _ => None,
        }
    }

    /// Bytes of the packed weight.
    pub fn bytes(&self) -> usize {
        self.layout.bytes(self.rows, self.blocks)
    }

    /// Bytes of a tile of rows.
    pub fn tile_bytes(&self) -> usize {
        self.layout.tile_bytes(self.blocks)
    }

    /// Packs whole tiles from the rows in `from`.
    ///
    /// # Panics
    /// When the two are not as many tiles.
    pub fn pack(&self, from: &[u8], to: &mut [u8], pool: &mut Pool) -> Result<(), Panicked> {
        let tile = self.tile_bytes().max(1);
        assert_eq!(from.len().div_ceil(tile), to.len().div_ceil(tile), "as many tiles");
        pool.share_out(to, tile, |start, to| {
            let tiles = from[start..].chunks(tile).zip(to.chunks_mut(tile));
            tiles.for_each(|(from, to)| self.layout.pack(from, self.blocks, to));
        })
    }
}
