//! The kernels of a plan on a GPU: compiled for it or found in the cache, audited, loaded.
use super::{CudaError, Gpu, driver::Module, error::USE_CPU};
use crate::hex::hex;
use cudarc::driver::sys::CUfunction;
use kernels_gen::{Cuda, Kernel};
use kgen::{
    audit::{Allowed, audit},
    nvrtc::{Arch, Compiler, NvrtcError},
};
use sha2::{Digest, Sha256};
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
    /// The modules of [`Kernel::cuda`], in its order.
    modules: Vec<Module>,
    hashes: Vec<String>,
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

    /// The SHA-256 of its machine codes, in hexadecimal.
    pub fn hashes(&self) -> &[String] {
        &self.hashes
    }

    /// Its code for these integer parameters, and the handle of that.
    pub fn code(&self, ints: &[i32]) -> (&'static Cuda, CUfunction) {
        let code = self.kernel.cuda(ints);
        let place = self.kernel.cuda.iter().position(|other| std::ptr::eq(other, code)).unwrap_or(0);
        (code, self.modules[place].function)
    }

    fn load(gpu: &Gpu, kernel: &'static Kernel, cubins: &[Vec<u8>]) -> Result<Loaded, CudaError> {
        let modules = kernel.cuda.iter().zip(cubins).map(|(code, cubin)| module(gpu, kernel, code, cubin));
        let hashes = cubins.iter().map(|cubin| hex(&Sha256::digest(cubin))).collect();
        Ok(Loaded { kernel, modules: modules.collect::<Result<_, _>>()?, hashes })
    }
}

/// Loads one code of a kernel.
fn module(gpu: &Gpu, kernel: &Kernel, code: &Cuda, cubin: &[u8]) -> Result<Module, CudaError> {
    let module = Module::load(gpu, cubin, code.entry)?;
    let (asked, most) = (code.threads, module.most_threads()?);
    if asked > most {
        let message =
            format!("the kernel {} takes CTAs of {asked} threads, {} has {most} for it", kernel.name, gpu.name());
        return Err(CudaError::new(message, USE_CPU));
    }
    let shared = shape(code, 1).shared;
    if shared > FREE_SHARED {
        module.allow_shared(shared)?;
    }
    Ok(module)
}

/// The launch for at least 1 work item.
pub fn shape(code: &Cuda, work: u32) -> Shape {
    let groups = code.threads / code.lanes.max(1);
    Shape {
        grid: work.div_ceil(groups.max(1)).min(MOST_CTAS),
        threads: code.threads,
        shared: groups * code.shared_per_group,
    }
}

/// Loads kernels, in the order in which they are given.
pub fn load(gpu: &Gpu, kernels: &[&'static Kernel]) -> Result<Vec<Loaded>, CudaError> {
    let codes: Vec<&'static Cuda> = kernels.iter().flat_map(|kernel| kernel.cuda).collect();
    let mut cubins = compile(&Compiler::new(), &codes, &gpu.arch())?.into_iter();
    let mut load = |kernel: &&'static Kernel| {
        let own: Vec<Vec<u8>> = cubins.by_ref().take(kernel.cuda.len()).collect();
        Loaded::load(gpu, kernel, &own)
    };
    kernels.iter().map(&mut load).collect()
}

/// Machine code, or why there is none.
type Cubin = Result<Vec<u8>, CudaError>;

/// Machine code of kernels, compiled by all threads of the machine.
fn compile(compiler: &Compiler, codes: &[&'static Cuda], arch: &Arch) -> Result<Vec<Vec<u8>>, CudaError> {
    let cubins: Vec<OnceLock<Cubin>> = codes.iter().map(|_| OnceLock::new()).collect();
    let next = AtomicUsize::new(0);
    let worker = || {
        let take = || {
            let i = next.fetch_add(1, Ordering::Relaxed);
            codes.get(i).zip(cubins.get(i))
        };
        while let Some((code, cubin)) = take() {
            cubin.get_or_init(|| compile_one(compiler, code, arch));
        }
    };
    thread::scope(|scope| {
        let threads = thread::available_parallelism().map_or(1, NonZero::get).min(codes.len());
        (0..threads).for_each(|_| drop(scope.spawn(worker)));
    });
    let missing = || Err(CudaError::new("a kernel was not compiled", USE_CPU));
    cubins.into_iter().map(|cubin| cubin.into_inner().unwrap_or_else(missing)).collect()
}

fn compile_one(compiler: &Compiler, code: &Cuda, arch: &Arch) -> Result<Vec<u8>, CudaError> {
    let allowed: Allowed = code.allowed.parse().map_err(|error| CudaError::new(format!("{error}"), USE_CPU))?;
    let compiled = compiler.compile(code.source, code.entry, arch, &[]).map_err(not_compiled)?;
    audit(&compiled.ptx, &allowed).map_err(|violations| {
        let shown: Vec<_> = violations.iter().take(SHOWN).map(|violation| format!("\n  {violation}")).collect();
        let (name, count, version) = (code.entry, violations.len(), compiled.nvrtc_version);
        let message = format!(
            "the code that NVRTC {version} made of {name} for {arch} could give other bits than the CPU: {count} \
             instructions are refused{}",
            shown.concat()
        );
        CudaError::new(message, USE_CPU)
    })?;
    Ok(compiled.cubin)
}

/// Why there is no machine code, with the way out.
pub fn not_compiled(error: NvrtcError) -> CudaError {
    let help = error.help().map_or_else(|| USE_CPU.to_string(), |help| format!("{help}; else {USE_CPU}"));
    CudaError::new(error.to_string(), help)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn launches_cover_the_work_up_to_the_most_ctas() {
        for code in kernels_gen::KERNELS.iter().flat_map(|kernel| kernel.cuda) {
            let groups = code.threads / code.lanes;
            let shape = |work| shape(code, work);
            assert_eq!((shape(1).grid, shape(groups).grid, shape(groups + 1).grid), (1, 1, 2), "{}", code.entry);
            assert_eq!(shape(u32::MAX).grid, MOST_CTAS.min(u32::MAX.div_ceil(groups)));
            assert_eq!(shape(1).shared, groups * code.shared_per_group);
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
        let codes: Vec<&'static Cuda> = kernels_gen::KERNELS.iter().flat_map(|kernel| kernel.cuda).collect();
        for arch in ["sm_80", "sm_86", "sm_89", "sm_90", "sm_100", "sm_120"] {
            let cubins = compile(&compiler, &codes, &arch.parse().unwrap()).unwrap();
            assert!(cubins.iter().all(|cubin| cubin.starts_with(b"\x7fELF")), "{arch}");
        }
    }
}
