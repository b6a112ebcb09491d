//! Kernels under schedules of teams: NVRTC compiles them for every architecture, and the audit has nothing to refuse. Where NVRTC
//! is not found, this says that it is skipped.
use kgen::audit::{Allowed, audit};
use kgen::cuda;
use kgen::library::Library;
use kgen::nvrtc::{Arch, Compiler};
use kgen::places::Places;
use kgen::schedule::Schedule;
use kgen::target::Target;
use std::path::Path;

const ARCHS: [&str; 6] = ["sm_80", "sm_86", "sm_89", "sm_90", "sm_100", "sm_120"];

/// A kernel, lanes, members, rows side by side, and the buffers whose rows are copied.
const TEAMS: [(&str, usize, usize, usize, &[&str]); 5] = [
    ("matvec_q4k", 8, 8, 1, &[]),
    ("matvec_q4k", 8, 4, 2, &["w", "x"]),
    ("matvec_q6k", 4, 3, 1, &["x"]),
    ("matvec_float_f16", 32, 8, 1, &["x"]),
    ("matvec_float_f32", 1, 5, 4, &["w"]),
];

fn schedule((_, width, team, rows, stage): (&str, usize, usize, usize, &[&str])) -> Schedule {
    Schedule {
        width,
        team,
        threads: width * team,
        tile: [("n".to_string(), rows)].into(),
        dot: (width > 1 && width < 32).then(|| "dot4_dp4a".into()),
        stage: stage.iter().map(|name| name.to_string()).collect(),
        most: [("B".to_string(), 14), ("K".to_string(), 3584)].into(),
        unroll: 16,
        ..Schedule::plain(&["n"])
    }
}

#[test]
fn teams_compile_for_every_architecture() {
    let compiler = Compiler::with_cache(None);
    if let Err(missing) = compiler.nvrtc() {
        return eprintln!("kernels of teams through NVRTC: skipped: {missing}");
    }
    let library = Library::open(Path::new(env!("CARGO_MANIFEST_DIR"))).unwrap_or_else(|e| panic!("{e}"));
    let places = Places::new(&library.sources);
    for team in TEAMS {
        let (kernel, schedule) = (library.kernel(team.0).unwrap_or_else(|e| panic!("{e}")), schedule(team));
        let func = Target::Cuda.lower(kernel, &schedule).unwrap_or_else(|e| panic!("{team:?}: {e}"));
        let source = cuda::emit(&func, schedule.threads, &places).unwrap_or_else(|e| panic!("{team:?}: {e}"));
        assert_eq!(source.at_once, 1);
        for arch in ARCHS {
            let arch: Arch = arch.parse().expect("an architecture");
            let compiled =
                compiler.compile(&source.text(), &source.entry, &arch, &[]).unwrap_or_else(|e| panic!("{e}"));
            let refused = audit(&compiled.ptx, &Allowed::of(kernel, &places)).err().unwrap_or_default();
            assert!(refused.is_empty(), "{team:?} for {arch}: {}", refused[0]);
            let copies = compiled.ptx.matches("cp.async.c").count();
            assert_eq!(copies > 0, !schedule.stage.is_empty(), "{team:?} for {arch}: {copies} copies");
            assert!(compiled.ptx.contains("bar.sync") || compiled.ptx.contains("barrier.sync"), "{team:?} for {arch}");
        }
    }
}
