//! Golden tests: what is shown for each kind of error, character by character.
//!
//! `sources/*.rs` are small programs with errors. `INSTA_UPDATE=always cargo test -p kgen --test diagnostics` writes the texts anew.
use kgen::diagnostic::{Code, Source, locate, records, render};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/diagnostics/sources")
}

fn source(name: &str) -> Source {
    let text = std::fs::read_to_string(folder().join(name)).unwrap_or_else(|e| panic!("{name}: {e}"));
    Source { name: name.to_string(), text }
}

/// Compares the rendered errors of files that are compiled together with their snapshot.
fn shows(name: &str, files: &[&str]) {
    let sources: Vec<Source> = files.iter().map(|f| source(f)).collect();
    let errors = kgen::compile(&sources).expect_err("an error");
    insta::with_settings!({ snapshot_path => "snapshots", prepend_module_to_snapshot => false, omit_expression => true }, {
        insta::assert_snapshot!(name, render(&errors, &sources, false));
    });
}

#[test]
fn each_code_is_shown_as_recorded() {
    for code in Code::ALL {
        let name = code.to_string();
        let file = format!("{name}.rs");
        let codes: BTreeSet<Code> =
            kgen::compile(&[source(&file)]).expect_err("an error").iter().map(|e| e.code).collect();
        assert_eq!(codes, BTreeSet::from([code]), "{file}");
        shows(&name, &[&file]);
    }
}

#[test]
fn several_errors_over_two_files() {
    shows("two_files", &["two_files_kernel.rs", "two_files_helpers.rs"]);
}

#[test]
fn every_unsupported_construct_is_named() {
    shows("unsupported", &["unsupported.rs"]);
    shows("unsupported_items", &["unsupported_items.rs"]);
    let errors = |file: &str| kgen::compile(&[source(file)]).expect_err("errors");
    let errors = [errors("unsupported.rs"), errors("unsupported_items.rs")].concat();
    let named = |what: &str| errors.iter().any(|e| e.code == Code::Unsupported && e.message.starts_with(what));
    let constructs = [
        "`while`",
        "`loop`",
        "`match`",
        "`as`",
        "`mut`",
        "a reference",
        "`unsafe`",
        "a macro",
        "an enum",
        "a trait",
        "`use`",
        "a module",
        "a static",
        "a type alias",
        "an impl of a trait",
        "`return`",
        "`break`",
        "`if let`",
        "an array literal",
        "a struct literal",
        "a closure",
        "a label",
        "the suffix `u8`",
        "text",
        "assignment",
        "a loop that is not over `par`",
        "a type on a `let`",
        "`if` without `else`",
        "a field by number",
        "a store inside a closure",
    ];
    for construct in constructs {
        assert!(named(construct), "{construct} is not named");
    }
}

#[test]
fn an_error_in_a_called_function_shows_both_places() {
    shows("called", &["called.rs"]);
}

#[test]
fn programs_get_lines_and_columns_in_characters() {
    let text = "// é\n#[kernel]\nfn f(y: &mut Ten<f32, 1>) {\n    /* é */ y[0] = z;\n}\n";
    let sources = [Source { name: "f.rs".into(), text: text.into() }];
    let errors = kgen::compile(&sources).expect_err("an error");
    let record = &records(&errors, &sources)[0];
    assert_eq!((record.code.as_str(), record.at.line, record.at.column, record.at.end_column), ("K0003", 4, 20, 21));
    assert_eq!(record.labels[0].at, locate(&sources, errors[0].labels[0].0));
}

#[test]
fn colours_are_only_there_where_asked_for() {
    let sources = [source("K0006.rs")];
    let errors = kgen::compile(&sources).expect_err("an error");
    assert!(!render(&errors, &sources, false).contains('\u{1b}'));
    assert!(render(&errors, &sources, true).contains("\u{1b}["));
}

/// Every label says something.
#[test]
fn no_label_is_empty() {
    for entry in std::fs::read_dir(folder()).expect("the sources").flatten() {
        let file = entry.file_name().into_string().expect("a name");
        for error in kgen::compile(&[source(&file)]).err().unwrap_or_default() {
            assert!(error.labels.iter().all(|(_, text)| !text.is_empty()), "{file}: {error:?}");
        }
    }
}
