//! The commands that the README shows are run as they stand there.
use std::{
    env, fs,
    path::Path,
    process::{Command, Stdio},
};
use tests::{
    data::{bundled_model, root},
    program::{Run, program},
};

/// The command that runs the tests: what the script that checks the tree calls.
const TEST: &str = "cargo test --release --workspace";
/// How a command begins that builds `apr` first.
const BUILD: &str = "cargo run --release --bin apr -- ";
/// The name that stands for the reader's own model.
const MODEL: &str = "my-model.gguf";

/// The commands in the `sh` blocks of a page.
fn commands(page: &str) -> Vec<String> {
    let text = fs::read_to_string(root().join(page)).unwrap();
    let blocks = text.split("```sh\n").skip(1).map(|rest| rest.split("```").next().unwrap());
    let lines = blocks.flat_map(|block| block.lines().map(|line| line.split(" #").next().unwrap().trim().to_string()));
    lines.filter(|line| !line.is_empty()).collect()
}

/// Runs a command of the shell with the built programs on the path.
fn shell(command: &str, folder: &Path) -> Run {
    let programs = program("apr").parent().unwrap().to_path_buf();
    let path = env::var_os("PATH").unwrap_or_default();
    let path = env::join_paths([programs].into_iter().chain(env::split_paths(&path))).unwrap();
    let mut sh = Command::new("sh");
    sh.args(["-c", command]).current_dir(folder).env("PATH", path).env_remove("APR_MODEL").stdin(Stdio::null());
    sh.output().unwrap().into()
}

#[test]
fn every_command_of_the_readme_works() {
    let folder = tempfile::tempdir().unwrap();
    fs::copy(bundled_model(), folder.path().join(MODEL)).unwrap();
    let commands = commands("README.md");
    assert!(commands.iter().any(|c| c.starts_with(BUILD)) && commands.iter().any(|c| c == TEST), "{commands:?}");
    for command in commands.iter().filter(|c| *c != TEST && !c.starts_with("cargo install")) {
        let plain = command.replace(BUILD, "apr ");
        let place = if plain.starts_with("kgen") { root() } else { folder.path().into() };
        let run = shell(&plain, &place);
        assert_eq!(run.code, Some(0), "`{command}`:\n{}{}", run.out, run.err);
        if command.starts_with(BUILD) {
            assert_eq!(run.out, "2 + 2 equals 4.\n", "`{command}`");
        }
    }
}

#[test]
fn the_test_command_is_the_one_that_is_checked() {
    let script = fs::read_to_string(root().join(".ci/run")).unwrap();
    assert!(script.lines().any(|line| line == format!("step {TEST}")), "{script}");
}

#[test]
fn the_exit_codes_are_those_of_the_program() {
    let page = fs::read_to_string(root().join("README.md")).unwrap();
    let rows = apr::EXIT_CODES.lines().skip(1).map(|line| line.trim().split_once(' ').unwrap());
    for (code, meaning) in rows {
        let row = format!("| {code} | {} |", meaning.trim());
        assert!(page.contains(&row), "README.md lacks `{row}`");
    }
}

#[test]
fn links_of_the_pages_lead_somewhere() {
    let mut pages = vec![root().join("README.md"), root().join("models/README.md"), root().join("benches/RESULTS.md")];
    pages.extend(fs::read_dir(root().join("docs")).unwrap().map(|entry| entry.unwrap().path()));
    for page in pages {
        let text = fs::read_to_string(&page).unwrap_or_else(|error| panic!("{}: {error}", page.display()));
        for link in text.split("](").skip(1).map(|rest| rest.split(')').next().unwrap()) {
            let file = link.split('#').next().unwrap();
            if !link.starts_with("http") && !file.is_empty() {
                assert!(page.parent().unwrap().join(file).exists(), "{}: {link} leads nowhere", page.display());
            }
        }
    }
}
