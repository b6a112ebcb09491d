//! Whole answers of the bundled model against llama.cpp's, token for token.
use apr::{
    gguf::Gguf,
    text::{ChatTemplate, Message, Special, Tokenizer, Vocabulary},
};
use serde_json::Value;
use std::{fs, time::SystemTime};
use tests::{
    data::{bundled, bundled_model},
    logits::{argmax, session},
};

/// One question with its prompt and llama.cpp's answer.
struct Case {
    question: String,
    prompt: String,
    prompt_tokens: Vec<u32>,
    answer: Vec<u32>,
}

fn cases() -> Vec<Case> {
    let text = fs::read_to_string(bundled("abacus-greedy.jsonl")).unwrap();
    let ids = |value: &Value| -> Vec<u32> {
        value.as_array().unwrap().iter().map(|id| id.as_u64().unwrap().try_into().unwrap()).collect()
    };
    let case = |line| {
        let v: Value = serde_json::from_str(line).unwrap();
        let text = |key: &str| v[key].as_str().unwrap().to_string();
        Case {
            question: text("question"),
            prompt: text("prompt"),
            prompt_tokens: ids(&v["prompt_tokens"]),
            answer: ids(&v["generated"]),
        }
    };
    text.lines().map(case).collect()
}

#[test]
fn prompts_become_the_listed_tokens() {
    let file = Gguf::open(&bundled_model()).unwrap();
    let tokenizer = Tokenizer::new(Vocabulary::read(file.metadata()).unwrap()).unwrap();
    let template = ChatTemplate::new(tokenizer.vocabulary()).unwrap();
    for case in cases() {
        let messages = [Message::new("user", &case.question)];
        let prompt = template.render(&messages, true, SystemTime::now()).unwrap();
        assert_eq!(prompt, case.prompt);
        assert_eq!(tokenizer.encode_prompt(&prompt, Special::Parse).unwrap(), case.prompt_tokens, "{}", case.question);
    }
}

#[test]
fn answers_are_those_of_llama_cpp() {
    let file = Gguf::open(&bundled_model()).unwrap();
    let cases = cases();
    assert_eq!(cases.len(), 30);
    let different: Vec<_> = cases.iter().filter_map(|case| difference(&file, case)).collect();
    different.iter().for_each(|line| println!("{line}"));
    assert!(different.len() <= 1, "{} of 30 answers differ:\n{}", different.len(), different.join("\n"));
}

/// Where our greedy answer leaves llama.cpp's, with how far our two candidates are apart.
fn difference(file: &Gguf, case: &Case) -> Option<String> {
    let positions = case.prompt_tokens.len() + case.answer.len();
    let mut session = session(file, positions, case.prompt_tokens.len(), 1);
    let mut logits = session.prefill(&case.prompt_tokens).unwrap();
    for (i, &theirs) in case.answer.iter().enumerate() {
        let ours = argmax(logits);
        if ours != theirs as usize {
            let gap = logits[ours] - logits[theirs as usize];
            return Some(format!("`{}`: token {i} is {ours}, llama.cpp's {theirs}, {gap:.4} below", case.question));
        }
        if i + 1 < case.answer.len() {
            logits = session.decode(theirs).unwrap();
        }
    }
    None
}
