//! Where NVRTC may be: the library path, CUDA's folders, a Python environment.
use super::{Nvrtc, Version};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fmt, fs};

/// How to get a good version.
pub const INSTALL: &str = "pip install \"nvidia-cuda-nvrtc==13.0.*\", in an active virtual environment or for python3, or \
    install a CUDA toolkit and set CUDA_HOME";
/// Older ones lack the architectures of today.
pub const OLDEST: Version = Version { major: 12, minor: 0 };

/// The library was not found, or what was found cannot be used.
#[derive(Clone, Debug, thiserror::Error)]
pub struct NotFound {
    /// Places that have no NVRTC.
    pub looked: Vec<String>,
    /// Files that are there but of no use, and why.
    pub refused: Vec<String>,
}

impl fmt::Display for NotFound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "NVRTC, the compiler for GPU code (libnvrtc), was not found\n  looked in: {}",
            self.looked.join(", ")
        )?;
        self.refused.iter().try_for_each(|refused| write!(f, "\n  not usable: {refused}"))
    }
}

/// A place to look in.
struct Place {
    what: String,
    files: Vec<PathBuf>,
}

/// The first library that can be loaded and is not too old.
pub(super) fn find() -> Result<Nvrtc, NotFound> {
    let mut not_found = NotFound { looked: Vec::new(), refused: Vec::new() };
    let places: [fn() -> Vec<Place>; 4] = [library_path, cuda_folders, environments, python];
    // One after the other, since the last one starts a program.
    for place in places.into_iter().flat_map(|places| places()) {
        for file in &place.files {
            match Nvrtc::load(file) {
                Ok(nvrtc) if nvrtc.version() >= OLDEST => return Ok(nvrtc),
                Ok(nvrtc) => {
                    let (path, version) = (nvrtc.path().display(), nvrtc.version());
                    not_found.refused.push(format!("{path}: version {version}, at least {OLDEST} is needed"));
                }
                // A name that the system does not find is no file that is there.
                Err(error) if file.is_absolute() => not_found.refused.push(format!("{}: {error}", file.display())),
                Err(_) => {}
            }
        }
        not_found.looked.push(place.what);
    }
    Err(not_found)
}

fn library_path() -> Vec<Place> {
    let files = ["libnvrtc.so.13", "libnvrtc.so.12", "libnvrtc.so"].map(PathBuf::from).to_vec();
    vec![Place { what: "the library path (LD_LIBRARY_PATH, ldconfig)".into(), files }]
}

fn cuda_folders() -> Vec<Place> {
    let set = |name: &str| env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
    let named = ["CUDA_HOME", "CUDA_PATH"].into_iter().filter_map(set);
    let installed = folders(Path::new("/usr/local"), "cuda");
    let mut places: Vec<Place> =
        named.chain(installed).flat_map(|home| [home.join("lib64"), home.join("lib")]).map(place).collect();
    if places.is_empty() {
        places.push(Place { what: "/usr/local/cuda*/lib64".into(), files: Vec::new() });
    }
    places
}

/// The packages of the active environments.
fn environments() -> Vec<Place> {
    let environments = ["VIRTUAL_ENV", "CONDA_PREFIX"].into_iter().filter_map(env::var_os);
    let pythons = environments.flat_map(|home| folders(&Path::new(&home).join("lib"), "python"));
    pythons.map(|python| packages(&python.join("site-packages"))).collect()
}

/// The packages of `python3`.
fn python() -> Vec<Place> {
    let program = "import site; print('\\n'.join(site.getsitepackages() + [site.getusersitepackages()]))";
    match Command::new("python3").args(["-c", program]).output() {
        Ok(output) => String::from_utf8_lossy(&output.stdout).lines().map(|site| packages(Path::new(site))).collect(),
        Err(_) => vec![Place { what: "site-packages (there is no python3)".into(), files: Vec::new() }],
    }
}

/// What `nvidia-cuda-nvrtc` and `nvidia-cuda-nvrtc-cu12` install.
fn packages(site: &Path) -> Place {
    let folders = folders(&site.join("nvidia"), "").into_iter().map(|package| package.join("lib"));
    let files = folders.flat_map(|folder| libraries(&folder)).collect();
    Place { what: format!("{}/nvidia/*/lib", site.display()), files }
}

fn place(folder: PathBuf) -> Place {
    Place { files: libraries(&folder), what: folder.display().to_string() }
}

/// The files `libnvrtc.so*` of a folder, the newest version first.
fn libraries(folder: &Path) -> Vec<PathBuf> {
    let mut files = entries(folder, "libnvrtc.so");
    files.sort_by_key(|file| std::cmp::Reverse(numbers(file)));
    files
}

/// The folders in `folder` whose names begin with `start`, the newest version first.
fn folders(folder: &Path, start: &str) -> Vec<PathBuf> {
    let mut found: Vec<_> = entries(folder, start).into_iter().filter(|path| path.is_dir()).collect();
    found.sort_by_key(|path| std::cmp::Reverse(numbers(path)));
    found
}

fn entries(folder: &Path, start: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    entries.filter(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(start))).collect()
}

/// The numbers in a name, as 12 and 9 of `cuda-12.9`.
fn numbers(path: &Path) -> Vec<u32> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    name.split(|c: char| !c.is_ascii_digit()).filter_map(|n| n.parse().ok()).collect()
}
