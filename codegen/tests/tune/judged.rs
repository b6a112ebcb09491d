//! What becomes of candidates, on a device that is the loop IR's interpreter with a clock that is made up.
use kgen::ir::Kernel;
use kgen::library::Library;
use kgen::loop_ir::{self, Func};
use kgen::random::Random;
use kgen::schedule::Schedule;
use kgen::target::Target;
use kgen::tune::bench::{Bench, BenchError, Setting, Tally};
use kgen::tune::cases::{self, Inputs};
use kgen::tune::device::{Candidate, Device};
use kgen::tune::journal::Journal;
use kgen::tune::search::{Found, search};
use kgen::tune::task::Task;
use std::cell::RefCell;
use std::fs;
use std::path::Path;
use std::time::Duration;

const KERNEL: &str = "#[kernel]
fn f<T: Dim, N: Dim>(x: &Ten<f32, T, N>, y: &mut Ten<f32, T, N>) {
    for t in par(T) {
        let s = sum(0..N, lanes(16), |acc, n| acc + x[t][n]);
        for n in par(N) { y[t][n] = x[t][n] * s; }
    }
}
";

/// A folder with the kernel, and its schedule.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    ["formats", "kernels", "schedules"].iter().for_each(|part| fs::create_dir(folder.path().join(part)).unwrap());
    fs::write(folder.path().join("kernels/f.rs"), KERNEL).unwrap();
    let schedule = "{\n  \"f\": {\"width\": 16, \"split\": [\"t\"]}\n}\n";
    fs::write(folder.path().join("schedules/sm_90.json"), schedule).unwrap();
    folder
}

/// What is wrong with the device.
#[derive(Clone, Copy)]
enum Wrong {
    Nothing,
    /// Code for these schedules gives other bits, though the lowering is right: as from a wrong compiler.
    Bits(fn(&Schedule) -> bool),
    /// Something is written around the buffers.
    Guards(fn(&Schedule) -> bool),
    /// The compiler refuses them.
    Compiler(fn(&Schedule) -> bool),
}

/// Runs code by the interpreter, and notes what is compiled and timed.
struct Interpreted {
    wrong: Wrong,
    compiled: RefCell<usize>,
    timed: RefCell<Vec<Schedule>>,
}

impl Interpreted {
    fn new(wrong: Wrong) -> Interpreted {
        Interpreted { wrong, compiled: RefCell::new(0), timed: RefCell::default() }
    }
}

impl Device for Interpreted {
    type Code = Candidate;
    type Placed = Inputs;

    fn names(&self) -> (&str, &str) {
        ("an interpreter", "none")
    }

    fn read_rate(&self) -> f64 {
        1e9
    }

    fn compile(&self, _: &Kernel, candidates: &[&Candidate]) -> Vec<Result<Candidate, String>> {
        *self.compiled.borrow_mut() += candidates.len();
        let compile = |c: &&Candidate| match self.wrong {
            Wrong::Compiler(refused) if refused(&c.schedule) => Err("refused".to_string()),
            _ => Ok((*c).clone()),
        };
        candidates.iter().map(compile).collect()
    }

    fn place(&self, _: &Kernel, func: &Func, inputs: &Inputs, _: bool) -> Result<Inputs, String> {
        Ok(Inputs { buffers: cases::packed(func, inputs), ..inputs.clone() })
    }

    fn run(&self, code: &Candidate, placed: &Inputs) -> Result<Vec<Vec<u8>>, String> {
        let mut buffers = placed.buffers.clone();
        let mut turns = Random::new(3);
        let (func, ints, floats) = (&code.func, &placed.ints, &placed.floats);
        loop_ir::interp::run_at_once(func, ints, floats, &mut buffers, 2, |n| turns.below(n))
            .map_err(|fault| fault.to_string())?;
        match self.wrong {
            Wrong::Bits(wrong) if wrong(&code.schedule) => {
                // The lowest bit of the last number.
                let last = buffers[1].len() - 4;
                buffers[1][last] ^= 1;
            }
            Wrong::Guards(wrong) if wrong(&code.schedule) => return Err("something was written around".into()),
            _ => {}
        }
        Ok(buffers)
    }

    fn samples(&self, code: &Candidate, _: &Inputs) -> Result<Vec<f64>, String> {
        self.timed.borrow_mut().push(code.schedule.clone());
        let s = &code.schedule;
        let away = |n: usize, best: f64| (n as f64 / best).log2().abs();
        Ok(vec![1e-6 * (10.0 + away(s.threads, 256.0) + away(s.in_flight, 8.0))])
    }
}

/// A walk on a device.
fn tuned(
    folder: &Path,
    device: &Interpreted,
    journal: &Path,
    (plant, budget): (Option<&str>, Duration),
) -> Result<(Found, Tally), BenchError> {
    let library = Library::open(folder).unwrap_or_else(|e| panic!("{e}"));
    let kernel = library.kernel("f").unwrap_or_else(|e| panic!("{e}"));
    let shipped = library.schedule("f", Target::Cuda).unwrap_or_else(|e| panic!("{e}")).remove(0);
    let sizes = vec![(vec![1, 70], 2.0), (vec![5, 33], 0.5)];
    let task = Task { kernel, target: Target::Cuda, entry: 0, shipped, sizes, bytes: 1e3 };
    let mut journal = Journal::open(journal).unwrap();
    let plant = plant.map(|field| field.parse().unwrap());
    let setting =
        Setting { library: &library, task: &task, device, journal: &mut journal, plant, budget, watch: &mut |_| {} };
    let mut bench = Bench::new(setting)?;
    let first = bench.first()?;
    let found = search((kernel, Target::Cuda), &task.shipped, first, &mut bench)?;
    if found.best.0 != task.shipped {
        let [shipped, best] = bench.duel(&found.best.0)?;
        assert!(best.us < shipped.us, "{best:?} {shipped:?}");
    }
    Ok((found, bench.tally().clone()))
}

const HOUR: Duration = Duration::from_secs(3600);

/// A walk with a journal of its own.
fn once(wrong: Wrong, plant: Option<&str>) -> (Interpreted, Result<(Found, Tally), BenchError>) {
    let (folder, device) = (folder(), Interpreted::new(wrong));
    let result = tuned(folder.path(), &device, &folder.path().join("journal"), (plant, HOUR));
    (device, result)
}

#[test]
fn the_best_is_found_and_all_candidates_had_equal_bits() {
    let (device, result) = once(Wrong::Nothing, None);
    let (found, tally) = result.unwrap_or_else(|e| panic!("{e}"));
    let best = &found.best.0;
    assert_eq!((best.threads, best.in_flight, found.complete), (256, 8, true));
    assert!(tally.differing.is_empty() && tally.timed == found.judged && found.judged > 20, "{tally:?}");
    assert!(device.timed.borrow().contains(best));
}

#[test]
fn a_planted_fault_of_the_lowering_is_refused_before_it_is_compiled_or_timed() {
    let (device, result) = once(Wrong::Nothing, Some("in_flight"));
    let (found, tally) = result.unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(found.best.0.in_flight, 1);
    assert!(tally.differing.len() >= 5, "{tally:?}");
    assert!(tally.differing.iter().all(|(s, how)| s.in_flight != 1 && how.contains("must be 0x")), "{tally:?}");
    assert!(device.timed.borrow().iter().all(|s| s.in_flight == 1));
}

#[test]
fn code_with_other_bits_is_refused_before_it_is_timed() {
    let wrong = |s: &Schedule| s.in_flight == 8;
    for (fault, reason) in [(Wrong::Bits(wrong), "must be 0x"), (Wrong::Guards(wrong), "written around")] {
        let (device, result) = once(fault, None);
        let (found, tally) = result.unwrap_or_else(|e| panic!("{e}"));
        assert!(found.best.0.in_flight != 8 && !tally.differing.is_empty());
        assert!(tally.differing.iter().all(|(s, how)| wrong(s) && how.contains(reason)), "{tally:?}");
        assert!(!device.timed.borrow().iter().any(wrong), "it was timed");
    }
}

#[test]
fn what_has_no_code_is_passed_over() {
    let (device, result) = once(Wrong::Compiler(|s| s.threads == 256), None);
    let (found, tally) = result.unwrap_or_else(|e| panic!("{e}"));
    assert!(tally.refused > 0 && tally.differing.is_empty() && found.best.0.threads != 256);
    assert!(device.timed.borrow().iter().all(|s| s.threads != 256));
}

#[test]
fn a_shipped_schedule_with_other_bits_is_named() {
    for wrong in [Wrong::Bits(|_| true), Wrong::Guards(|_| true)] {
        let (device, result) = once(wrong, None);
        assert!(matches!(result, Err(BenchError::Shipped { .. })));
        assert!(device.timed.borrow().is_empty());
    }
}

#[test]
fn a_walk_goes_on_where_it_was_ended() {
    let folder = folder();
    let path = folder.path().join("journal");
    let device = Interpreted::new(Wrong::Nothing);
    let (whole, _) = tuned(folder.path(), &device, &path, (None, HOUR)).unwrap_or_else(|e| panic!("{e}"));
    let all = *device.compiled.borrow();
    let text = fs::read_to_string(&path).unwrap();
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    assert!(lines.len() > 10);
    for kept in [1, 2, lines.len() / 2, lines.len()] {
        fs::write(&path, lines[..kept].concat()).unwrap();
        let device = Interpreted::new(Wrong::Nothing);
        let (found, tally) = tuned(folder.path(), &device, &path, (None, HOUR)).unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(found, whole);
        assert!(tally.remembered >= kept - 1, "{kept}: {tally:?}");
        // All but the lines that were kept, of which the first is the shipped schedule's.
        assert_eq!(*device.compiled.borrow(), all - (kept - 1));
        assert_eq!(fs::read_to_string(&path).unwrap(), text);
    }
}

#[test]
fn without_a_budget_only_what_is_known_counts() {
    let folder = folder();
    let path = folder.path().join("journal");
    let device = Interpreted::new(Wrong::Nothing);
    let none = (None, Duration::ZERO);
    let (found, tally) = tuned(folder.path(), &device, &path, none).unwrap_or_else(|e| panic!("{e}"));
    assert!(!found.complete && found.judged == 0 && tally.timed == 0);
    let (whole, _) = tuned(folder.path(), &device, &path, (None, HOUR)).unwrap_or_else(|e| panic!("{e}"));
    let (again, tally) = tuned(folder.path(), &device, &path, none).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!((again, tally.remembered), (whole.clone(), whole.judged));
}

/// Every shipped schedule of every target has small inputs, on which its lowering gives the interpreter's bits.
#[test]
fn shipped_schedules_have_small_cases() {
    let library = Library::open(&Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name("kernels-gen"));
    let library = library.unwrap_or_else(|e| panic!("{e}"));
    let filler = kgen::data::Filler::new(&library.sources);
    for target in Target::ALL {
        for kernel in library.kernels_on(target) {
            for (schedule, func) in library.lowered(kernel, target).unwrap_or_else(|e| panic!("{e}")) {
                let all = cases::small(&filler, kernel, &schedule).unwrap_or_else(|e| panic!("{e}"));
                assert!(all.len() >= 4, "{} on {target}: {} cases", kernel.name, all.len());
                assert!(all.iter().all(|case| schedule.fits(kernel, &case.inputs.ints)));
                let same = cases::interpreted(kernel, target, &func, &all[0]);
                same.unwrap_or_else(|e| panic!("{} on {target}: {e}", kernel.name));
            }
        }
    }
}
