//! Token ids against llama.cpp's, for its own test texts and for the prompts of the bundled model.

mod text_support;

use apr::text::{Special, Tokenizer};
use std::time::{Duration, Instant};
use text_support::{oracles, read, tokenizer};

const SEPARATOR: &str = "\n__ggml_vocab_test__\n";

/// Every text of a vocabulary's test must give the listed ids, and they the text with what the model puts before it;
/// the texts hold no special tokens.
fn check_pairs(name: &str, prefix: &str) {
    let Some(folder) = oracles(name) else { return };
    let path = folder.join("tokenizer").join(format!("ggml-vocab-{name}.gguf"));
    let beside = |end: &str| std::fs::read_to_string(format!("{}{end}", path.display())).unwrap();
    let (texts, answers) = (beside(".inp"), beside(".out"));
    let texts: Vec<_> = texts.split_terminator(SEPARATOR).collect();
    let answers: Vec<_> = answers.lines().collect();
    assert_eq!(texts.len(), answers.len());
    assert!(texts.len() > 40);
    let tokenizer = tokenizer(&path);
    for (text, answer) in texts.iter().zip(answers) {
        let want: Vec<u32> = answer.split_whitespace().map(|id| id.parse().unwrap()).collect();
        for special in [Special::Plain, Special::Parse] {
            assert_eq!(tokenizer.encode(text, special).unwrap(), want, "{name}: {text:?} {special:?}");
        }
        let decoded = String::from_utf8(tokenizer.decode(&want)).unwrap();
        assert_eq!(decoded, if text.is_empty() { String::new() } else { format!("{prefix}{text}") });
    }
}

#[test]
fn gpt_2_pairs() {
    check_pairs("gpt-2", "");
}

#[test]
fn starcoder_pairs() {
    check_pairs("starcoder", "");
}

#[test]
fn deepseek_coder_pairs() {
    check_pairs("deepseek-coder", "");
}

#[test]
fn llama_spm_pairs() {
    check_pairs("llama-spm", " ");
}

#[test]
fn phi_3_pairs() {
    check_pairs("phi-3", " ");
}

#[test]
fn prompts_of_the_bundled_model() {
    let Some(folder) = oracles("prompts_of_the_bundled_model") else { return };
    let tokenizer = tokenizer(&folder.join("models/abacus-42m-q4_k_m.gguf"));
    let list = std::fs::read_to_string(folder.join("oracle/abacus-greedy.jsonl")).unwrap();
    let mut count = 0;
    for line in list.lines() {
        let entry: serde_json::Value = serde_json::from_str(line).unwrap();
        let ids = |key: &str| serde_json::from_value::<Vec<u32>>(entry[key].clone()).unwrap();
        let prompt = entry["prompt"].as_str().unwrap();
        assert_eq!(tokenizer.encode_prompt(prompt, Special::Parse).unwrap(), ids("prompt_tokens"), "{prompt:?}");
        assert!(tokenizer.is_end(*ids("generated").last().unwrap()));
        count += 1;
    }
    assert_eq!(count, 30);
}

/// Control tokens in text of unknown origin are text, and white space after one belongs to it in Phi-3 alone.
#[test]
fn special_tokens_are_cut_out_first() {
    let Some(folder) = oracles("special_tokens_are_cut_out_first") else { return };
    let open = |name: &str| tokenizer(&folder.join("tokenizer").join(format!("ggml-vocab-{name}.gguf")));
    let id = |t: &Tokenizer, token: &str| t.vocabulary().id(token).unwrap();
    let phi = open("phi-3");
    let (user, end) = (id(&phi, "<|user|>"), id(&phi, "<|end|>"));
    let hi = phi.encode("hi", Special::Plain).unwrap();
    let wanted = [&[user][..], &hi, &[end]].concat();
    assert_eq!(phi.encode("<|user|>\n hi<|end|>\n", Special::Parse).unwrap(), wanted);
    assert!(!phi.encode("<|user|>\n hi<|end|>\n", Special::Plain).unwrap().contains(&user));
    let llama = open("llama-spm");
    let newline = id(&llama, "<0x0A>");
    let after = llama.encode("<s>\nhi", Special::Parse).unwrap();
    assert_eq!(after[0], 1);
    assert!(after.contains(&newline));
    assert_eq!(llama.encode_prompt("hi", Special::Parse).unwrap()[0], 1);
    assert_eq!(llama.encode_prompt("<s>hi", Special::Parse).unwrap().iter().filter(|&&t| t == 1).count(), 1);
    assert_eq!(llama.encode_prompt("<s>hi", Special::Plain).unwrap()[0], 1);
    // User-defined tokens count in plain text, too.
    let deepseek = open("deepseek-coder");
    assert_eq!(deepseek.encode("a<|User|>b", Special::Plain).unwrap()[1], id(&deepseek, "<|User|>"));
}

#[test]
fn building_is_quick() {
    let Some(folder) = oracles("building_is_quick") else { return };
    let time = |path: &str| {
        let vocabulary = read(&folder.join(path)).unwrap();
        let start = Instant::now();
        Tokenizer::new(vocabulary).unwrap();
        start.elapsed()
    };
    let (small, large) = (time("models/abacus-42m-q4_k_m.gguf"), time("tokenizer/ggml-vocab-gpt-2.gguf"));
    eprintln!("built: 2048 tokens in {small:?}, 50257 tokens in {large:?}");
    // Bounds for a busy machine; an idle one needs a tenth.
    assert!(small < Duration::from_millis(250), "{small:?}");
    assert!(large < Duration::from_millis(2500), "{large:?}");
}
