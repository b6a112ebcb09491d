//! What `apr run` is given: which argument is the model and which the prompt, standard input.
use crate::Error;
use std::{
    io::{IsTerminal, Read},
    path::{Path, PathBuf},
};

/// Longest prompt that is read from standard input, in bytes: more than any model's context.
const MOST_INPUT: u64 = 64 << 20;

/// Model and prompt, as far as the arguments give them.
#[derive(Debug, PartialEq)]
pub struct Input {
    /// The model file; the bundled one where there is none.
    pub model: Option<PathBuf>,
    /// The prompt; standard input where there is none.
    pub prompt: Option<String>,
}

impl Input {
    /// Sorts out `[MODEL] [PROMPT]` and `--prompt`: a lone argument is the prompt, unless it names a file or looks
    /// like one. So a mistyped file name is an error later on, never a prompt.
    pub fn sort(first: Option<String>, second: Option<String>, option: Option<String>) -> Result<Input, Error> {
        match (first, second, option) {
            (Some(_), Some(_), Some(_)) => {
                Err(Error::usage("the prompt is given twice, as an argument and by --prompt", "leave one of them out"))
            }
            (Some(model), prompt @ Some(_), None) => Ok(Input { model: Some(model.into()), prompt }),
            (Some(model), None, prompt @ Some(_)) => Ok(Input { model: Some(model.into()), prompt }),
            (Some(lone), None, None) if names_file(&lone) => Ok(Input { model: Some(lone.into()), prompt: None }),
            (prompt, _, None) => Ok(Input { model: None, prompt }),
            (None, _, prompt) => Ok(Input { model: None, prompt }),
        }
    }
}

/// Whether a lone argument is a file, or can only have been meant as one.
fn names_file(arg: &str) -> bool {
    let path = Path::new(arg);
    let is_file = path.exists() && !path.is_dir();
    let suffix = [".gguf", ".apr"].iter().any(|suffix| arg.to_ascii_lowercase().ends_with(suffix));
    let rooted = ["/", "./", "../", "~/"].iter().any(|start| arg.starts_with(start));
    is_file || suffix || rooted || (arg.contains('/') && !arg.contains(char::is_whitespace))
}

/// The prompt from standard input, without the last line's end.
pub fn read_prompt() -> Result<String, Error> {
    let stdin = std::io::stdin();
    if stdin.is_terminal() {
        eprintln!("type the prompt; end it with Ctrl-D");
    }
    prompt_from(stdin.lock())
}

fn prompt_from(from: impl Read) -> Result<String, Error> {
    let mut bytes = Vec::new();
    let read = from.take(MOST_INPUT + 1).read_to_end(&mut bytes);
    read.map_err(|error| Error::Failure(format!("cannot read the prompt from standard input: {error}")))?;
    if bytes.len() as u64 > MOST_INPUT {
        let message = format!("the prompt on standard input is longer than {} MiB", MOST_INPUT >> 20);
        return Err(Error::usage(message, "shorten it"));
    }
    let help = "convert it to UTF-8";
    let mut prompt = String::from_utf8(bytes)
        .map_err(|error| Error::usage(format!("the prompt on standard input is not UTF-8: {error}"), help))?;
    if prompt.ends_with('\n') {
        prompt.pop();
        if prompt.ends_with('\r') {
            prompt.pop();
        }
    }
    Ok(prompt)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sort(first: &str, second: &str, option: &str) -> Result<Input, Error> {
        let given = |s: &str| (!s.is_empty()).then(|| s.to_string());
        Input::sort(given(first), given(second), given(option))
    }

    fn model(input: Result<Input, Error>) -> Option<String> {
        input.unwrap().model.map(|path| path.display().to_string())
    }

    #[test]
    fn a_lone_argument_is_the_prompt() {
        for prompt in ["What is 2+2?", "hello", "What is 6/3 or 8 / 4?", "and so on..."] {
            assert_eq!(sort(prompt, "", "").unwrap(), Input { model: None, prompt: Some(prompt.into()) });
        }
        assert_eq!(sort("", "", "").unwrap(), Input { model: None, prompt: None });
        assert_eq!(sort("", "", "hi").unwrap(), Input { model: None, prompt: Some("hi".into()) });
    }

    #[test]
    fn a_lone_argument_that_looks_like_a_file_is_the_model() {
        for file in ["no-such.gguf", "No Such.GGUF", "a.apr", "./a", "../a b", "/a/b", "~/a", "models/abacus"] {
            let input = sort(file, "", "").unwrap();
            assert_eq!(input, Input { model: Some(file.into()), prompt: None });
        }
        let file = tempfile::NamedTempFile::new_in(".").unwrap();
        let name = file.path().file_name().unwrap().to_str().unwrap();
        assert_eq!(model(sort(name, "", "")).as_deref(), Some(name));
        assert_eq!(model(sort("src", "", "")), None, "a folder is no file");
    }

    #[test]
    fn two_arguments_are_model_and_prompt() {
        assert_eq!(model(sort("a", "b.gguf", "")).as_deref(), Some("a"));
        assert_eq!(model(sort("a", "", "hi")).as_deref(), Some("a"));
        assert_eq!(sort("a", "b", "c").unwrap_err().exit_code(), 2);
    }

    #[test]
    fn standard_input_loses_one_line_end() {
        assert_eq!(prompt_from(&b"a\nb\n"[..]).unwrap(), "a\nb");
        assert_eq!(prompt_from(&b"a\r\n"[..]).unwrap(), "a");
        assert_eq!(prompt_from(&b"a\n\n"[..]).unwrap(), "a\n");
        assert_eq!(prompt_from(&b"a\xff"[..]).unwrap_err().exit_code(), 2);
        assert_eq!(prompt_from(std::io::repeat(b'a')).unwrap_err().exit_code(), 2);
    }
}
