//! `kgen build` and `kgen emit --as ptx` from outside: what they write, what they refuse, and that they write it all or not at all.
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn kgen(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kgen"));
    command.args(args).env_remove("KGEN_KERNELS").env_remove("NO_COLOR");
    command
}

fn build(out: &Path, args: &[&str]) -> Output {
    kgen(&["build", "--out"]).arg(out).args(args).output().expect("kgen runs")
}

fn err(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).expect("UTF-8")
}

/// Whether NVRTC is here; else a line says why a test does nothing.
fn nvrtc(test: &str) -> bool {
    let compiler = kgen::nvrtc::Compiler::with_cache(None);
    compiler.nvrtc().inspect_err(|error| eprintln!("{test} is skipped: {error}")).is_ok()
}

/// The files below a folder, by their paths in it.
fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(folder).expect("below").display().to_string();
                found.insert(name, fs::read(&path).expect("readable"));
            }
        }
    }
    found
}

/// The manifest, after a look at every hash in it.
fn manifest(files: &BTreeMap<String, Vec<u8>>) -> Value {
    let manifest: Value = serde_json::from_slice(&files["manifest.json"]).expect("JSON");
    let listed = manifest["files"].as_object().expect("an object");
    assert_eq!(listed.len() + 1, files.len(), "every file but the manifest is listed");
    for (path, entry) in listed {
        let hash: String = Sha256::digest(&files[path]).iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(
            (entry["sha256"].as_str(), entry["bytes"].as_u64()),
            (Some(&hash[..]), Some(files[path].len() as u64))
        );
    }
    manifest
}

/// What is in a folder, by name.
fn names(folder: &Path) -> Vec<PathBuf> {
    fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path()).collect()
}

#[test]
fn sources_need_no_compiler() {
    let folder = tempfile::tempdir().expect("a folder");
    let out = folder.path().join("new/kernels");
    let output = build(&out, &["bias", "unpair", "--source-only"]);
    assert!(output.status.success() && output.stdout.is_empty(), "{}", err(&output));
    assert!(err(&output).starts_with("2 kernels, sources only, in "), "{}", err(&output));
    let files = files(&out);
    let expected =
        ["cuda/bias.cu", "cuda/unpair.cu", "manifest.json", "rust/avx2.rs", "rust/avx512.rs", "rust/scalar.rs"];
    let schedules = ["schedules/avx2.json", "schedules/avx512.json", "schedules/scalar.json", "schedules/sm_90.json"];
    assert_eq!(files.keys().map(String::as_str).collect::<Vec<_>>(), [&expected[..], &schedules[..]].concat());
    let manifest = manifest(&files);
    assert_eq!((&manifest["nvrtc"], &manifest["kernels"]), (&Value::Null, &serde_json::json!(["bias", "unpair"])));
    let text = |path: &str| String::from_utf8(files[path].clone()).expect("UTF-8");
    assert!(text("rust/avx2.rs").contains("fn unpair") && !text("rust/avx2.rs").contains("fn rmsnorm"));
    assert!(text("cuda/unpair.cu").contains("\"/kgen/kernels/rope.rs\"\n"), "{}", text("cuda/unpair.cu"));
    assert!(text("schedules/sm_90.json").contains("\"split\""));
    assert_eq!(names(out.parent().expect("it has one")), std::slice::from_ref(&out), "nothing is left beside it");
}

#[test]
fn two_kernels_in_one_launch_are_built_as_one() {
    let folder = tempfile::tempdir().expect("a folder");
    let out = folder.path().join("pair");
    let output = build(&out, &["attention_64_quantize_q8k", "add", "--source-only"]);
    assert!(output.status.success() && err(&output).starts_with("2 kernels, "), "{}", err(&output));
    let files = files(&out);
    let cuda: Vec<&String> = files.keys().filter(|name| name.starts_with("cuda/")).collect();
    assert_eq!(cuda, ["cuda/add.cu", "cuda/attention_64_quantize_q8k.cu"]);
    let pairs: Value = serde_json::from_slice(&files["schedules/fused.json"]).expect("JSON");
    assert_eq!((&pairs[0]["producer"], &pairs[0]["edge"]), (&"attention_64".into(), &serde_json::json!(["y", "x"])));
    assert_eq!(manifest(&files)["kernels"], serde_json::json!(["add", "attention_64_quantize_q8k"]));
}

#[test]
fn only_a_build_is_replaced() {
    let folder = tempfile::tempdir().expect("a folder");
    let out = folder.path().join("kernels");
    fs::create_dir(&out).expect("a folder");
    assert!(build(&out, &["bias", "--source-only"]).status.success(), "an empty folder may be filled");
    assert!(build(&out, &["add", "--source-only"]).status.success(), "an earlier build may be replaced");
    assert_eq!(files(&out).keys().filter(|name| name.starts_with("cuda/")).collect::<Vec<_>>(), ["cuda/add.cu"]);
    let before = files(&out);
    let output = build(&out, &["bais", "--source-only"]);
    assert_eq!((output.status.code(), files(&out) == before), (Some(1), true), "{}", err(&output));
    assert!(err(&output).contains("no kernel `bais`"), "{}", err(&output));
    for (name, text) in [("precious.txt", "data"), ("manifest.json", "{\"format\": \"another\"}")] {
        let other = folder.path().join(name.replace('.', "-"));
        fs::create_dir(&other).expect("a folder");
        fs::write(other.join(name), text).expect("written");
        let output = build(&other, &["bias", "--source-only"]);
        assert_eq!(output.status.code(), Some(1));
        assert!(err(&output).contains("did not make; nothing was written") && err(&output).contains("help: "));
        assert_eq!(files(&other).len(), 1);
    }
    let file = folder.path().join("precious-txt/precious.txt");
    let output = build(&file, &["bias", "--source-only"]);
    assert!(output.status.code() == Some(1) && err(&output).contains("cannot be replaced"), "{}", err(&output));
    assert_eq!(fs::read(&file).expect("still there"), b"data");
    assert_eq!(names(folder.path()).len(), 3, "nothing is left beside them");
}

#[test]
fn bad_usage_is_two_and_a_missing_compiler_one() {
    let folder = tempfile::tempdir().expect("a folder");
    let out = folder.path().join("kernels");
    for args in [&["--arch", "sm_9"][..], &["--arch", "hopper"], &["--source-only", "--arch", "sm_90"]] {
        assert_eq!(build(&out, args).status.code(), Some(2), "{args:?}");
    }
    assert_eq!(kgen(&["build"]).output().expect("kgen runs").status.code(), Some(2));
    let nowhere = ["VIRTUAL_ENV", "CONDA_PREFIX", "CUDA_HOME", "CUDA_PATH", "LD_LIBRARY_PATH"];
    let mut without = kgen(&["build", "bias", "--out"]);
    for name in nowhere {
        without.env_remove(name);
    }
    let output = without.arg(&out).env("PATH", folder.path()).output().expect("kgen runs");
    if output.status.success() {
        eprintln!("the half of this test without NVRTC is skipped: it is installed for all programs");
        return;
    }
    assert_eq!(output.status.code(), Some(1));
    for word in ["was not found", "pip install", "--source-only"] {
        assert!(err(&output).contains(word), "{}", err(&output));
    }
    assert!(!out.exists() && names(folder.path()).is_empty());
}

#[test]
fn code_is_compiled_audited_and_the_same_everywhere() {
    if !nvrtc("the test of compiled kernels") {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let outs = ["one", "elsewhere/two"].map(|name| folder.path().join(name));
    for (out, place) in outs.iter().zip([Path::new("/"), folder.path()]) {
        let args = ["build", "unpair", "embed_row_f16", "--arch", "90a,sm_80,sm_120,80", "--out"];
        let output = kgen(&args).arg(out).current_dir(place).output().expect("kgen runs");
        assert!(output.status.success(), "{}", err(&output));
        assert!(
            err(&output).starts_with("2 kernels, compiled and audited for sm_80, sm_90a, sm_120, in "),
            "{}",
            err(&output)
        );
    }
    let [one, two] = outs.map(|out| files(&out));
    assert!(one == two, "a build depends on the folder where it is made");
    let manifest = manifest(&one);
    assert_eq!(manifest["archs"], serde_json::json!(["sm_80", "sm_90a", "sm_120"]));
    assert!(manifest["nvrtc"].is_string() && manifest["options"].to_string().contains("--fmad=false"));
    for arch in ["sm_80", "sm_90a", "sm_120"] {
        let ptx = String::from_utf8(one[&format!("ptx/{arch}/unpair.ptx")].clone()).expect("UTF-8");
        assert!(ptx.contains(&format!(".target {arch}\n")) && ptx.contains("\"/kgen/kernels/rope.rs\""), "{ptx}");
        assert_eq!(one[&format!("cubin/{arch}/embed_row_f16.cubin")][..4], *b"\x7fELF");
    }
}

#[test]
fn ptx_is_a_form_of_a_kernel() {
    if !nvrtc("the test of PTX") {
        return;
    }
    let cache = tempfile::tempdir().expect("a folder");
    let emit =
        |args: &[&str]| kgen(&["emit", "bias", "--as", "ptx"]).args(args).env("KGEN_CACHE", cache.path()).output();
    let output = emit(&["--arch", "sm_86"]).expect("kgen runs");
    assert!(output.status.success(), "{}", err(&output));
    let ptx = String::from_utf8(output.stdout).expect("UTF-8");
    assert!(ptx.contains(".target sm_86") && ptx.contains(".entry bias("), "{ptx}");
    let output = emit(&["--arch", "sm_10"]).expect("kgen runs");
    assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0));
    assert!(err(&output).contains("has no sm_10; it has "), "{}", err(&output));
}
