//! The built programs, and one run of them.
use std::{
    env,
    path::PathBuf,
    process::{Command, Output},
};

/// The program of this name, which `cargo test --workspace` builds beside the tests.
///
/// # Panics
/// When it was not built.
pub fn program(name: &str) -> PathBuf {
    let test = env::current_exe().expect("a test knows its own path");
    let profile = test.parent().and_then(|deps| deps.parent()).expect("tests are in target/PROFILE/deps");
    let path = profile.join(format!("{name}{}", env::consts::EXE_SUFFIX));
    assert!(path.is_file(), "{} is not built: test the whole workspace, `cargo test --workspace`", path.display());
    path
}

/// `apr` with arguments, away from models that the environment names.
pub fn apr(args: &[&str]) -> Command {
    let mut command = Command::new(program("apr"));
    command.args(args).env_remove("APR_MODEL");
    command
}

/// What a run left behind.
#[derive(Debug)]
pub struct Run {
    /// The exit code; none where a signal ended it.
    pub code: Option<i32>,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

impl From<Output> for Run {
    fn from(output: Output) -> Run {
        let text = |bytes| String::from_utf8(bytes).expect("output is UTF-8");
        Run { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
    }
}

/// Runs `apr` to its end, with nothing on standard input.
pub fn run(args: &[&str]) -> Run {
    apr(args).stdin(std::process::Stdio::null()).output().expect("apr starts").into()
}
