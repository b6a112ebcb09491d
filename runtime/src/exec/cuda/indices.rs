//! Indices are checked on the host: tokens before each step, tables when a plan is loaded. What a kernel computes is not indexed by.
use super::{CudaError, error::USE_CPU};
use crate::{
    exec::{
        ExecError,
        buffers::{fill_table, most_bytes},
        step::ints,
    },
    plan::{BoundStage, Buffer, Plan, Role, Step},
};
use kernels_gen::check_indices;

/// Checks the tables of indices that stages read, and refuses indices that only a GPU would know.
pub fn check(plan: &Plan, stages: &[BoundStage], limits: &Step) -> Result<(), ExecError> {
    for stage in stages {
        let sizes = ints(&stage.ints, limits);
        for (number, arg) in stage.args.iter().enumerate() {
            let buffer = plan.buffer(arg.buffer);
            match &buffer.role {
                _ if (stage.kernel.index_below)(&sizes, number).is_none() => {}
                Role::Input => {}
                Role::Table(row) => {
                    let mut table = vec![0; most_bytes(buffer, limits)?];
                    fill_table(buffer, row, limits, &mut table);
                    let wrong = |source| ExecError::Launch { stage: stage.name.clone(), source };
                    check_indices(stage.kernel, &sizes, number, &table).map_err(wrong)?;
                }
                _ => return Err(cannot_be_checked(stage, buffer).into()),
            }
        }
    }
    Ok(())
}

fn cannot_be_checked(stage: &BoundStage, buffer: &Buffer) -> CudaError {
    CudaError::new(format!("stage {}: the indices in `{}` cannot be checked", stage.name, buffer.name), USE_CPU)
}
