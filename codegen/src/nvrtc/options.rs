//! The options that every kernel is compiled with. There is no other way to the compiler.
use super::NvrtcError;
use std::{fmt, str::FromStr};

/// The options of every compilation. Every operation is rounded by itself, subnormals are kept, division and square root are
/// IEEE's; then the language, and places in the source for the audit and for profilers.
pub const OPTIONS: [&str; 7] = [
    "--fmad=false",
    "--ftz=false",
    "--prec-div=true",
    "--prec-sqrt=true",
    "--std=c++17",
    "-default-device",
    "-lineinfo",
];
/// Has the assembler say in the log what a kernel takes; the code stays as it is.
pub const REPORT: &str = "--ptxas-options=-v";
/// Beginnings of options that change no result.
const HARMLESS: [&str; 6] = ["-D", "--define-macro=", "-I", "--include-path=", "--maxrregcount=", "-maxrregcount="];

/// The architecture whose schedules are measured: a folder of kernels has them in `schedules/sm_90.json`.
pub const MEASURED: &str = "sm_90";

/// An architecture with machine code of its own, as `sm_90` or `sm_90a`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Arch {
    number: u32,
    suffix: &'static str,
}

/// The error of parsing an [`Arch`].
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no GPU architecture: write sm_80, sm_90, sm_90a, sm_120, ...")]
pub struct UnknownArch(String);

impl Arch {
    /// That of a compute capability, as 9.0.
    pub fn of_capability(major: u32, minor: u32) -> Arch {
        Arch { number: major * 10 + minor, suffix: "" }
    }

    /// What machine code is made for: of compute capability 9.0, what has instructions that no later one has.
    fn code(&self) -> Arch {
        Arch { suffix: if self.number == 90 { "a" } else { self.suffix }, ..self.clone() }
    }

    /// Whether a launch can start while the one before it is still at work: kernels are then to wait for it by themselves.
    pub fn overlaps_launches(&self) -> bool {
        self.number >= 90
    }

    /// The architecture whose schedules it uses: one that has none of its own takes those of [`MEASURED`], which are legal
    /// everywhere and give equal bits, but may not be the fastest.
    pub fn schedules(&self) -> &'static str {
        MEASURED
    }

    /// The number, as 90.
    pub fn number(&self) -> u32 {
        self.number
    }
}

impl fmt::Display for Arch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sm_{}{}", self.number, self.suffix)
    }
}

impl FromStr for Arch {
    type Err = UnknownArch;

    fn from_str(s: &str) -> Result<Arch, UnknownArch> {
        let error = || UnknownArch(s.into());
        let text = s.strip_prefix("sm_").ok_or_else(error)?;
        let digits = text.trim_end_matches(['a', 'f']);
        let suffix = match &text[digits.len()..] {
            "" => "",
            "a" => "a",
            "f" => "f",
            _ => return Err(error()),
        };
        // Ten or more, so that there is a major and a minor number.
        let number = digits.parse().ok().filter(|n| (10..1000).contains(n) && !digits.starts_with(['0', '+']));
        Ok(Arch { number: number.ok_or_else(error)?, suffix })
    }
}

/// All options for an architecture; of `extra`, only what leaves every result as it is.
pub(super) fn options(arch: &Arch, extra: &[String]) -> Result<Vec<String>, NvrtcError> {
    let harmless =
        |option: &String| HARMLESS.iter().any(|start| option.len() > start.len() && option.starts_with(start));
    if let Some(option) = extra.iter().find(|option| *option != REPORT && !harmless(option)) {
        return Err(NvrtcError::Option(option.clone()));
    }
    let fixed = OPTIONS.into_iter().map(String::from);
    Ok(std::iter::once(format!("--gpu-architecture={}", arch.code()))
        .chain(fixed)
        .chain(extra.iter().cloned())
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn architectures_parse_back() {
        for text in ["sm_80", "sm_90a", "sm_120", "sm_100f"] {
            assert_eq!(text.parse::<Arch>().unwrap().to_string(), text);
        }
        for text in ["90", "sm_", "sm_9", "sm_90b", "sm_90aa", "sm_+90", "compute_90", "sm_1000"] {
            assert_eq!(text.parse::<Arch>(), Err(UnknownArch(text.into())));
        }
        assert_eq!(Arch::of_capability(12, 0).to_string(), "sm_120");
    }

    #[test]
    fn what_could_change_a_result_is_refused() {
        let arch = Arch::of_capability(9, 0);
        let bad = [
            "--use_fast_math",
            "-use_fast_math",
            "--fmad=true",
            "-fmad=true",
            "--ftz=true",
            "-ftz=true",
            "--prec-div=false",
            "--prec-sqrt=false",
            "--gpu-architecture=sm_80",
            "-arch=sm_80",
            "-optf=file",
            "--ptxas-options=--fmad=true",
            "--ptxas-options=-v -O0",
            "-Xptxas=-O0",
            "-D",
            "",
        ];
        for option in bad {
            let error = options(&arch, &["-DN=1".into(), option.into()]).unwrap_err();
            assert!(matches!(&error, NvrtcError::Option(o) if o == option), "{option}: {error}");
        }
        let all = options(&arch, &["-DN=1".into(), REPORT.into(), "--maxrregcount=64".into()]).unwrap();
        assert_eq!(all[..3], ["--gpu-architecture=sm_90a", "--fmad=false", "--ftz=false"]);
        assert!(all.ends_with(&["-DN=1".into(), REPORT.into(), "--maxrregcount=64".into()]));
    }
}
