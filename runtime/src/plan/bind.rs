//! From the names in a plan to kernels: every parameter is given once, and every value is written before it is read.
use super::{Arg, Plan, Role, Size, Stage, Step};
use kernels_gen::{Cuda, Kernel};

/// A stage with its kernel, and the parameters in the kernel's order.
#[derive(Clone, Debug)]
pub struct BoundStage {
    /// What it computes.
    pub name: String,
    /// The kernel.
    pub kernel: &'static Kernel,
    /// Dims, then integer scalars.
    pub ints: Vec<Size>,
    /// Float scalars.
    pub floats: Vec<f32>,
    /// Buffers.
    pub args: Vec<Arg>,
    /// Which of the kernel's codes that fit is taken, see [`Kernel::cuda`].
    pub turn: usize,
}

impl BoundStage {
    /// Whether it has something to do in a step.
    pub fn has_work(&self, step: &Step) -> bool {
        self.ints.iter().take(self.kernel.dims).all(|&dim| step.get(dim) > 0)
    }

    /// Its code for CUDA with these integers.
    pub fn cuda(&self, ints: &[i32]) -> &'static Cuda {
        self.kernel.cuda(ints, self.turn)
    }

    /// The buffers that it reads.
    pub fn reads(&self) -> impl Iterator<Item = Arg> {
        self.pick(false)
    }

    /// The buffers that it writes.
    pub fn writes(&self) -> impl Iterator<Item = Arg> {
        self.pick(true)
    }

    fn pick(&self, written: bool) -> impl Iterator<Item = Arg> {
        let pairs = self.args.iter().zip(self.kernel.buffers);
        pairs.filter(move |(_, info)| info.written == written).map(|(&arg, _)| arg)
    }
}

/// A plan that does not fit the kernels.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("stage {stage} ({kernel}): {problem}")]
pub struct PlanError {
    stage: String,
    kernel: String,
    problem: String,
}

impl Plan {
    /// Finds the kernel of each stage by `kernel`, and checks the plan against it.
    pub fn bind(&self, kernel: impl Fn(&str) -> Option<&'static Kernel>) -> Result<Vec<BoundStage>, PlanError> {
        let mut written = vec![false; self.buffers.len()];
        self.stages
            .iter()
            .map(|stage| {
                let error = |problem| PlanError { stage: stage.name.clone(), kernel: stage.kernel.clone(), problem };
                let kernel = kernel(&stage.kernel).ok_or_else(|| error("there is no such kernel".into()))?;
                let bound = bind(stage, kernel).map_err(error)?;
                self.check(&bound, &mut written).map_err(error)?;
                Ok(bound)
            })
            .collect()
    }

    /// Checks roles, element sizes, and that values are written before they are read.
    fn check(&self, stage: &BoundStage, written: &mut [bool]) -> Result<(), String> {
        for (arg, info) in stage.args.iter().zip(stage.kernel.buffers) {
            let buffer = self.buffer(arg.buffer);
            let (name, fixed) = (&buffer.name, matches!(buffer.role, Role::Weight(_) | Role::Input | Role::Table(_)));
            if info.elem_bytes != buffer.elem_bytes {
                let (has, wants) = (buffer.elem_bytes, info.elem_bytes);
                return Err(format!("`{name}` has elements of {has} bytes, `{}` takes {wants}", info.name));
            }
            if info.written && fixed {
                return Err(format!("writes `{name}`, which is constant"));
            }
            if !info.written && !fixed && !written[arg.buffer.0] {
                return Err(format!("reads `{name}`, which no stage before it writes"));
            }
        }
        stage.writes().for_each(|arg| written[arg.buffer.0] = true);
        Ok(())
    }
}

fn bind(stage: &Stage, kernel: &'static Kernel) -> Result<BoundStage, String> {
    let buffers: Vec<_> = kernel.buffers.iter().map(|b| b.name).collect();
    Ok(BoundStage {
        name: stage.name.clone(),
        kernel,
        ints: by_name(kernel.ints, &stage.ints)?,
        floats: by_name(kernel.floats, &stage.floats)?,
        args: by_name(&buffers, &stage.args)?,
        turn: 0,
    })
}

/// The given values in the order of `names`; each name exactly once.
fn by_name<T: Copy>(names: &[&str], given: &[(&str, T)]) -> Result<Vec<T>, String> {
    if let Some((name, _)) = given.iter().find(|(name, _)| !names.contains(name)) {
        return Err(format!("there is no parameter `{name}`, only {}", names.join(", ")));
    }
    let value = |&name: &&str| {
        let mut values = given.iter().filter(|(n, _)| *n == name);
        match (values.next(), values.next()) {
            (Some(&(_, value)), None) => Ok(value),
            (None, _) => Err(format!("the parameter `{name}` is not given")),
            _ => Err(format!("the parameter `{name}` is given twice")),
        }
    };
    names.iter().map(value).collect()
}
