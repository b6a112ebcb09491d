//! The kernels of a plan on a GPU: compiled for it or found in the cache, audited, loaded.
use super::{CudaError, Gpu, driver::Module, error::USE_CPU};
use kernels_gen::Kernel;
use kgen::{
    audit::{Allowed, audit},
    nvrtc::{Arch, Compiler},
};
use std::{
    num::NonZero,
    sync::{
        OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

/// More dynamic shared memory than this must be asked for.
const FREE_SHARED: u32 = 48 << 10;
/// The most CTAs of a launch; more work than they take at a time is done in turns.
const MOST_CTAS: u32 = 65535 * 8;
/// Violations of an audit that are shown.
const SHOWN: usize = 5;

/// A kernel that can be started.
pub struct Loaded {
    kernel: &'static Kernel,
    module: Module,
}

/// How a kernel is started.
pub struct Shape {
    /// CTAs.
    pub grid: u32,
    /// Threads of a CTA.
    pub threads: u32,
    /// Bytes of dynamic shared memory of a CTA.
    pub shared: u32,
}

impl Loaded {
    /// The kernel's name.
    pub fn name(&self) -> &'static str {
        self.kernel.name
    }

    /// Its handle.
    pub fn function(&self) -> cudarc::driver::sys::CUfunction {
        self.module.function
    }

    fn load(gpu: &Gpu, kernel: &'static Kernel, cubin: &[u8]) -> Result<Loaded, CudaError> {
        let module = Module::load(gpu, cubin, kernel.cuda.entry)?;
        let (asked, most) = (kernel.cuda.threads, module.most_threads()?);
        if asked > most {
            let message =
                format!("the kernel {} takes CTAs of {asked} threads, {} has {most} for it", kernel.name, gpu.name());
            return Err(CudaError::new(message, USE_CPU));
        }
        let shared = shape(kernel, 1).shared;
        if shared > FREE_SHARED {
            module.allow_shared(shared)?;
        }
        Ok(Loaded { kernel, module })
    }
}

/// The launch for at least 1 work item.
pub fn shape(kernel: &Kernel, work: u32) -> Shape {
    let groups = kernel.cuda.threads / kernel.cuda.lanes.max(1);
    Shape {
        grid: work.div_ceil(groups.max(1)).min(MOST_CTAS),
        threads: kernel.cuda.threads,
        shared: groups * kernel.cuda.shared_per_group,
    }
}

/// Loads kernels, in the order in which they are given.
pub fn load(gpu: &Gpu, kernels: &[&'static Kernel]) -> Result<Vec<Loaded>, CudaError> {
    let cubins = compile(&Compiler::new(), kernels, &gpu.arch())?;
    kernels.iter().zip(&cubins).map(|(kernel, cubin)| Loaded::load(gpu, kernel, cubin)).collect()
}

/// Machine code, or why there is none.
type Cubin = Result<Vec<u8>, CudaError>;

/// Machine code of kernels, compiled by all threads of the machine.
fn compile(compiler: &Compiler, kernels: &[&'static Kernel], arch: &Arch) -> Result<Vec<Vec<u8>>, CudaError> {
    let cubins: Vec<OnceLock<Cubin>> = kernels.iter().map(|_| OnceLock::new()).collect();
    let next = AtomicUsize::new(0);
    let worker = || {
        let take = || {
            let i = next.fetch_add(1, Ordering::Relaxed);
            kernels.get(i).zip(cubins.get(i))
        };
        while let Some((kernel, cubin)) = take() {
            cubin.get_or_init(|| compile_one(compiler, kernel, arch));
        }
    };
    thread::scope(|scope| {
        let threads = thread::available_parallelism().map_or(1, NonZero::get).min(kernels.len());
        (0..threads).for_each(|_| drop(scope.spawn(worker)));
    });
    let missing = || Err(CudaError::new("a kernel was not compiled", USE_CPU));
    cubins.into_iter().map(|cubin| cubin.into_inner().unwrap_or_else(missing)).collect()
}

fn compile_one(compiler: &Compiler, kernel: &Kernel, arch: &Arch) -> Result<Vec<u8>, CudaError> {
    let allowed: Allowed = kernel.cuda.allowed.parse().map_err(|error| CudaError::new(format!("{error}"), USE_CPU))?;
    let compiled = compiler.compile(kernel.cuda.source, kernel.name, arch, &[]).map_err(|error| {
        let help = error.help().map_or_else(|| USE_CPU.to_string(), |help| format!("{help}; else {USE_CPU}"));
        CudaError::new(error.to_string(), help)
    })?;
    audit(&compiled.ptx, &allowed).map_err(|violations| {
        let shown: Vec<_> = violations.iter().take(SHOWN).map(|violation| format!("\n  {violation}")).collect();
        let (name, count, version) = (kernel.name, violations.len(), compiled.nvrtc_version);
        let message = format!(
            "the code that NVRTC {version} made of {name} for {arch} could give other bits than the CPU: {count} \
             instructions are refused{}",
            shown.concat()
        );
        CudaError::new(message, USE_CPU)
    })?;
    Ok(compiled.cubin)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn launches_cover_the_work_up_to_the_most_ctas() {
        for kernel in kernels_gen::KERNELS {
            let groups = kernel.cuda.threads / kernel.cuda.lanes;
            let shape = |work| shape(kernel, work);
            assert_eq!((shape(1).grid, shape(groups).grid, shape(groups + 1).grid), (1, 1, 2), "{}", kernel.name);
            assert_eq!(shape(u32::MAX).grid, MOST_CTAS.min(u32::MAX.div_ceil(groups)));
            assert_eq!(shape(1).shared, groups * kernel.cuda.shared_per_group);
            assert_eq!(shape(1).threads % 32, 0);
        }
    }

    #[test]
    fn all_kernels_compile_and_pass_the_audit() {
        let compiler = Compiler::with_cache(None);
        if let Err(error) = compiler.nvrtc() {
            eprintln!("skipped: {error}");
            return;
        }
        let kernels: Vec<&'static Kernel> = kernels_gen::KERNELS.iter().collect();
        for arch in ["sm_80", "sm_86", "sm_89", "sm_90", "sm_100", "sm_120"] {
            let cubins = compile(&compiler, &kernels, &arch.parse().unwrap()).unwrap();
            assert!(cubins.iter().all(|cubin| cubin.starts_with(b"\x7fELF")), "{arch}");
        }
    }
}
