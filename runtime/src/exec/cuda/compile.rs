//! Machine code for kernels: from the cache or NVRTC, audited.
use super::{CudaError, error::USE_CPU};
use kernels_gen::Cuda;
use kgen::{
    audit::{Allowed, audit},
    nvrtc::{Arch, Compiler, NvrtcError, by_all_threads},
};

/// Violations of an audit that are shown.
const SHOWN: usize = 5;

/// Machine code of kernels, compiled by all threads of the machine.
pub fn compile(compiler: &Compiler, codes: &[&'static Cuda], arch: &Arch) -> Result<Vec<Vec<u8>>, CudaError> {
    by_all_threads(codes, |code| compile_one(compiler, code, arch)).into_iter().collect()
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
    fn all_kernels_compile_and_pass_the_audit() {
        let compiler = Compiler::with_cache(None);
        if let Err(error) = compiler.nvrtc() {
            eprintln!("skipped: {error}");
            return;
        }
        let fused = kernels_gen::FUSED.iter().map(|fused| &fused.cuda);
        let codes: Vec<&'static Cuda> =
            kernels_gen::KERNELS.iter().flat_map(|kernel| kernel.cuda).chain(fused).collect();
        for arch in ["sm_80", "sm_86", "sm_89", "sm_90", "sm_100", "sm_120"] {
            let cubins = compile(&compiler, &codes, &arch.parse().unwrap()).unwrap();
            assert!(cubins.iter().all(|cubin| cubin.starts_with(b"\x7fELF")), "{arch}");
        }
    }
}
