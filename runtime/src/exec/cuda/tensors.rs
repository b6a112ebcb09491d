//! The buffers of a plan in the GPU's memory.
use super::{
    Gpu,
    driver::{DeviceMemory, Stream},
    upload::Upload,
};
use crate::{
    exec::{
        ExecError, Loading,
        buffers::{fill_table, weight},
        weights::Weights,
    },
    gguf::Gguf,
    plan::{Arg, Buffer, BufferId, Plan, Role, Step},
};
use kernels_gen::Extent;

/// The buffers and their memory.
pub struct Tensors {
    buffers: Vec<Buffer>,
    memory: Vec<DeviceMemory>,
    weights: Weights,
}

impl Tensors {
    /// Takes the memory, copies the weights of `model`, and fills tables.
    pub fn new(
        plan: &Plan,
        model: &Gguf,
        limits: &Step,
        (gpu, stream): (&Gpu, &Stream),
        weights: Weights,
        loading: Loading,
    ) -> Result<Tensors, ExecError> {
        let take = |(i, buffer): (usize, &Buffer)| {
            Ok(DeviceMemory::new(gpu, weights.most_bytes(plan, i, limits)?, &buffer.name)?)
        };
        let memory = plan.buffers.iter().enumerate().map(take).collect::<Result<Vec<_>, ExecError>>()?;
        let largest = memory.iter().map(DeviceMemory::len).max().unwrap_or(0);
        let mut upload = Upload::new(gpu, stream, largest)?;
        let from_file = plan.buffers.iter().filter(|buffer| matches!(buffer.role, Role::Weight(_)));
        let bytes = from_file.map(|buffer| Ok(weight(buffer, model, limits)?.len()));
        let total = bytes.sum::<Result<usize, ExecError>>()?;
        loading(0, total);
        for (i, (buffer, memory)) in plan.buffers.iter().zip(&memory).enumerate() {
            match &buffer.role {
                Role::Weight(_) => {
                    let data = weight(buffer, model, limits)?;
                    let done = |bytes: &[u8]| {
                        model.release(bytes);
                        loading(bytes.len(), total);
                    };
                    // SAFETY: the memory was taken for these bytes, and lives until the upload is finished.
                    unsafe { upload.copy(memory.address(), data, weights.packing(i), done)? };
                }
                Role::Table(row) => {
                    let mut table = vec![0; memory.len()];
                    fill_table(buffer, row, limits, &mut table);
                    // SAFETY: as above.
                    unsafe { upload.copy(memory.address(), &table, None, |_| ())? };
                }
                // Of activations, the bytes that fill blocks up are compared, too.
                Role::Cache | Role::Activation => stream.zero(memory)?,
                Role::Input => {}
            }
        }
        upload.finish()?;
        Ok(Tensors { buffers: plan.buffers.clone(), memory, weights })
    }

    /// The memory of an argument in this step.
    pub fn lend(&self, arg: Arg, written: bool, step: &Step) -> Extent {
        let (buffer, memory) = (&self.buffers[arg.buffer.0], &self.memory[arg.buffer.0]);
        let (offset, len) = self.weights.part(buffer, arg, step);
        let constant = matches!(buffer.role, Role::Weight(_) | Role::Input | Role::Table(_));
        Extent { address: memory.address() + offset as u64, len: len as u64, writable: written && !constant }
    }

    /// The plan's buffer.
    pub fn buffer(&self, id: BufferId) -> &Buffer {
        &self.buffers[id.0]
    }

    /// The memory of all buffers, by their ids.
    pub fn memory(&self) -> &[DeviceMemory] {
        &self.memory
    }
}
