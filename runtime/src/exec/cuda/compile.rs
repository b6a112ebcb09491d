//! Machine code for kernels: from the cache or NVRTC, audited.
use super::{CudaError, error::USE_CPU};
use kernels_gen::Cuda;
use kgen::{
    audit::{Allowed, audit},
    nvrtc::{Arch, Compiler, NvrtcError, by_all_threads},
};

/// Violations of an audit that are shown.
const SHOWN: usize = 5;

/// A translation unit to be compiled.
pub struct Job {
    /// CUDA C++.
    pub text: String,
    /// Name of its entry.
    pub entry: String,
    /// The float operations that it may have.
    pub allowed: Allowed,
}

impl Job {
    /// Codes as one launch, each on CTAs of its own.
    pub fn new(codes: &[&'static Cuda]) -> Result<Job, CudaError> {
        let mut allowed = Allowed::default();
        for code in codes {
            let own = code.allowed.parse().map_err(|error| CudaError::new(format!("{error}"), USE_CPU))?;
            allowed = allowed.and(own);
        }
        let entry = codes.iter().map(|code| code.entry).collect::<Vec<_>>().join("_beside_");
        let parts: Vec<_> = codes.iter().map(|code| code.part()).collect();
        let threads = codes.iter().map(|code| code.threads).max().unwrap_or(1);
        let resident = codes.iter().map(|code| code.resident).min().unwrap_or(0);
        let text = kgen::cuda::unit(&entry, (threads as usize, resident as usize), &parts);
        Ok(Job { text, entry, allowed })
    }
}

/// Machine code of kernels, compiled by all threads of the machine.
pub fn compile(compiler: &Compiler, jobs: &[Job], arch: &Arch) -> Result<Vec<Vec<u8>>, CudaError> {
    by_all_threads(jobs, |job| compile_one(compiler, job, arch)).into_iter().collect()
}

fn compile_one(compiler: &Compiler, job: &Job, arch: &Arch) -> Result<Vec<u8>, CudaError> {
    let compiled = compiler.compile(&job.text, &job.entry, arch, &[]).map_err(not_compiled)?;
    // Every launch may start before the one before it ends.
    if arch.overlaps_launches() && !compiled.ptx.contains("griddepcontrol.wait") {
        let message = format!("the code of {} for {arch} does not wait for the launch before it", job.entry);
        return Err(CudaError::new(message, USE_CPU));
    }
    audit(&compiled.ptx, &job.allowed).map_err(|violations| {
        let shown: Vec<_> = violations.iter().take(SHOWN).map(|violation| format!("\n  {violation}")).collect();
        let (name, count, version) = (&job.entry, violations.len(), compiled.nvrtc_version);
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
    fn all_kernels_compile_and_pass_the_audit() {
        let compiler = Compiler::with_cache(None);
        if let Err(error) = compiler.nvrtc() {
            eprintln!("skipped: {error}");
            return;
        }
        let mut jobs: Vec<Job> = kernels_gen::all_cuda().map(|code| Job::new(&[code]).unwrap()).collect();
        // Side by side, as the query, key and value of a layer are.
        let first = |name: &str| {
            let mut all = kernels_gen::INLINED.iter().filter(|inlined| inlined.kernel.name == name);
            &all.next().unwrap().kernel.codes()[0]
        };
        let (q4k, q6k) = (first("matvec_q4k_bias"), first("matvec_q6k_bias"));
        let bias = &kernels_gen::kernel("bias").unwrap().codes()[0];
        jobs.extend([vec![q4k, q4k, q6k], vec![bias, bias]].iter().map(|codes| Job::new(codes).unwrap()));
        for arch in ["sm_80", "sm_86", "sm_89", "sm_90", "sm_100", "sm_120"] {
            let cubins = compile(&compiler, &jobs, &arch.parse().unwrap()).unwrap();
            assert!(cubins.iter().all(|cubin| cubin.starts_with(b"\x7fELF")), "{arch}");
        }
    }
}
