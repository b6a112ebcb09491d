//! The kernels of a plan on a GPU: loaded, and how they are started.
use super::{
    CudaError, Gpu,
    compile::{Job, compile},
    driver::Module,
    error::USE_CPU,
};
use cudarc::driver::sys::CUfunction;
use kernels_gen::{Cuda, in_turn};
use kgen::{nvrtc::Compiler, text::hex};
use sha2::{Digest, Sha256};
/// More dynamic shared memory than this must be asked for.
const FREE_SHARED: u32 = 48 << 10;
/// The most CTAs of a launch; more work than they take at a time is done in turns.
const MOST_CTAS: u32 = 65535 * 8;

/// The name of a kernel, or of two that are fused, and its codes.
pub type Codes = (&'static str, &'static [Cuda]);

/// A kernel that can be started.
pub struct Loaded {
    name: &'static str,
    codes: Vec<(&'static Cuda, Module)>,
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
        self.name
    }

    /// The SHA-256 of its machine codes, in hexadecimal.
    pub fn hashes(&self) -> &[String] {
        &self.hashes
    }

    /// Its code for these integer parameters, see [`kernels_gen::Kernel::cuda`], and the handle of that.
    pub fn code(&self, ints: &[i32], turn: usize) -> (&'static Cuda, CUfunction) {
        let (code, module) = in_turn(&self.codes, turn, |(code, _)| (code.fits)(ints));
        (code, module.function)
    }

    fn load(gpu: &Gpu, kernel: Codes, cubins: &[Vec<u8>]) -> Result<Loaded, CudaError> {
        let (name, codes) = kernel;
        let load = |(code, cubin): (&'static Cuda, &Vec<u8>)| {
            Ok((code, module(gpu, code.entry, (code.threads, code.shared), cubin)?))
        };
        let codes = codes.iter().zip(cubins).map(load).collect::<Result<_, CudaError>>()?;
        let hashes = cubins.iter().map(|cubin| hex(&Sha256::digest(cubin))).collect();
        Ok(Loaded { name, codes, hashes })
    }
}

/// Loads machine code with this entry, for CTAs of `asked` threads that have so much dynamic shared memory.
pub fn module(gpu: &Gpu, entry: &str, (asked, shared): (u32, u32), cubin: &[u8]) -> Result<Module, CudaError> {
    let module = Module::load(gpu, cubin, entry)?;
    let most = module.most_threads()?;
    if asked > most {
        let message = format!("the kernel {entry} takes CTAs of {asked} threads, {} has {most} for it", gpu.name());
        return Err(CudaError::new(message, USE_CPU));
    }
    if shared > FREE_SHARED {
        module.allow_shared(shared)?;
    }
    Ok(module)
}

/// The launch for at least 1 work item.
pub fn shape(code: &Cuda, work: u32) -> Shape {
    Shape { grid: work.div_ceil(code.at_once.max(1)).min(MOST_CTAS), threads: code.threads, shared: code.shared }
}

/// Loads kernels, in the order in which they are given.
pub fn load(gpu: &Gpu, kernels: &[Codes]) -> Result<Vec<Loaded>, CudaError> {
    let jobs =
        kernels.iter().flat_map(|kernel| kernel.1).map(|code| Job::new(&[code])).collect::<Result<Vec<_>, _>>()?;
    let mut cubins = compile(&Compiler::new(), &jobs, &gpu.arch())?.into_iter();
    let mut load = |kernel: &Codes| {
        let own: Vec<Vec<u8>> = cubins.by_ref().take(kernel.1.len()).collect();
        Loaded::load(gpu, *kernel, &own)
    };
    kernels.iter().map(&mut load).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn launches_cover_the_work_up_to_the_most_ctas() {
        for code in kernels_gen::all_cuda() {
            let (at_once, shape) = (code.at_once, |work| shape(code, work));
            assert_eq!((shape(1).grid, shape(at_once).grid, shape(at_once + 1).grid), (1, 1, 2), "{}", code.entry);
            assert_eq!(shape(u32::MAX).grid, MOST_CTAS.min(u32::MAX.div_ceil(at_once)));
            assert_eq!(shape(1).threads % 32, 0);
        }
    }
}
