//! `kgen doctor` from outside, with and without what it looks for.
use serde_json::Value;
use std::path::Path;
use std::process::Command;

/// Standard output, with a cache folder and NVRTC only where it is installed for all.
fn doctor(cache: &Path, args: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kgen"));
    command.arg("doctor").args(args).env("KGEN_CACHE", cache);
    let output = command.output().expect("kgen runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("UTF-8")
}

#[test]
fn what_is_missing_comes_with_a_way_to_get_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let json: Value = serde_json::from_str(&doctor(folder.path(), &["--json"])).expect("JSON");
    assert_eq!(json["cache"]["folder"], folder.path().display().to_string());
    assert_eq!((&json["cache"]["entries"], &json["cache"]["writable"]), (&0.into(), &true.into()));
    assert_eq!(json["cpu"][0]["name"], "scalar");
    assert_eq!(json["cpu"][0]["available"], true);
    let problems = json["problems"].as_array().expect("an array");
    let named = |word: &str| problems.iter().any(|p| p["problem"].as_str().is_some_and(|p| p.contains(word)));
    assert_eq!(named("NVRTC, the compiler"), json["nvrtc"].is_null());
    assert_eq!(named("driver"), json["driver"].is_null(), "{problems:?}");
    assert!(problems.iter().all(|p| p["help"].as_str().is_some_and(|help| !help.is_empty())));

    let text = doctor(folder.path(), &[]);
    for word in ["driver  ", "nvrtc   ", "cpu     yes  scalar", "cache   "] {
        assert!(text.contains(word), "{word}: {text}");
    }
    assert_eq!(text.matches("\n  help: ").count(), problems.len(), "{text}");
}

#[test]
fn a_cache_that_cannot_be_written_is_a_problem() {
    let file = tempfile::NamedTempFile::new().expect("a file");
    let json: Value = serde_json::from_str(&doctor(&file.path().join("folder"), &["--json"])).expect("JSON");
    assert_eq!(json["cache"]["writable"], false);
    let text = doctor(&file.path().join("folder"), &[]);
    assert!(text.contains("compiled kernels cannot be kept in") && text.contains("KGEN_CACHE"), "{text}");
}
