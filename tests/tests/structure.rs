//! What the source tree promises of itself: what may be named where, how large a file is, what depends on what.
use serde_json::Value;
use std::{collections::BTreeSet, env, fs, path::Path, process::Command};
use tests::data::root;

/// The most lines of a source file.
const LINES: usize = 500;
/// The tables that name instructions, registers and features of a processor: instructions with a meaning of their own, and
/// how a CPU does operators.
/// And the bench of what a processor's instructions can do at most.
const TABLES: [&str; 5] = [
    "codegen/src/instructions/",
    "codegen/src/cpu/operations.rs",
    "codegen/src/cpu/row.rs",
    "codegen/src/cpu/isa.rs",
    "benches/benches/peak.rs",
];
/// Asks the processor how it rounds: what a table of operations cannot say.
const DETECTION: &str = "kernels-gen/src/float_mode.rs";

/// The files of the tree with one of these extensions, by their paths from the root.
fn files(extensions: &[&str]) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut folders = vec![root()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if path.is_dir() {
                if name != "target" && (!name.starts_with('.') || name == ".ci") {
                    folders.push(path);
                }
            } else if path.extension().is_some_and(|e| extensions.iter().any(|wanted| e == *wanted)) {
                found.push((relative(&path), fs::read_to_string(&path).unwrap()));
            }
        }
    }
    found.sort();
    assert!(found.len() > 3);
    found
}

fn relative(path: &Path) -> String {
    path.strip_prefix(root())
        .unwrap()
        .components()
        .map(|c| c.as_os_str().to_string_lossy())
        .collect::<Vec<_>>()
        .join("/")
}

/// Lines that are no comments.
fn code(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines().enumerate().map(|(i, line)| (i + 1, line)).filter(|(_, line)| !line.trim_start().starts_with("//"))
}

#[track_caller]
fn none(found: Vec<String>, what: &str) {
    assert!(found.is_empty(), "{what}:\n{}", found.join("\n"));
}

/// Whether a line names an instruction, a register's type or a path to them.
fn names_an_instruction(line: &str) -> bool {
    let prefixes = ["core::arch", "std::arch", "arch::asm", "_mm_", "_mm256_", "_mm512_", "__m128", "__m256", "__m512"];
    prefixes.iter().any(|p| line.contains(p))
}

/// Whether a file is one of the tables.
fn is_table(path: &str) -> bool {
    TABLES.iter().any(|table| path.starts_with(table))
}

#[test]
fn instructions_are_named_in_the_tables() {
    let (mut found, mut in_tables) = (Vec::new(), 0);
    for (path, text) in files(&["rs"]) {
        if path == DETECTION || path.starts_with("tests/") {
            continue;
        }
        for (number, line) in code(&text) {
            // The macro that asks for a feature is written into generated code, with names from the table.
            let written = path == "codegen/src/cpu/support.rs" && line.contains("is_x86_feature_detected!(#name)");
            if names_an_instruction(line) && is_table(&path) {
                in_tables += 1;
            } else if names_an_instruction(line) && !written {
                found.push(format!("{path}:{number}: {}", line.trim()));
            }
        }
    }
    none(found, "instructions are named outside of the tables");
    assert!(in_tables > 10, "the search finds nothing");
}

#[test]
fn features_of_processors_are_named_in_the_tables() {
    let features = ["\"avx\"", "\"f16c\"", "\"avx512f\"", "\"avx512vnni\""];
    let mut found = Vec::new();
    for (path, text) in files(&["rs"]) {
        let named = code(&text).any(|(_, line)| features.iter().any(|f| line.contains(f)));
        if named && !is_table(&path) && path != DETECTION && !path.starts_with("tests/") {
            found.push(path);
        }
    }
    none(found, "features are named outside of the tables");
}

/// Names of block formats in a line, however they are written.
fn names_a_format(line: &str) -> bool {
    let plain: String = line.to_lowercase().chars().filter(|c| *c != '_').collect();
    ["q2k", "q3k", "q4k", "q5k", "q6k", "q8k", "q40", "q41", "q50", "q51", "q80", "iq4nl", "iq4xs"].iter().any(
        |format| {
            plain.match_indices(format).any(|(at, _)| {
                let around = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
                !around(plain[..at].chars().next_back()) && !around(plain[at + format.len()..].chars().next())
            })
        },
    )
}

#[test]
fn the_compiler_knows_no_format_by_name() {
    assert!(names_a_format("match Q4_K {") && names_a_format("\"q6k\"") && !names_a_format("let q80a = 1;"));
    let mut found = Vec::new();
    for (path, text) in files(&["rs"]).iter().filter(|(path, _)| path.starts_with("codegen/src/")) {
        for (number, line) in code(text) {
            // A help line may show how an attribute is written.
            if names_a_format(line) && !line.contains("help(\"") {
                found.push(format!("{path}:{number}: {}", line.trim()));
            }
        }
    }
    none(found, "formats are named in the compiler");
}

#[test]
fn source_files_are_short_and_say_what_they_are_for() {
    let mut found = Vec::new();
    for (path, text) in files(&["rs"]) {
        let lines = text.lines().count();
        if lines > LINES {
            found.push(format!("{path} has {lines} lines, {LINES} are the most"));
        }
        // Programs that the compiler's tests refuse are data.
        if !text.starts_with("//!") && !path.starts_with("codegen/tests/diagnostics/sources/") {
            found.push(format!("{path} does not begin with what it is for"));
        }
    }
    none(found, "source files");
}

#[test]
fn nothing_is_left_unfinished() {
    let words = [
        concat!("TO", "DO"),
        concat!("FIX", "ME"),
        concat!("X", "XX"),
        concat!("unimple", "mented!"),
        concat!("to", "do!("),
    ];
    let ignored = concat!("#[ign", "ore");
    let mut found = Vec::new();
    for (path, text) in files(&["rs", "md", "toml", "json"]) {
        for (number, line) in text.lines().enumerate() {
            if words.iter().any(|word| line.contains(word)) || line.contains(ignored) {
                found.push(format!("{path}:{}: {}", number + 1, line.trim()));
            }
        }
    }
    none(found, "unfinished");
}

#[test]
fn dependencies_point_one_way() {
    let cargo = env::var_os("CARGO").unwrap_or("cargo".into());
    let args = ["metadata", "--no-deps", "--format-version", "1", "--offline"];
    let output = Command::new(cargo).args(args).current_dir(root()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    let own: BTreeSet<&str> = packages.iter().map(|p| p["name"].as_str().unwrap()).collect();
    assert_eq!(own, BTreeSet::from(["apr", "benches", "gguf", "kernels-gen", "kgen", "tests"]));
    let of = |package: &str, kind: Option<&str>| -> Vec<String> {
        let package = packages.iter().find(|p| p["name"] == package).unwrap();
        let all = package["dependencies"].as_array().unwrap().iter().filter(|d| d["kind"].as_str() == kind);
        all.map(|d| d["name"].as_str().unwrap().to_string()).filter(|name| own.contains(name.as_str())).collect()
    };
    for kind in [None, Some("dev"), Some("build")] {
        assert_eq!(of("gguf", kind), [""; 0], "files are files, whoever reads them");
        let files: &[&str] = if kind.is_none() { &["gguf"] } else { &[] };
        assert_eq!(of("kgen", kind), files, "the compiler knows of the tree only how to read a model's sizes");
    }
    assert_eq!(of("kernels-gen", None), ["kgen"], "a target and a layout are the same to a launch and to the compiler");
    assert_eq!(of("kernels-gen", Some("build")), ["kgen"]);
    assert_eq!(of("apr", None), ["gguf", "kernels-gen", "kgen"], "CUDA code is compiled for the GPU that is there");
    assert_eq!(of("apr", Some("build")), [""; 0]);
}

#[test]
fn every_format_is_declared_in_a_file_of_its_own() {
    let declared = |folder: &str, marker: &str| -> Vec<(String, usize)> {
        let of = |(path, text): &(String, String)| (path.clone(), text.matches(marker).count());
        files(&["rs"]).iter().filter(|(path, _)| path.starts_with(folder)).map(of).collect()
    };
    let formats = declared("kernels-gen/formats/", "#[format(");
    assert!(formats.len() >= 3 && formats.iter().all(|(_, count)| *count == 1), "{formats:?}");
    let outside = declared("kernels-gen/kernels/", "#[format(");
    assert!(outside.iter().all(|(_, count)| *count == 0), "{outside:?}");
}
