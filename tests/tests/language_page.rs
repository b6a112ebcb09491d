//! The examples of docs/language.md are kernels: each compiles, or is refused with the code that the page says.
use kgen::diagnostic::{Code, Source, render};
use std::fs;
use tests::data::root;

/// The blocks of the page that are opened by this line, with the number of the line each begins on.
fn blocks(fence: &str) -> Vec<(usize, String)> {
    let text = fs::read_to_string(root().join("docs/language.md")).unwrap();
    let (mut found, mut open) = (Vec::new(), None::<(usize, String)>);
    for (i, line) in text.lines().enumerate() {
        match &mut open {
            Some(block) if line == "```" => {
                found.push(std::mem::take(block));
                open = None;
            }
            Some((_, block)) => *block += &format!("{line}\n"),
            None if line == fence => open = Some((i + 2, String::new())),
            None => {}
        }
    }
    found
}

fn source(line: usize, text: &str) -> [Source; 1] {
    [Source { name: format!("docs/language.md, from line {line}"), text: text.into() }]
}

#[test]
fn the_examples_compile() {
    let examples = blocks("```rust");
    assert!(examples.len() > 10);
    for (line, text) in examples {
        let sources = source(line, &text);
        let kernels = kgen::compile(&sources).unwrap_or_else(|errors| panic!("{}", render(&errors, &sources, false)));
        assert!(!kernels.is_empty(), "{}: an example without a kernel checks nothing", sources[0].name);
    }
}

#[test]
fn the_counterexamples_are_refused_with_their_codes() {
    let examples = blocks("```rust,refused");
    assert!(examples.len() > 5);
    for (line, text) in examples {
        let sources = source(line, &text);
        let wanted = text.lines().next().unwrap().trim_start_matches("// ").split(':').next().unwrap().to_string();
        let errors = match kgen::compile(&sources) {
            Ok(_) => panic!("{} compiles", sources[0].name),
            Err(errors) => errors,
        };
        let codes: Vec<String> = errors.iter().map(|error| error.code.to_string()).collect();
        assert_eq!(codes, [wanted], "{}", render(&errors, &sources, false));
    }
}

#[test]
fn every_error_code_is_on_the_page() {
    let page = fs::read_to_string(root().join("docs/language.md")).unwrap();
    for code in Code::ALL {
        assert!(page.contains(&format!("| {code} |")), "docs/language.md lacks {code}");
    }
}
