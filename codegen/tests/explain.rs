//! The examples in the explanations give the code that they explain, and compile once corrected.
use kgen::diagnostic::{Code, Source, render};

fn example(code: Code, mark: &str) -> Source {
    let text = code.explanation();
    let (_, rest) =
        text.split_once(&format!("```rust,{mark}\n")).unwrap_or_else(|| panic!("{code} has no {mark} example"));
    let (example, _) = rest.split_once("```").expect("the example ends");
    Source { name: format!("{code}.rs"), text: example.to_string() }
}

#[test]
fn erroneous_examples_give_their_code() {
    for code in Code::ALL {
        let sources = [example(code, "bad")];
        let errors = kgen::compile(&sources).expect_err("an error");
        let codes: Vec<Code> = errors.iter().map(|e| e.code).collect();
        // The unsupported constructs of one example may be several.
        assert!(codes.iter().all(|c| *c == code), "{code}: {}", render(&errors, &sources, false));
    }
}

#[test]
fn corrected_examples_compile() {
    for code in Code::ALL {
        let sources = [example(code, "good")];
        if let Err(errors) = kgen::compile(&sources) {
            panic!("{code}: {}", render(&errors, &sources, false));
        }
    }
}

#[test]
fn every_explanation_has_its_heading() {
    for code in Code::ALL {
        assert!(code.explanation().starts_with(&format!("# {code}: ")), "{code}");
        assert!(code.title().len() > 10, "{code}");
    }
}
