//! The script that compares speeds with another program: its ratios are those of what the two say.
use std::{
    fs,
    process::{Command, Stdio},
};
use tests::{
    data::{bundled_model, root, skipped},
    program::{Run, program},
};

/// Stands for the other program: it writes what `llama-bench -o json` would.
const PEER: &str = r#"#!/bin/sh
echo '[{"n_prompt": 8, "n_gen": 0, "avg_ts": 1e-3}, {"n_prompt": 0, "n_gen": 2, "avg_ts": 1e9}]'
"#;

fn python() -> Option<Command> {
    let found = Command::new("python3").arg("--version").stdout(Stdio::null()).status().is_ok_and(|s| s.success());
    found.then(|| Command::new("python3"))
}

#[cfg(unix)]
#[test]
fn pairs_are_measured_and_their_ratios_printed() {
    use std::os::unix::fs::PermissionsExt;
    let Some(mut command) = python() else { return skipped("peer", "there is no python3") };
    let folder = tempfile::tempdir().unwrap();
    let peer = folder.path().join("llama-bench");
    fs::write(&peer, PEER).unwrap();
    fs::set_permissions(&peer, fs::Permissions::from_mode(0o755)).unwrap();
    command.arg(root().join("benches/peer.py")).arg(bundled_model()).arg("--apr").arg(program("apr"));
    command.arg("--llama-bench").arg(peer).args(["--pairs", "2", "-t", "1", "-p", "8", "-n", "2"]);
    let run: Run = command.output().unwrap().into();
    assert_eq!(run.code, Some(0), "{}", run.err);
    let ratios = |test: &str| -> Vec<f64> {
        let line = run.out.lines().find(|line| line.starts_with(&format!("| {test} "))).unwrap();
        line.split('|').skip(4).filter_map(|cell| cell.trim().parse().ok()).collect()
    };
    let (prefill, decode) = (ratios("prefill 8"), ratios("decode 2"));
    assert_eq!((prefill.len(), decode.len()), (3, 3), "{}", run.out);
    assert!(prefill.iter().all(|&ratio| ratio > 1000.0), "a peer of a token in 1000 s: {}", run.out);
    assert!(decode.iter().all(|&ratio| ratio < 0.001), "a peer of a token in a nanosecond: {}", run.out);
    assert!(run.err.contains("pair 2 of 2"), "{}", run.err);
}

#[test]
fn a_program_that_is_not_there_is_named() {
    let Some(mut command) = python() else { return skipped("peer", "there is no python3") };
    command.arg(root().join("benches/peer.py")).arg(bundled_model()).args(["--apr", "no-such-apr"]);
    let run: Run = command.output().unwrap().into();
    assert_eq!(run.code, Some(1), "{}", run.out);
    assert!(run.err.contains("no-such-apr"), "{}", run.err);
}
