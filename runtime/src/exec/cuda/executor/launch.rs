//! Launches of an executor: their groups, their parameters, and how they are started.
use super::Cuda;
use crate::{
    exec::{
        ExecError,
        cuda::{
            CudaError,
            beside::Beside,
            error::USE_CPU,
            kernels::{self, Shape},
            stages::{Call, is_decode},
        },
        step::ints,
    },
    plan::{Size, Step},
};
use cudarc::driver::sys::CUfunction;
use kernels_gen::Extent;

/// A launch with its parameters.
struct Prepared {
    function: CUfunction,
    shape: Shape,
    /// Each in its first bytes.
    values: Vec<u64>,
}

impl Cuda {
    /// Puts a launch on the stream, whose stages were checked.
    pub(super) fn launch(&self, call: &Call, extents: &[Extent], step: &Step) -> Result<(), ExecError> {
        match self.prepared(call, extents, step)? {
            Some(mut launch) => self.start(call.name, call.kernel.name(), &mut launch),
            None => Ok(()),
        }
    }

    /// Checks launches that are one, side by side, and puts it on the stream.
    pub(super) fn launch_beside(&self, beside: &Beside, step: &Step) -> Result<(), ExecError> {
        let shape = Shape { grid: 0, threads: 0, shared: 0 };
        let mut all = Prepared { function: beside.function(), shape, values: Vec::new() };
        let mut names = Vec::new();
        for bound in self.stages.all(beside) {
            self.check_tokens(bound, step)?;
            let own = self.prepared(&self.stages.call(bound), &self.checked(bound, step)?, step)?;
            let nothing = || CudaError::new(format!("stage {}: it has nothing to do", bound.name), USE_CPU);
            let own = own.ok_or_else(nothing)?;
            let Shape { grid, threads, shared } = own.shape;
            all.values.extend(own.values.into_iter().chain([u64::from(grid)]));
            all.shape = Shape {
                grid: all.shape.grid + grid,
                threads: all.shape.threads.max(threads),
                shared: all.shape.shared.max(shared),
            };
            names.push(bound.name.as_str());
        }
        self.start(&names.join(", "), "side by side", &mut all)
    }

    /// Starts a launch that stays inside of its buffers.
    fn start(&self, name: &str, kernel: &str, launch: &mut Prepared) -> Result<(), ExecError> {
        let Shape { grid, threads, shared } = launch.shape;
        // SAFETY: its stages were checked, so that it stays inside of its buffers, which live as long as the stream; and it waits.
        let started = unsafe { self.stream.launch_early(launch.function, (grid, threads, shared), &mut launch.values) };
        started.map_err(|error| CudaError::call(&format!("starting stage {name} ({kernel})"), error).into())
    }

    /// A launch, or none where there is nothing to do. What is recorded is started for later positions, too, so it gets the
    /// groups of the last.
    fn prepared(&self, call: &Call, extents: &[Extent], step: &Step) -> Result<Option<Prepared>, ExecError> {
        let Call { name, kernel, turn, sizes, dims, floats } = *call;
        let ints = ints(sizes, step);
        let (code, function) = kernel.code(&ints, turn);
        let last = Step { position: self.limits.get(Size::Capacity) - step.tokens, ..*step };
        let most = crate::exec::step::ints(sizes, if is_decode(step) { &last } else { step });
        let Ok(items) = u32::try_from(code.work(&most)) else {
            return Err(CudaError::new(format!("stage {name}: too many work items"), USE_CPU).into());
        };
        if items == 0 && !is_decode(step) {
            return Ok(None);
        }
        let shape = kernels::shape(code, items.max(1));
        // A group's next item is as far as there are groups, and must be an `int`, too.
        if i64::from(items) + i64::from(shape.grid) * i64::from(shape.threads) > i64::from(i32::MAX) {
            return Err(CudaError::new(format!("stage {name}: {items} work items are too many"), USE_CPU).into());
        }
        let (dims, scalars) = ints.split_at(dims);
        let mut values: Vec<u64> = extents.iter().map(|extent| extent.address).collect();
        values.extend(dims.iter().map(|&int| u64::from(int as u32)));
        let scalars = sizes[sizes.len() - scalars.len()..].iter().filter_map(|size| self.record.address(*size));
        values.extend(scalars);
        values.extend(floats.iter().map(|float| u64::from(float.to_bits())));
        values.extend(self.scratch.lend(code, &most)?.into_iter().flatten());
        Ok(Some(Prepared { function, shape, values }))
    }
}
