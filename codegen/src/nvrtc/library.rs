//! The functions of libnvrtc, loaded at run time.
use super::{Arch, Compiled, NvrtcError};
use libloading::Library;
use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::path::{Path, PathBuf};
use std::{fmt, fs, mem, ptr};

/// A version of NVRTC, which is that of the CUDA toolkit it belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    /// As 13.
    pub major: u32,
    /// As 0.
    pub minor: u32,
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

type Status = c_int;
type Program = *mut c_void;
type SizeOf = unsafe extern "C" fn(Program, *mut usize) -> Status;
type BytesOf = unsafe extern "C" fn(Program, *mut c_char) -> Status;
type Create = unsafe extern "C" fn(
    *mut Program,
    *const c_char,
    *const c_char,
    c_int,
    *const *const c_char,
    *const *const c_char,
) -> Status;

/// The loaded library. Its functions may be called by several threads.
#[derive(Debug)]
pub struct Nvrtc {
    path: PathBuf,
    version: Version,
    archs: Vec<u32>,
    functions: Functions,
}

#[derive(Debug)]
struct Functions {
    error_string: unsafe extern "C" fn(Status) -> *const c_char,
    create: Create,
    destroy: unsafe extern "C" fn(*mut Program) -> Status,
    compile: unsafe extern "C" fn(Program, c_int, *const *const c_char) -> Status,
    ptx: (SizeOf, BytesOf),
    cubin: (SizeOf, BytesOf),
    log: (SizeOf, BytesOf),
}

/// A program of the library, destroyed with it.
struct Handle<'n>(Program, &'n Functions);

impl Drop for Handle<'_> {
    fn drop(&mut self) {
        // SAFETY: created by `create`, and destroyed once. There is nobody to tell that it failed.
        unsafe { (self.1.destroy)(&mut self.0) };
    }
}

impl Nvrtc {
    /// Loads a library by its path, or by a name that the system looks for. The error is one line.
    pub(super) fn load(name: &Path) -> Result<Nvrtc, String> {
        builtins(name).iter().try_for_each(|path| open(path).map(mem::forget))?;
        // It stays loaded, and so do its functions: it was not made for being unloaded.
        let library: &Library = Box::leak(Box::new(open(name)?));
        // SAFETY: the types are those of nvrtc.h, which are the same in all versions since 11.2.
        unsafe {
            let version = *get::<unsafe extern "C" fn(*mut c_int, *mut c_int) -> Status>(library, c"nvrtcVersion")?;
            let count = *get::<unsafe extern "C" fn(*mut c_int) -> Status>(library, c"nvrtcGetNumSupportedArchs")?;
            let archs = *get::<unsafe extern "C" fn(*mut c_int) -> Status>(library, c"nvrtcGetSupportedArchs")?;
            let functions = Functions {
                error_string: *get(library, c"nvrtcGetErrorString")?,
                create: *get(library, c"nvrtcCreateProgram")?,
                destroy: *get(library, c"nvrtcDestroyProgram")?,
                compile: *get(library, c"nvrtcCompileProgram")?,
                ptx: (*get(library, c"nvrtcGetPTXSize")?, *get(library, c"nvrtcGetPTX")?),
                cubin: (*get(library, c"nvrtcGetCUBINSize")?, *get(library, c"nvrtcGetCUBIN")?),
                log: (*get(library, c"nvrtcGetProgramLogSize")?, *get(library, c"nvrtcGetProgramLog")?),
            };
            let check = |function, status| functions.check(function, status).map_err(|error| error.to_string());
            let (mut major, mut minor, mut n) = (0, 0, 0);
            check("nvrtcVersion", version(&mut major, &mut minor))?;
            check("nvrtcGetNumSupportedArchs", count(&mut n))?;
            let mut numbers = vec![0; usize::try_from(n).unwrap_or(0)];
            check("nvrtcGetSupportedArchs", archs(numbers.as_mut_ptr()))?;
            let archs = numbers.into_iter().filter_map(|n| u32::try_from(n).ok()).collect();
            let version = Version { major: major.unsigned_abs(), minor: minor.unsigned_abs() };
            Ok(Nvrtc { path: loaded_from(name), version, archs, functions })
        }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its version.
    pub fn version(&self) -> Version {
        self.version
    }

    /// The architectures that it compiles for, by their numbers.
    pub fn archs(&self) -> &[u32] {
        &self.archs
    }

    pub(super) fn check_arch(&self, arch: &Arch) -> Result<(), NvrtcError> {
        if self.archs.contains(&arch.number()) {
            return Ok(());
        }
        let supported: Vec<_> = self.archs.iter().map(|n| format!("sm_{n}")).collect();
        Err(NvrtcError::Arch { arch: arch.clone(), version: self.version, supported: supported.join(", ") })
    }

    /// Compiles with exactly these options, the architecture among them.
    pub(crate) fn compile(
        &self,
        source: &str,
        name: &str,
        arch: &Arch,
        options: &[String],
    ) -> Result<Compiled, NvrtcError> {
        let f = &self.functions;
        let source = text("nvrtcCreateProgram", source)?;
        let file = text("nvrtcCreateProgram", &format!("{}{name}.cu", crate::cuda::ROOT))?;
        let options = options.iter().map(|o| text("nvrtcCompileProgram", o)).collect::<Result<Vec<_>, _>>()?;
        let pointers: Vec<_> = options.iter().map(|o| o.as_ptr()).collect();
        let mut program = ptr::null_mut();
        // SAFETY: texts end with a zero and outlive the calls; no headers are given; the handle is valid until it is
        // dropped.
        let (status, program) = unsafe {
            let status = (f.create)(&mut program, source.as_ptr(), file.as_ptr(), 0, ptr::null(), ptr::null());
            f.check("nvrtcCreateProgram", status)?;
            let program = Handle(program, f);
            ((f.compile)(program.0, pointers.len() as c_int, pointers.as_ptr()), program)
        };
        let log = printable(program.read("nvrtcGetProgramLog", f.log)?);
        const COMPILATION: Status = 6;
        if status == COMPILATION {
            let (name, arch) = (name.to_string(), arch.clone());
            return Err(NvrtcError::Source { name, arch, version: self.version, log });
        }
        f.check("nvrtcCompileProgram", status).map_err(|error| error.with_log(&log))?;
        let ptx = printable(program.read("nvrtcGetPTX", f.ptx)?);
        let cubin = program.read("nvrtcGetCUBIN", f.cubin)?;
        Ok(Compiled { ptx, cubin, log, nvrtc_version: self.version })
    }
}

impl Functions {
    fn check(&self, function: &'static str, status: Status) -> Result<(), NvrtcError> {
        if status == 0 {
            return Ok(());
        }
        // SAFETY: takes any number, and gives a text that stays, or nothing.
        let message = unsafe { (self.error_string)(status) };
        let message = match message.is_null() {
            true => format!("error {status}"),
            // SAFETY: as above.
            false => unsafe { CStr::from_ptr(message) }.to_string_lossy().into_owned(),
        };
        Err(NvrtcError::Call { function, message })
    }
}

impl Handle<'_> {
    fn read(&self, function: &'static str, (size, bytes): (SizeOf, BytesOf)) -> Result<Vec<u8>, NvrtcError> {
        let mut n = 0;
        // SAFETY: the program is valid, and `n` can be written.
        self.1.check(function, unsafe { size(self.0, &mut n) })?;
        let mut data = vec![0u8; n];
        // SAFETY: there are `n` bytes.
        self.1.check(function, unsafe { bytes(self.0, data.as_mut_ptr().cast()) })?;
        Ok(data)
    }
}

fn open(name: &Path) -> Result<Library, String> {
    // SAFETY: NVIDIA's libraries have no initializers that ask anything of the program.
    unsafe { Library::new(name) }.map_err(|error| one_line(&error.to_string()))
}

/// The library of built-in functions beside it. NVRTC asks for it by its bare name, which the system finds outside of
/// the library path only where it is loaded already.
fn builtins(nvrtc: &Path) -> Vec<PathBuf> {
    let folder = nvrtc.parent().filter(|folder| folder.is_absolute()).map(fs::read_dir);
    let files = folder.into_iter().flatten().flatten().flatten().map(|entry| entry.path());
    let is_it =
        |path: &PathBuf| path.file_name().is_some_and(|f| f.to_string_lossy().starts_with("libnvrtc-builtins.so"));
    files.filter(is_it).collect()
}

/// # Safety
/// `T` is the type of that function.
unsafe fn get<'l, T>(library: &'l Library, name: &CStr) -> Result<libloading::Symbol<'l, T>, String> {
    // SAFETY: promised by the caller.
    unsafe { library.get(name.to_bytes_with_nul()) }.map_err(|error| one_line(&error.to_string()))
}

fn text(function: &'static str, s: &str) -> Result<CString, NvrtcError> {
    CString::new(s).map_err(|_| NvrtcError::Call { function, message: "the text has a zero byte".into() })
}

/// A text without the zero that ends it.
fn printable(mut bytes: Vec<u8>) -> String {
    bytes.truncate(bytes.iter().position(|&b| b == 0).unwrap_or(bytes.len()));
    String::from_utf8_lossy(&bytes).into_owned()
}

fn one_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().to_string()
}

/// The file behind a name that the system has found.
fn loaded_from(name: &Path) -> PathBuf {
    if name.is_absolute() {
        return name.to_path_buf();
    }
    let maps = fs::read_to_string("/proc/self/maps").unwrap_or_default();
    let paths = maps.lines().filter_map(|line| Some(&line[line.find('/')?..]));
    let found =
        paths.into_iter().find(|path| path.rsplit('/').next().is_some_and(|file| file.starts_with("libnvrtc.so")));
    found.map_or_else(|| name.to_path_buf(), PathBuf::from)
}
