//! The CUDA code of kernels: a unit for each schedule of a kernel, and one for each pair that is one launch.
use super::{Failure, audited};
use kgen::audit::Allowed;
use kgen::fused::{self, Fused};
use kgen::inlined::Inlined;
use kgen::ir::Kernel;
use kgen::library::Library;
use kgen::nvrtc::{Arch, Compiled, Compiler};
use kgen::places::Places;
use kgen::recomputed::{self, Recomputed};
use kgen::target::Target;
use std::collections::BTreeMap;
use std::fmt::Display;

/// What is compiled by itself.
pub struct Unit {
    /// The code.
    pub source: kgen::cuda::Source,
    /// The operations that it may have.
    pub allowed: Allowed,
    /// Name of the kernel, or of the pair.
    pub of: String,
    /// Sizes up to which it serves; for all where there are none.
    pub most: BTreeMap<String, i32>,
    /// Threads of a CTA.
    pub threads: usize,
}

impl Unit {
    /// What NVRTC makes of it, audited.
    pub fn compile(&self, compiler: &Compiler, arch: &Arch, extra: &[String]) -> Result<Compiled, Failure> {
        let compiled = compiler.compile(&self.source.text(), &self.source.entry, arch, extra)?;
        audited(&compiled, &self.allowed, arch)?;
        Ok(compiled)
    }
}

/// The kernels and pairs of a command line.
pub struct Chosen<'l> {
    /// Each once, in the order of the folder, then those with others in them, which CUDA alone has.
    pub kernels: Vec<&'l Kernel>,
    /// The latter.
    pub inlined: Vec<&'l Inlined>,
    /// Likewise.
    pub fused: Vec<Fused<'l>>,
    /// Kernels with rows of others.
    pub recomputed: Vec<Recomputed<'l>>,
}

impl<'l> Chosen<'l> {
    /// Those of these names; all, where none is named.
    pub fn new(library: &'l Library, names: &[String]) -> Result<Chosen<'l>, Failure> {
        let (pairs, rows) = (library.pairs()?, library.recomputed_specs()?);
        let other =
            |name: &String| pairs.iter().any(|pair| pair.name() == *name) || rows.iter().any(|spec| spec.name == *name);
        for name in names.iter().filter(|name| !other(name)) {
            library.kernel(name)?;
        }
        let wanted = |name: &String| names.is_empty() || names.contains(name);
        let kernels = library.kernels_on(Target::Cuda).filter(|k| wanted(&k.name)).collect();
        let inlined = library.inlined.iter().filter(|inlined| wanted(&inlined.spec.name)).collect();
        let fused = library.fused()?.into_iter().filter(|f| wanted(&f.pair.name())).collect();
        let recomputed = library.recomputed()?.into_iter().filter(|r| wanted(&r.spec.name)).collect();
        Ok(Chosen { kernels, inlined, fused, recomputed })
    }

    /// The kernels that have code for a target.
    pub fn kernels_on(&self, target: Target) -> Vec<&'l Kernel> {
        let inlined = |kernel: &Kernel| self.inlined.iter().any(|inlined| inlined.spec.name == kernel.name);
        self.kernels.iter().copied().filter(|kernel| target == Target::Cuda || !inlined(kernel)).collect()
    }

    /// Their names.
    pub fn names(&self) -> Vec<String> {
        let rows = self.recomputed.iter().map(|r| r.spec.name.clone());
        self.kernels
            .iter()
            .map(|k| k.name.clone())
            .chain(rows)
            .chain(self.fused.iter().map(|f| f.pair.name()))
            .collect()
    }

    /// Their code.
    pub fn units(&self, library: &Library) -> Result<Vec<Unit>, Failure> {
        let places = Places::new(&library.sources);
        let mut units = Vec::new();
        for kernel in &self.kernels {
            for (schedule, func) in library.lowered(kernel, Target::Cuda)? {
                let (threads, most) = (schedule.threads, schedule.most);
                let source =
                    kgen::cuda::emit(&func, threads, &places).map_err(illegal(Target::Cuda.schedule_file()))?;
                units.push(Unit {
                    source,
                    allowed: Allowed::of(kernel, &places),
                    of: kernel.name.clone(),
                    most,
                    threads,
                });
            }
        }
        for r in &self.recomputed {
            let threads = r.schedule.threads;
            let source = kgen::cuda::emit(&r.func, threads, &places).map_err(illegal(recomputed::FILE))?;
            let (of, most) = (r.spec.name.clone(), r.spec.most.clone());
            units.push(Unit { source, allowed: r.allowed(&places), of, most, threads });
        }
        for f in &self.fused {
            let source = kgen::cuda::emit(&f.func, f.threads, &places).map_err(illegal(fused::FILE))?;
            let (of, most) = (f.pair.name(), f.pair.most.clone());
            units.push(Unit { source, allowed: f.allowed(&places), of, most, threads: f.threads });
        }
        Ok(units)
    }
}

/// A failure that names the file of the schedules.
pub fn illegal<E: Display>(file: impl Display) -> impl Fn(E) -> Failure {
    move |e| Failure::Failed(format!("schedules/{file}: {e}"))
}
