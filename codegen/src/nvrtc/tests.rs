//! Against the library itself, where it is installed.
use super::*;
use std::fs;

/// The library, or a line that says why a test does nothing.
pub(crate) fn nvrtc() -> Option<Nvrtc> {
    find::find().inspect_err(|error| eprintln!("skipped: {error}; {INSTALL}")).ok()
}

fn compiler(folder: &std::path::Path) -> Option<Compiler> {
    Some(Compiler { nvrtc: Ok(nvrtc()?), cache: Some(Cache::at(folder)) })
}

const ADD: &str = "extern \"C\" __global__ void add(float *x) { x[threadIdx.x] = __fadd_rn(x[threadIdx.x], 1.0f); }";

fn sm_90() -> Arch {
    Arch::of_capability(9, 0)
}

#[test]
fn compiles_to_ptx_and_machine_code() {
    let folder = tempfile::tempdir().unwrap();
    let Some(compiler) = compiler(folder.path()) else { return };
    for number in compiler.nvrtc().unwrap().archs() {
        let arch: Arch = format!("sm_{number}").parse().unwrap();
        let compiled = compiler.compile(ADD, "add", &arch, &[]).unwrap();
        assert!(compiled.ptx.contains(".entry add(") && compiled.ptx.contains("add.rn.f32"), "{}", compiled.ptx);
        assert_eq!(compiled.cubin[..4], *b"\x7fELF");
        assert_eq!(compiled.nvrtc_version, compiler.nvrtc().unwrap().version());
    }
}

#[test]
fn the_cache_serves_without_nvrtc_and_damage_is_mended() {
    let folder = tempfile::tempdir().unwrap();
    let Some(compiler) = compiler(folder.path()) else { return };
    let first = compiler.compile(ADD, "add", &sm_90(), &[]).unwrap();
    let not_found = NotFound { looked: vec!["nowhere".into()], refused: Vec::new() };
    let without = Compiler { nvrtc: Err(not_found), cache: Some(Cache::at(folder.path())) };
    assert_eq!(without.compile(ADD, "add", &sm_90(), &[]).unwrap(), first);
    let error = without.compile(ADD, "add", &Arch::of_capability(8, 0), &[]).unwrap_err();
    assert!(error.to_string().contains("nowhere") && error.help().unwrap().contains("pip install"), "{error}");

    let entry = fs::read_dir(folder.path()).unwrap().next().unwrap().unwrap().path();
    let good = fs::read(&entry).unwrap();
    fs::write(&entry, &good[..good.len() / 2]).unwrap();
    assert!(without.compile(ADD, "add", &sm_90(), &[]).is_err());
    assert_eq!(compiler.compile(ADD, "add", &sm_90(), &[]).unwrap().ptx, first.ptx);
    assert_eq!(without.compile(ADD, "add", &sm_90(), &[]).unwrap().ptx, first.ptx);
}

#[test]
fn many_threads_share_a_cache() {
    let folder = tempfile::tempdir().unwrap();
    let Some(compiler) = compiler(folder.path()) else { return };
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for n in 0..6 {
                    let source = ADD.replace("1.0f", &format!("{n}.0f"));
                    let ptx = compiler.compile(&source, "add", &sm_90(), &[]).unwrap().ptx;
                    assert!(ptx.contains(".entry add("));
                }
            });
        }
    });
    // No half-written file is left.
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 6);
    assert_eq!(compiler.cache().unwrap().size().0, 6);
}

#[test]
fn errors_name_the_kernel_and_the_line_or_the_architecture() {
    let folder = tempfile::tempdir().unwrap();
    let Some(compiler) = compiler(folder.path()) else { return };
    let error = compiler.compile("\n\nint f( { }", "broken", &sm_90(), &[]).unwrap_err().to_string();
    assert!(error.starts_with("broken does not compile for sm_90") && error.contains("broken.cu(3)"), "{error}");
    let error = compiler.compile(ADD, "add", &"sm_10".parse().unwrap(), &[]).unwrap_err().to_string();
    assert!(error.contains("has no sm_10") && error.contains("sm_90"), "{error}");
    let error = compiler.compile("a\0b", "zero", &sm_90(), &[]).unwrap_err().to_string();
    assert!(error.contains("zero byte"), "{error}");
    let error = compiler.compile(ADD, "add", &sm_90(), &["--use_fast_math".into()]).unwrap_err().to_string();
    assert!(error.contains("`--use_fast_math` is refused"), "{error}");
}
