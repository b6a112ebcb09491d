//! What `apr` does with its arguments: answers, refusals, exit codes, and what goes to which output.
use apr::{gguf::Gguf, synth};
use serde_json::Value;
use std::{
    fs,
    io::{Read, Write},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::atomic::AtomicBool,
    time::Duration,
};
use tests::{
    data::{bundled, bundled_model},
    program::{Run, apr, run},
};

const ANSWER: &str = "2 + 2 equals 4.\n";

/// A run with `text` on standard input.
fn run_with_input(args: &[&str], text: &[u8]) -> Run {
    let pipe = Stdio::piped;
    let mut child = apr(args).stdin(pipe()).stdout(pipe()).stderr(pipe()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(text).unwrap();
    child.wait_with_output().unwrap().into()
}

#[track_caller]
fn refused(args: &[&str], code: i32, parts: &[&str]) {
    let run = run(args);
    assert_eq!(run.code, Some(code), "{args:?}: {}", run.err);
    assert_eq!(run.out, "", "{args:?}");
    for part in parts {
        assert!(run.err.contains(part), "{args:?} should say `{part}`: {}", run.err);
    }
}

#[test]
fn a_lone_argument_is_answered_on_standard_output_alone() {
    let run = run(&["run", "What is 2+2?"]);
    assert_eq!((run.code, run.out.as_str()), (Some(0), ANSWER), "{}", run.err);
    assert!(run.err.contains("bundled abacus-42m"), "{}", run.err);
}

#[test]
fn the_prompt_may_come_four_ways() {
    let model = bundled_model();
    let model = model.to_str().unwrap();
    for args in [&["run", model, "What is 2+2?"][..], &["run", model, "--prompt", "What is 2+2?"]] {
        let run = run(args);
        assert_eq!((run.code, run.out.as_str()), (Some(0), ANSWER), "{}", run.err);
        assert!(!run.err.contains("bundled"), "{}", run.err);
    }
    for args in [&["run"][..], &["run", model]] {
        let run = run_with_input(args, b"What is 2+2?\n");
        assert_eq!((run.code, run.out.as_str()), (Some(0), ANSWER), "{}", run.err);
    }
    refused(&["run", "a", "b", "--prompt", "c"], 2, &["--prompt"]);
}

#[test]
fn a_mistyped_model_is_an_error_and_no_prompt() {
    for path in ["no-such.gguf", "./no-such", "models/no-such", "no-such.apr"] {
        refused(&["run", path], 3, &[path]);
    }
    refused(&["inspect", "no-such.gguf"], 3, &["no-such.gguf"]);
    refused(&["logits", "no-such.gguf", "--tokens", "1", "--out", "never-written"], 3, &["no-such.gguf"]);
}

#[test]
fn wrong_usage_is_exit_2() {
    for args in [
        &[][..],
        &["fly"],
        &["run", "--no-such-option"],
        &["run", "hello", "--temperature", "-1"],
        &["run", "hello", "--max-tokens", "0"],
        &["run", "hello", "--threads", "0"],
        &["run", "hello", "--isa", "sse9"],
        &["run", "hello", "--device", "gpu"],
        &["run", "  "],
    ] {
        refused(args, 2, &[]);
    }
    assert_eq!(run_with_input(&["run"], b"\n").code, Some(2), "an empty prompt");
    assert_eq!(run_with_input(&["run"], b"\xff").code, Some(2), "a prompt that is no UTF-8");
}

#[test]
fn help_lists_the_exit_codes() {
    for args in
        [&["--help"][..], &["run", "--help"], &["logits", "--help"], &["inspect", "--help"], &["parity", "--help"]]
    {
        let run = run(args);
        assert_eq!(run.code, Some(0));
        let codes: Vec<_> = run.out.lines().skip_while(|line| *line != "Exit codes:").skip(1).collect();
        let codes: Vec<_> = codes.iter().filter_map(|line| line.split_whitespace().next()).collect();
        assert_eq!(codes, ["0", "1", "2", "3", "4", "5", "130"], "{args:?}");
    }
}

#[test]
fn json_is_one_object_with_the_promised_fields() {
    let run = run(&["run", "--json", "--seed", "7", "--no-gpu", "What is 2+2?"]);
    assert_eq!(run.code, Some(0), "{}", run.err);
    let object: Value = serde_json::from_str(&run.out).unwrap();
    let names: Vec<&str> = object.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(names, ["text", "tokens", "prompt_tokens", "device", "seed", "finish_reason", "timings"]);
    assert_eq!(object["text"], ANSWER.trim_end());
    let ids = |key: &str| object[key].as_array().unwrap().iter().map(|id| id.as_u64().unwrap()).collect::<Vec<_>>();
    assert_eq!(ids("tokens"), [17, 309, 220, 17, 288, 220, 19, 13, 2047]);
    assert_eq!(ids("prompt_tokens").len(), 35);
    assert!(object["device"].as_str().unwrap().starts_with("cpu:"));
    assert_eq!((&object["seed"], &object["finish_reason"]), (&7.into(), &"stop".into()));
    for (name, value) in object["timings"].as_object().unwrap() {
        assert!(value.as_f64().is_some_and(|x| x >= 0.0), "{name}: {value}");
    }
}

#[test]
fn an_answer_ends_where_it_is_told_to() {
    let cut =
        |args: &[&str]| -> Value { serde_json::from_str(&run(&[&["run", "--json"], args].concat()).out).unwrap() };
    let short = cut(&["--max-tokens", "3", "What is 2+2?"]);
    assert_eq!((short["tokens"].as_array().unwrap().len(), &short["finish_reason"]), (3, &"length".into()));
    let stopped = cut(&["--stop", " equals", "What is 2+2?"]);
    assert_eq!((&stopped["text"], &stopped["finish_reason"]), (&"2 + 2".into(), &"stop".into()));
}

#[test]
fn a_seed_means_the_same_text() {
    let args = ["run", "--temperature", "2", "--seed", "5", "--max-tokens", "24", "hello"];
    let first = run(&args).out;
    assert!(!first.trim().is_empty());
    for threads in ["1", "3"] {
        assert_eq!(run(&[&args[..], &["--threads", threads, "--isa", "scalar"]].concat()).out, first);
    }
    let other = |seed| run(&["run", "--temperature", "2", "--seed", seed, "--max-tokens", "24", "hello"]).out;
    assert!(["6", "7", "8"].iter().any(|seed| other(seed) != first), "the seed changes nothing");
}

#[test]
fn a_device_that_cannot_serve_is_exit_5_and_nothing_else_runs() {
    for device in ["cuda:99", "cuda:4294967295"] {
        refused(&["run", "--device", device, "What is 2+2?"], 5, &["cuda", "help:"]);
    }
}

#[cfg(target_os = "linux")]
#[test]
fn threads_that_the_system_refuses_are_an_error() {
    // A thread takes 2 MiB for its stack, of which there is not enough for this many. Where by chance next to nothing is left after the
    // last stack, a started thread finds no memory for its signals, and Rust's runtime ends the program: not so under another limit.
    let run = [800_000, 800_700, 801_400].into_iter().map(|kib| {
        let apr = apr(&[]);
        let limited =
            format!("ulimit -v {kib}; exec '{}' run --no-gpu --threads 1024 hello", apr.get_program().display());
        Command::new("sh").args(["-c", &limited]).env_remove("APR_MODEL").output().unwrap().into()
    });
    let run: Run =
        run.into_iter().find(|run: &Run| !run.err.contains("alternative stack")).expect("one limit of three");
    assert_eq!((run.code, run.out.as_str()), (Some(1), ""), "{}", run.err);
    assert!(run.err.contains("error: cannot start 1024 threads") && run.err.contains("help: "), "{}", run.err);
    assert!(!run.err.contains("panicked"), "{}", run.err);
}

#[test]
fn one_line_on_standard_error_says_where_it_runs_and_why() {
    let args = ["run", "--isa", "scalar", "--threads", "2", "--no-gpu", "What is 2+2?"];
    for (verbose, kernels) in [(&[][..], false), (&["-v"], true)] {
        let run = run(&[&args, verbose].concat());
        assert_eq!(run.out, ANSWER);
        let lines: Vec<_> = run.err.lines().filter(|line| line.starts_with("cpu:")).collect();
        let [line] = lines[..] else { panic!("{}", run.err) };
        for part in ["scalar", "2 threads", "--no-gpu", "--isa"] {
            assert!(line.contains(part), "`{part}` is not in `{line}`");
        }
        assert_eq!(line.contains("matvec_q4k"), kernels, "{line}");
    }
}

#[test]
fn a_prompt_longer_than_the_context_is_refused_with_both_lengths() {
    let run = run_with_input(&["run", "--raw"], "a b".repeat(3000).as_bytes());
    assert_eq!((run.code, run.out.as_str()), (Some(3), ""), "{}", run.err);
    let numbers: Vec<usize> =
        run.err.split_whitespace().filter_map(|word| word.trim_matches(',').parse().ok()).collect();
    assert!(numbers.contains(&2048) && numbers.iter().any(|&n| n > 2048), "{}", run.err);
}

#[test]
fn a_model_that_is_not_supported_is_refused_with_what_is() {
    let tiny = bundled("qwen2-tiny.gguf");
    let folder = tempfile::tempdir().unwrap();
    let other = folder.path().join("other.gguf");
    let mut bytes = std::fs::read(&tiny).unwrap();
    let at = bytes.windows(5).position(|five| five == b"qwen2").unwrap();
    bytes[at..at + 5].copy_from_slice(b"mamba");
    std::fs::write(&other, bytes).unwrap();
    refused(
        &["run", other.to_str().unwrap(), "hello"],
        3,
        &["`mamba`", "supported architectures: gemma3, llama, phi3, qwen2"],
    );
    refused(&["run", tiny.to_str().unwrap(), "hello"], 3, &["tokenizer", "help:"]);
}

#[test]
fn what_is_no_model_is_exit_3() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("text.gguf");
    std::fs::write(&file, "no model at all").unwrap();
    for command in ["run", "inspect"] {
        refused(&[command, file.to_str().unwrap()], 3, &["not a GGUF file", file.to_str().unwrap(), "help:"]);
    }
}

#[test]
fn logits_refuses_tokens_that_do_not_exist_and_leaves_no_file() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("logits");
    let model = bundled_model();
    let (model, path) = (model.to_str().unwrap(), out.to_str().unwrap());
    refused(&["logits", model, "--tokens", "1,2048", "--out", path], 2, &["token 2048", "2047"]);
    assert!(!out.exists());
    let nowhere = folder.path().join("no/folder/logits");
    refused(&["logits", model, "--tokens", "1", "--out", nowhere.to_str().unwrap()], 1, &["no/folder/logits"]);
}

/// A small model with an embedding of token 9 that is no number.
fn model_with_a_nan(folder: &Path) -> PathBuf {
    const ROW: usize = 256 * 4;
    let path = folder.join("nan.gguf");
    let options = synth::Options { seed: 1, layers: None, outliers: false, quant: synth::Quant::F32 };
    let shape = synth::shape("tiny").unwrap();
    synth::write(&path, shape, &options, 2, &AtomicBool::new(false), |_, _| ()).unwrap();
    let mut bytes = fs::read(&path).unwrap();
    let at = {
        let gguf = Gguf::open(&path).unwrap();
        let table = gguf.tensor("token_embd.weight").unwrap().data;
        table[9 * ROW..].as_ptr() as usize - gguf.header().as_ptr() as usize
    };
    bytes[at..at + 4].copy_from_slice(&f32::NAN.to_le_bytes());
    fs::write(&path, bytes).unwrap();
    path
}

#[test]
fn logits_writes_a_whole_file_or_none() {
    let folder = tempfile::tempdir().unwrap();
    let model = model_with_a_nan(folder.path());
    let out = folder.path().join("logits");
    let logits = |tokens: &str| {
        let (model, out) = (model.to_str().unwrap(), out.to_str().unwrap());
        run(&["logits", model, "--tokens", tokens, "--chunk", "1", "--no-gpu", "--out", out])
    };
    let names = || fs::read_dir(folder.path()).unwrap().count();
    let failed = logits("1,2,9,3");
    assert_eq!(failed.code, Some(1), "{}", failed.err);
    assert!(failed.err.contains("position 2"), "{}", failed.err);
    assert_eq!(names(), 1, "the model alone");
    assert_eq!(logits("1,2,3").code, Some(0));
    let whole = fs::read(&out).unwrap();
    assert_eq!(whole.len(), 3 * 512 * 4);
    assert_eq!(logits("4,9").code, Some(1));
    assert_eq!(fs::read(&out).unwrap(), whole, "the file that was there stays as it was");
    assert_eq!(names(), 2, "the model and the file");
}

#[test]
fn inspect_check_finds_a_value_that_is_no_number() {
    let folder = tempfile::tempdir().unwrap();
    let model = model_with_a_nan(folder.path());
    let model = model.to_str().unwrap();
    assert_eq!(run(&["inspect", model]).code, Some(0));
    refused(&["inspect", "--check", model], 3, &["token_embd.weight", "element 2304", "help:"]);
    let sound = bundled_model();
    let sound = run(&["inspect", "--check", sound.to_str().unwrap()]);
    assert!(sound.code == Some(0) && sound.out.contains("is finite"), "{}{}", sound.out, sound.err);
}

#[cfg(unix)]
#[test]
fn an_interrupted_logits_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let (model, out) = (bundled_model(), folder.path().join("logits"));
    let tokens = vec!["1"; 2000].join(",");
    let args = ["logits", model.to_str().unwrap(), "--tokens", &tokens, "--isa", "scalar", "--chunk", "1", "--out"];
    let mut child = apr(&[&args[..], &[out.to_str().unwrap()]].concat()).stderr(Stdio::null()).spawn().unwrap();
    let files = || fs::read_dir(folder.path()).unwrap().count();
    while files() == 0 {
        assert!(child.try_wait().unwrap().is_none(), "it ended before it wrote");
        std::thread::sleep(Duration::from_millis(5));
    }
    let sent = Command::new("sh").arg("-c").arg(format!("kill -INT {}", child.id())).status().unwrap();
    assert!(sent.success());
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert_eq!(files(), 0);
}

#[test]
fn inspect_describes_the_bundled_model() {
    let model = bundled_model();
    let model = model.to_str().unwrap();
    let text = run(&["inspect", model]);
    assert_eq!(text.code, Some(0), "{}", text.err);
    for part in ["qwen2", "Q4_K", "Q6_K", "2048", "1792"] {
        assert!(text.out.contains(part), "`{part}` is not in\n{}", text.out);
    }
    let json = run(&["inspect", "--json", model]);
    assert!(serde_json::from_str::<Value>(&json.out).unwrap().is_object());
}

#[cfg(unix)]
#[test]
fn an_interrupt_is_exit_130() {
    let mut child = apr(&["run", "--temperature", "9", "--max-tokens", "2000", "--isa", "scalar", "hello"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut first = [0];
    child.stdout.as_mut().unwrap().read_exact(&mut first).unwrap();
    let sent = Command::new("sh").arg("-c").arg(format!("kill -INT {}", child.id())).status().unwrap();
    assert!(sent.success());
    assert_eq!(child.wait().unwrap().code(), Some(130));
}

#[cfg(unix)]
#[test]
fn a_reader_that_leaves_early_is_no_failure() {
    let mut child = apr(&["run", "hello"]).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    drop(child.stdout.take());
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn an_answer_that_is_cut_says_so() {
    let run = run(&["run", "--device", "cpu", "--max-tokens", "3", "Spell cat."]);
    assert_eq!((run.code, run.out.lines().count()), (Some(0), 1), "{}", run.err);
    assert!(run.err.contains("stopped after 3 tokens: --max-tokens"), "{}", run.err);
}

#[test]
fn a_folder_that_is_not_there_is_named_with_a_way_out() {
    let tiny = bundled("qwen2-tiny.gguf");
    let run = run(&["logits", tiny.to_str().unwrap(), "--tokens", "1", "--out", "no-such-folder/x.f32"]);
    assert_eq!(run.code, Some(1));
    assert!(run.err.contains("no-such-folder/x.f32") && run.err.contains("help: "), "{}", run.err);
    assert!(!run.err.contains("partial"), "{}", run.err);
}
