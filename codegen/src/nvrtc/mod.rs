//! NVIDIA's run-time compiler: from CUDA C++ to PTX and cubin, on machines without a GPU too, with a cache on disk.
mod cache;
mod find;
mod library;
mod options;
mod parallel;

pub use cache::Cache;
pub use find::{INSTALL, NotFound, OLDEST};
pub use library::{Nvrtc, Version};
pub use options::{Arch, MEASURED, OPTIONS, REPORT, UnknownArch};
pub use parallel::by_all_threads;

/// What a kernel compiles to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compiled {
    /// The PTX, for the audit and for people.
    pub ptx: String,
    /// The machine code that is loaded.
    pub cubin: Vec<u8>,
    /// What the compiler says of the source, mostly nothing.
    pub log: String,
    /// The compiler's version.
    pub nvrtc_version: Version,
}

/// Why there is no code.
#[derive(Debug, thiserror::Error)]
pub enum NvrtcError {
    /// The library is not installed, or none of the found ones can be loaded.
    #[error(transparent)]
    NotFound(#[from] NotFound),
    /// The compiler is too old for the GPU, or too new.
    #[error("NVRTC {version} has no {arch}; it has {supported}")]
    Arch {
        /// What was asked for.
        arch: Arch,
        /// The compiler's version.
        version: Version,
        /// What it can do.
        supported: String,
    },
    /// An option that is not among those that leave every result as it is.
    #[error(
        "the option `{0}` is refused\n  help: only -D.., -I.., --maxrregcount=.. and --ptxas-options=-v may be added; they change no result"
    )]
    Option(String),
    /// The source has errors.
    #[error("{name} does not compile for {arch} with NVRTC {version}:\n{log}")]
    Source {
        /// Name of the kernel.
        name: String,
        /// What it was compiled for.
        arch: Arch,
        /// The compiler's version.
        version: Version,
        /// What the compiler says.
        log: String,
    },
    /// The library failed.
    #[error("{function} of NVRTC failed: {message}")]
    Call {
        /// Which of its functions.
        function: &'static str,
        /// What it says.
        message: String,
    },
}

impl NvrtcError {
    /// What to do about it, where there is something to do.
    pub fn help(&self) -> Option<&'static str> {
        match self {
            NvrtcError::NotFound(_) | NvrtcError::Arch { .. } => Some(INSTALL),
            NvrtcError::Option(_) => Some("only -D.., -I.., --maxrregcount=.. and --ptxas-options=-v may be added"),
            NvrtcError::Source { .. } | NvrtcError::Call { .. } => None,
        }
    }

    fn with_log(self, log: &str) -> NvrtcError {
        match self {
            NvrtcError::Call { function, message } if !log.trim().is_empty() => {
                NvrtcError::Call { function, message: format!("{message}\n{}", log.trim()) }
            }
            other => other,
        }
    }
}

/// Compiles kernels, each only once: what was compiled before comes from the cache, even where NVRTC is gone.
#[derive(Debug)]
pub struct Compiler {
    nvrtc: Result<Nvrtc, NotFound>,
    cache: Option<Cache>,
}

impl Compiler {
    /// Finds NVRTC and the cache's folder. That NVRTC is missing is an error only once something must be compiled.
    pub fn new() -> Compiler {
        Compiler::with_cache(Cache::standard())
    }

    /// The same with a cache of one's own, or with none.
    pub fn with_cache(cache: Option<Cache>) -> Compiler {
        Compiler { nvrtc: find::find(), cache }
    }

    /// The library, or where it was looked for.
    pub fn nvrtc(&self) -> Result<&Nvrtc, &NotFound> {
        self.nvrtc.as_ref()
    }

    /// The cache; there is none where no folder for it is known.
    pub fn cache(&self) -> Option<&Cache> {
        self.cache.as_ref()
    }

    /// Compiles `source` for `arch`. `name` stands for the source in messages; `extra` are more options.
    pub fn compile(&self, source: &str, name: &str, arch: &Arch, extra: &[String]) -> Result<Compiled, NvrtcError> {
        let options = options::options(arch, extra)?;
        let version = self.nvrtc.as_ref().ok().map(Nvrtc::version);
        let key = cache::key(name, source, &options);
        if let Some(found) = self.cache.as_ref().and_then(|cache| cache.get(&key, version)) {
            return Ok(found);
        }
        let nvrtc = self.nvrtc.as_ref().map_err(Clone::clone)?;
        nvrtc.check_arch(arch)?;
        let compiled = nvrtc.compile(source, name, arch, &options)?;
        if let Some(cache) = &self.cache {
            // A folder that cannot be written costs time at the next start, and `kgen doctor` says so.
            let _ = cache.put(&key, &compiled);
        }
        Ok(compiled)
    }
}

impl Default for Compiler {
    fn default() -> Self {
        Compiler::new()
    }
}

#[cfg(test)]
pub(crate) mod tests;
