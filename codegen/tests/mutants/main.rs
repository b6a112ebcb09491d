//! The shipped kernels with random tokens changed: the checker never panics or hangs, and what it accepts runs without a fault,
//! with the same bits under every schedule.
mod lowered;
mod mutate;

use kgen::data::{Filler, bytes};
use kgen::diagnostic::{Source, render};
use kgen::ir::{Kernel, Ty, interp};
use kgen::library;
use kgen::random::Random;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::time::{Duration, Instant};

/// Files that others call into; they are compiled with every mutant.
const SHARED: [&str; 5] = ["math.rs", "q4_k.rs", "q6_k.rs", "q8_k.rs", "matvec.rs"];

/// Most bytes of all buffers of a run.
const BYTES: u64 = 1 << 14;

/// How many mutants to try: more by the environment variable `KGEN_MUTANTS`.
fn count() -> u64 {
    std::env::var("KGEN_MUTANTS").ok().and_then(|n| n.parse().ok()).unwrap_or(400)
}

fn shipped() -> Vec<Source> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name("kernels-gen");
    library::sources(&folder).expect("the kernels are there")
}

/// A file with changes, and those that it needs.
fn mutant(all: &[Source], random: &mut Random) -> (Vec<Source>, bool) {
    let mut changed = all[random.int(0, all.len() as i64 - 1) as usize].clone();
    let runs = mutate::mutate(&mut changed.text, random);
    let shared = all.iter().filter(|s| s.name != changed.name && SHARED.iter().any(|f| s.name.ends_with(f)));
    let mut sources: Vec<Source> = shared.cloned().collect();
    sources.push(changed);
    (sources, runs)
}

/// Dims and integer scalars that the kernel's preconditions allow, if some are found.
fn sizes(kernel: &Kernel, random: &mut Random) -> Vec<i32> {
    let int = |v: &kgen::ir::Var| match kernel.vars[v.0 as usize].ty {
        Ty::Int { lo, hi } => Some((lo, hi)),
        _ => None,
    };
    let pick = |(lo, hi): (i64, i64), random: &mut Random| {
        let near = [0, 0, 0, 1, 1, 2, 5, 69][random.int(0, 7) as usize];
        (lo + near).min(hi) as i32
    };
    kernel.dims.iter().chain(&kernel.scalars).filter_map(int).map(|range| pick(range, random)).collect()
}

/// Runs a kernel on random data; the message of a fault.
fn run(kernel: &Kernel, filler: &Filler, random: &mut Random) -> Result<bool, String> {
    let ints = sizes(kernel, random);
    let is_float = |v: &&kgen::ir::Var| kernel.vars[v.0 as usize].ty == Ty::F32;
    let floats: Vec<f32> = kernel.scalars.iter().filter(is_float).map(|_| random.float()).collect();
    let lengths: Result<Vec<u64>, String> = (0..kernel.buffers.len()).map(|i| bytes(kernel, i, &ints)).collect();
    // A negative extent is refused by every launch.
    let Ok(lengths) = lengths else { return Ok(false) };
    if lengths.iter().sum::<u64>() > BYTES {
        return Ok(false);
    }
    let mut buffers = Vec::new();
    for (i, buffer) in kernel.buffers.iter().enumerate() {
        match filler.random(kernel, i, &ints, random) {
            Ok(_) if buffer.written => buffers.push(vec![0; lengths[i] as usize]),
            Ok(data) => buffers.push(data),
            Err(_) => return Ok(false),
        }
    }
    let start = buffers.clone();
    match interp::run(kernel, &ints, &floats, &mut buffers) {
        Ok(()) => lowered::agrees(kernel, &ints, &floats, &start, &buffers).map(|()| true),
        Err(e) if e.contains(" requires ") => Ok(false),
        Err(e) => Err(format!("{e}; ints {ints:?}")),
    }
}

#[test]
fn accepted_mutants_run_without_a_fault() {
    let all = shipped();
    let (mut accepted, mut ran) = (0, 0);
    for seed in 0..count() {
        let mut random = Random::new(seed);
        let (sources, runs) = mutant(&all, &mut random);
        let text = &sources.last().expect("the mutant").text;
        let begun = Instant::now();
        let result = catch_unwind(AssertUnwindSafe(|| {
            kgen::compile(&sources).map_err(|errors| render(&errors, &sources, false).len())
        }));
        assert!(begun.elapsed() < Duration::from_secs(5), "seed {seed} takes {:?}:\n{text}", begun.elapsed());
        let Ok(kernels) = result.unwrap_or_else(|_| panic!("seed {seed} panics:\n{text}")) else { continue };
        accepted += 1;
        let filler = Filler::new(&sources);
        let changed = sources.len() as u32 - 1;
        let concerned = kernels.iter().filter(|k| runs && (k.span.file == changed || k.name.starts_with("matvec_q")));
        for kernel in concerned {
            let result = catch_unwind(AssertUnwindSafe(|| {
                (0..2).map(|_| run(kernel, &filler, &mut random)).collect::<Vec<_>>()
            }));
            for result in result.unwrap_or_else(|_| panic!("seed {seed}: {} panics when run:\n{text}", kernel.name)) {
                ran += usize::from(result.unwrap_or_else(|e| panic!("seed {seed}: {e}:\n{text}")));
            }
        }
    }
    eprintln!("{accepted} of {} mutants accepted, {ran} runs", count());
    assert!(accepted > count() / 20 && ran > 0, "the mutants are too wild to say anything: {accepted} accepted");
}

/// Text that would overflow the stack of a recursive reader.
#[test]
fn deep_nesting_is_an_error() {
    let deep = |open: &str, close: &str| {
        format!("#[kernel]\nfn f(y: &mut Ten<f32, 1>) {{ y[0] = {}1.0{}; }}", open.repeat(9999), close.repeat(9999))
    };
    for text in [
        deep("(", ")"),
        deep("-", ""),
        deep("", " + 1.0"),
        deep("{", "}"),
        deep("if true {", "} else { 1.0 }"),
        deep("", ".f32()"),
    ] {
        let sources = [Source { name: "deep.rs".into(), text }];
        let errors = kgen::compile(&sources).expect_err("too deep");
        assert!(errors[0].message.contains("nested too deeply"), "{}", errors[0].message);
    }
}

/// As deep as the limit allows: no overflow on the small stack of a test's thread.
#[test]
fn the_nesting_limit_fits_the_stack() {
    for (open, close) in [
        ("(", ")"),
        ("-", ""),
        ("{", "}"),
        ("[", "]"),
        ("f::<", ">"),
        ("&", ""),
        ("x[", "]"),
        ("", " + 1.0"),
        ("", ".f32()"),
        ("if true {", "} else { 1.0 }"),
    ] {
        for n in [20, 40, 60, 90, 120, 150, 170, 180, 190] {
            let text =
                format!("#[kernel]\nfn f(y: &mut Ten<f32, 1>) {{ y[0] = {}1.0{}; }}", open.repeat(n), close.repeat(n));
            let sources = [Source { name: "deep.rs".into(), text }];
            let result = kgen::compile(&sources);
            assert!(n > 40 || open.ends_with(['[', '<', '&']) || result.is_ok(), "{open}{close}");
        }
    }
}

/// Text whose meaning is much larger than itself.
#[test]
fn doubling_is_bounded() {
    let functions: String =
        (1..60).map(|i| format!("fn f{i}(x: f32) -> f32 {{ f{0}(x) + f{0}(x) }}\n", i - 1)).collect();
    let calls =
        format!("fn f0(x: f32) -> f32 {{ x }}\n{functions}#[kernel]\nfn f(y: &mut Ten<f32, 1>) {{ y[0] = f59(1.0); }}");
    let lets: String = (1..60).map(|i| format!("let v{i} = (v{0} + v{0}) % 7;\n", i - 1)).collect();
    let lets = format!("#[kernel]\nfn f<N: Dim>(y: &mut Ten<i32, 1>) {{ let v0 = N % 7;\n{lets}y[0] = v59; }}");
    let constants =
        "const A: i32 = B;\nconst B: i32 = A;\n#[kernel]\nfn f(y: &mut Ten<i32, 1>) { y[0] = A; }".to_string();
    let minima: String = (1..40).map(|i| format!("let v{i} = min(v{0} + 1, N + {i});\n", i - 1)).collect();
    let minima = format!(
        "#[kernel]\nfn f<N: Dim>(x: &Ten<f32, N>, y: &mut Ten<f32, 1>) {{ let v0 = N;\n{minima}y[0] = x[v39]; }}"
    );
    for (text, accepted) in [(calls, false), (lets, true), (constants, false), (minima, false)] {
        let begun = Instant::now();
        assert_eq!(
            kgen::compile(&[Source { name: "doubling.rs".into(), text: text.clone() }]).is_ok(),
            accepted,
            "{text}"
        );
        assert!(begun.elapsed() < Duration::from_secs(5), "{:?}:\n{text}", begun.elapsed());
    }
}
