//! What the commands share: the kernels folder, how they fail, and colours.
pub mod build;
pub mod check;
pub mod doctor;
pub mod emit;
pub mod explain;
pub mod inspect;
pub mod list;
pub mod run;
pub mod tune;

mod arguments;
mod units;

use kgen::audit::{Allowed, audit};
use kgen::cpu::Isa;
use kgen::diagnostic::{self, Diagnostic, Source};
use kgen::ir::Kernel;
use kgen::library::{self, Library, LibraryError};
use kgen::loop_ir::Func;
use kgen::nvrtc::{Arch, Compiled, NvrtcError};
use kgen::schedule::Schedule;
use kgen::target::Target;
use kgen::text;
use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};

/// Why a command ends without success.
pub enum Failure {
    /// The command line is wrong: exit code 2.
    Usage(String),
    /// It could not be done: exit code 1.
    Failed(String),
    /// The same, in a text that is complete as it is.
    Diagnosed(String),
    /// It was done, and what it found has an exit code of its own.
    Found(u8, String),
    /// Standard output cannot be written.
    Output(io::Error),
}

impl From<io::Error> for Failure {
    fn from(e: io::Error) -> Self {
        Failure::Output(e)
    }
}

impl From<NvrtcError> for Failure {
    fn from(e: NvrtcError) -> Self {
        let help = e.help().map(|help| format!("\n  help: {help}")).unwrap_or_default();
        Failure::Failed(format!("{e}{help}"))
    }
}

impl From<LibraryError> for Failure {
    fn from(e: LibraryError) -> Self {
        Failure::Failed(e.0)
    }
}

/// How a command ends.
pub type Done = Result<(), Failure>;

/// The kernels folder: as given, else from the environment, else the one beside this compiler's source.
pub fn folder(given: Option<PathBuf>) -> PathBuf {
    given
        .or_else(|| std::env::var_os("KGEN_KERNELS").filter(|v| !v.is_empty()).map(PathBuf::from))
        .unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name("kernels-gen"))
}

/// The sources of a folder, or why there are none.
fn sources(folder: &Path) -> Result<Vec<Source>, Failure> {
    library::sources(folder).map_err(|e| {
        let hint = "name a folder with `kernels/` and `formats/` by --kernels or KGEN_KERNELS";
        Failure::Failed(format!("{e}\n  help: {hint}"))
    })
}

/// The kernels of a folder; errors in them are shown with their places.
fn open(folder: &Path) -> Result<Library, Failure> {
    let sources = sources(folder)?;
    kgen::compile(&sources).map_err(|errors| Failure::Diagnosed(render(&errors, &sources)))?;
    Ok(Library::open(folder)?)
}

/// Errors as they are shown on standard error.
fn render(errors: &[Diagnostic], sources: &[Source]) -> String {
    let no_color = std::env::var_os("NO_COLOR").is_some_and(|v| !v.is_empty());
    let dumb = std::env::var_os("TERM").is_some_and(|v| v == "dumb");
    diagnostic::render(errors, sources, io::stderr().is_terminal() && !no_color && !dumb)
}

/// The kernel under the schedule given on the command line, else under each of those that the folder has.
fn lowered(
    library: &Library,
    kernel: &Kernel,
    target: Target,
    given: Option<&str>,
) -> Result<Vec<(Schedule, Func)>, Failure> {
    let Some(given) = given else { return Ok(library.lowered(kernel, target)?) };
    let text = match given.trim_start().starts_with('{') {
        true => given.to_string(),
        false => std::fs::read_to_string(given).map_err(|e| Failure::Failed(format!("{given}: {e}")))?,
    };
    let schedule: Schedule = serde_json::from_str(&text).map_err(|e| Failure::Failed(format!("--schedule: {e}")))?;
    let illegal = |e: String| Failure::Failed(format!("this schedule is not legal on {target}: {e}"));
    let func = target.lower(kernel, &schedule).map_err(illegal)?;
    Ok(vec![(schedule, func)])
}

/// Violations of an audit that are shown.
const SHOWN: usize = 10;

/// Refuses compiled code that could give other bits than the kernel's source says.
fn audited(compiled: &Compiled, allowed: &Allowed, arch: &Arch) -> Done {
    audit(&compiled.ptx, allowed).map_err(|violations| {
        let shown: String = violations.iter().take(SHOWN).map(|violation| format!("\n  {violation}")).collect();
        let (count, version) = (text::count(violations.len(), "instruction"), compiled.nvrtc_version);
        Failure::Failed(format!("the audit refuses {count} of what NVRTC {version} made for {arch}:{shown}"))
    })
}

/// A parsed `--arch`; `90` is short for `sm_90`.
fn parse_arch(text: &str) -> Result<Arch, String> {
    let full = if text.starts_with(|c: char| c.is_ascii_digit()) { format!("sm_{text}") } else { text.into() };
    full.parse().map_err(|_| format!("{text:?} is no GPU architecture: write sm_80, sm_90, sm_90a, sm_120, .."))
}

/// A parsed `--isa`.
fn parse_isa(text: &str) -> Result<Isa, String> {
    text.parse()
}
