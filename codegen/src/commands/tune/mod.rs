//! `kgen tune`: looks for faster schedules, and says how the shipped ones fare.
mod device;
mod report;
mod watch;

use super::{Done, Failure, open};
use device::On;
use gguf::{Quant, SHAPES, shape};
use kgen::library::Library;
use kgen::nvrtc::{Arch, Cache};
use kgen::places::Places;
use kgen::schedule::file;
use kgen::target::Target;
use kgen::tune::bench::{Bench, BenchError, Setting};
use kgen::tune::cpu::Cpu;
use kgen::tune::cuda::Cuda;
use kgen::tune::device::Device;
use kgen::tune::journal::Journal;
use kgen::tune::keep;
use kgen::tune::model::{Model, Need};
use kgen::tune::plant::Plant;
use kgen::tune::search::search;
use kgen::tune::task::{Task, tasks};
use report::{Report, Row};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

const AFTER: &str = "\
A candidate is a legal schedule that differs from the best one in one field; the walk begins at the shipped one. Before anything is
timed, its bits are compared: small inputs with the interpreter that defines the language, then the sizes of the model with the
shipped schedule. Times are of a token that is generated and one of a prompt, in all layers: medians by CUDA events, with inputs
that no cache has, or calls by one thread of a CPU. Candidates for a CPU are compiled by rustc ($RUSTC), which must be installed.
Verdicts are kept in a journal: a run that was ended goes on where it was.

Examples:
  kgen tune matvec_q4k attention_128 weigh_q8k --shape 7b
  kgen tune --model model.gguf --budget 5m --keep
  kgen tune weigh_q8k --shape tiny --device cpu --check";

/// A schedule that takes more than this part of the time of another one is beaten.
const BEATEN: f64 = 1.1;
/// A new schedule must take less than this part of the time of the shipped one, by turns.
const WORTH: f64 = 0.98;

/// Exit codes.
const SLOW: u8 = 3;
const DIFFERS: u8 = 4;

/// Arguments of `kgen tune`.
#[derive(clap::Args)]
#[command(after_help = AFTER, group(clap::ArgGroup::new("whose sizes").required(true).args(["model", "shape"])))]
pub struct Args {
    /// The kernels with their instances, as `matvec_q4k` [default: all that the model needs]
    #[arg(value_name = "KERNEL")]
    names: Vec<String>,
    /// The model whose sizes count: a GGUF file, of which only the header is read
    #[arg(long, value_name = "FILE")]
    model: Option<PathBuf>,
    /// The same by name, as `qwen2.5-7b`, or `7b`, with the matrices of Q4_K_M
    #[arg(long, value_name = "NAME")]
    shape: Option<String>,
    /// cuda, cuda:N, cpu (its best instruction set), or cpu:avx2
    #[arg(long, default_value = "cuda")]
    device: On,
    /// How long candidates of each schedule are judged: 90s, 5m, 1h
    #[arg(long, default_value = "60s", value_parser = parse_duration)]
    budget: Duration,
    /// Tokens of a prompt that are computed at once
    #[arg(long, value_name = "N", default_value_t = 128, value_parser = clap::value_parser!(u64).range(2..=4096))]
    tokens: u64,
    /// Position of the token that is generated
    #[arg(long, value_name = "N", default_value_t = 512, value_parser = clap::value_parser!(u64).range(0..=131072))]
    depth: u64,
    /// Only say whether shipped schedules give the right bits, and which another one beats by more than 10 %
    #[arg(long, conflicts_with = "write")]
    check: bool,
    /// Replace schedules of the kernels folder by those that are faster
    #[arg(long)]
    write: bool,
    /// Keep those that are faster for this GPU: apr takes them before those that were built in [file: schedules/ARCH.json in the
    /// folder of $KGEN_CACHE]
    #[arg(long, conflicts_with_all = ["check", "write"])]
    keep: bool,
    /// Where verdicts are kept [default: tune.jsonl in the folder of $KGEN_CACHE]
    #[arg(long, value_name = "FILE")]
    journal: Option<PathBuf>,
    /// Plant a fault: candidates that differ in this field of a schedule store the wrong sign
    #[arg(long, value_name = "FIELD")]
    plant: Option<Plant>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// Judges candidates of each schedule, and writes what was found.
pub fn run(args: &Args, folder: &Path, out: &mut impl Write) -> Done {
    let library = open(folder)?;
    let model = model(args)?;
    let needs = model.token(args.depth, args.tokens);
    let target = args.device.target();
    let chosen = chosen(args, &library, target, &model, &needs)?;
    let places = Places::new(&library.sources);
    let open_failed = Failure::Failed;
    if args.keep && target != Target::Cuda {
        return Err(Failure::Usage("--keep: CPU code is compiled when kgen is; use --write, and build again".into()));
    }
    let report = match args.device {
        On::Cuda(number) => {
            let cuda = Cuda::open(number, places).map_err(open_failed)?;
            let arch = &cuda.gpu().arch;
            eprintln!("{}, {arch}: the schedules are those of {}", cuda.gpu().name, arch.schedules());
            let report = all(args, &library, &chosen, &cuda)?;
            if args.keep {
                keep_best(arch, &report)?;
            }
            report
        }
        On::Cpu(isa) => all(args, &library, &chosen, &Cpu::open(isa).map_err(open_failed)?)?,
    };
    report.write(args.json, out)?;
    out.flush()?;
    verdict(args, &report)
}

fn model(args: &Args) -> Result<Model, Failure> {
    if let Some(path) = &args.model {
        return Model::open(path).map_err(|e| Failure::Failed(e.to_string()));
    }
    let name = args.shape.as_deref().unwrap_or_default();
    let names = || SHAPES.iter().map(|shape| shape.name).collect::<Vec<_>>().join(", ");
    let unknown = || Failure::Usage(format!("--shape: there is no shape `{name}`; there are {}", names()));
    Ok(Model::of_shape(shape(name).ok_or_else(unknown)?, Quant::Q4KM))
}

/// The tasks of the kernels that were named, or of all.
fn chosen<'l>(
    args: &Args,
    library: &'l Library,
    target: Target,
    model: &Model,
    needs: &[(Need, f64)],
) -> Result<Vec<Task<'l>>, Failure> {
    args.names.iter().try_for_each(|name| library.kernel(name).map(drop))?;
    let mut all = Vec::new();
    for kernel in library.kernels_on(target) {
        let named = args.names.contains(&kernel.name);
        if !named && !args.names.is_empty() {
            continue;
        }
        let own = tasks(library, kernel, target, needs)?;
        if own.is_empty() && named {
            let help = "name a kernel that it needs, or another model";
            return Err(Failure::Failed(format!("{} needs no {}\n  help: {help}", model.name, kernel.name)));
        }
        all.extend(own);
    }
    if all.is_empty() {
        return Err(Failure::Failed(format!("{} needs none of these kernels on {target}", model.name)));
    }
    Ok(all)
}

/// All tasks on a device.
fn all<D: Device>(args: &Args, library: &Library, tasks: &[Task], device: &D) -> Result<Report, Failure> {
    let path = journal_path(args)?;
    let failed = |e| Failure::Failed(format!("{}: {e}\n  help: name another file by --journal", path.display()));
    let mut journal = Journal::open(&path).map_err(failed)?;
    let (name, compiler) = device.names();
    let mut report = Report::new(name, compiler, device.read_rate(), &path);
    for task in tasks {
        match one(args, library, task, device, &mut journal) {
            Ok(row) => {
                eprintln!("{}", row.line(device.read_rate()));
                if args.write {
                    write(library, task, &row)?;
                }
                report.rows.push(row);
            }
            Err(BenchError::Shipped { task, difference }) => {
                eprintln!("{task}: the shipped schedule gives other bits: {difference}");
                report.wrong.push((task, difference));
            }
            Err(e) => return Err(Failure::Failed(e.to_string())),
        }
    }
    Ok(report)
}

/// One task: the walk, and the best schedule against the shipped one by turns.
fn one<D: Device>(
    args: &Args,
    library: &Library,
    task: &Task,
    device: &D,
    journal: &mut Journal,
) -> Result<Row, BenchError> {
    let bar = watch::Bar::new(device.read_rate());
    let mut watch = |progress: kgen::tune::bench::Progress| bar.show(&progress);
    let (plant, budget) = (args.plant.clone(), args.budget);
    let mut bench = Bench::new(Setting { library, task, device, journal, plant, budget, watch: &mut watch })?;
    let first = bench.first()?;
    let found = search((task.kernel, task.target), &task.shipped, first, &mut bench)?;
    let mut row = Row::new(task, first, &found, bench.tally());
    if found.best.0 != task.shipped {
        let [shipped, best] = bench.duel(&found.best.0)?;
        row.shipped = shipped;
        row.best = (best.us < shipped.us * WORTH).then(|| (found.best.0.clone(), best));
    }
    Ok(row)
}

/// Keeps the faster schedules for a GPU like this one.
fn keep_best(arch: &Arch, report: &Report) -> Done {
    let none = || Failure::Failed("no folder for schedules is known\n  help: set KGEN_CACHE".into());
    let path = keep::path(arch).ok_or_else(none)?;
    for row in &report.rows {
        let Some((schedule, _)) = &row.best else { continue };
        keep::keep(&path, &row.kernel, schedule).map_err(|e| Failure::Failed(format!("{}: {e}", path.display())))?;
        eprintln!("{}: kept in {}", row.name, path.display());
    }
    Ok(())
}

/// Puts a faster schedule into the kernels folder.
fn write(library: &Library, task: &Task, row: &Row) -> Done {
    let Some((schedule, _)) = &row.best else { return Ok(()) };
    let path = library.schedule_file(&task.target.schedule_file());
    let failed = |e: String| Failure::Failed(format!("{}: {e}", path.display()));
    let text = std::fs::read_to_string(&path).map_err(|e| failed(e.to_string()))?;
    let new = file::replace(&text, &task.kernel.name, task.entry, schedule).map_err(failed)?;
    let mut aside = gguf::aside::beside(&path).map_err(|e| failed(e.to_string()))?;
    aside.write_all(new.as_bytes()).map_err(|e| failed(e.to_string()))?;
    aside.persist(&path).map_err(|e| failed(e.to_string()))?;
    Ok(())
}

/// How the command ends: bits come before time.
fn verdict(args: &Args, report: &Report) -> Done {
    let wrong = report.wrong.len() + report.rows.iter().map(|row| row.tally.differing.len()).sum::<usize>();
    if wrong > 0 {
        let what = kgen::text::count(wrong, "schedule");
        return Err(Failure::Found(DIFFERS, format!("{what} gave other bits; none of these was timed")));
    }
    let slow: Vec<&str> = report.rows.iter().filter(|row| row.gain() > BEATEN).map(|row| row.name.as_str()).collect();
    if args.check && !slow.is_empty() {
        let what = format!("another schedule beats the shipped one by more than 10 %: {}", slow.join("; "));
        return Err(Failure::Found(SLOW, what));
    }
    Ok(())
}

fn journal_path(args: &Args) -> Result<PathBuf, Failure> {
    let standard = || Cache::standard().map(|cache| cache.folder().join("tune.jsonl"));
    let none =
        || Failure::Failed("no folder for the journal is known\n  help: set KGEN_CACHE, or give --journal".into());
    args.journal.clone().or_else(standard).ok_or_else(none)
}

fn parse_duration(text: &str) -> Result<Duration, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let factor = match &text[digits.len()..] {
        "" | "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return Err("write 90s, 5m or 1h".into()),
    };
    let seconds = digits.parse::<f64>().ok().map(|n| n * factor).filter(|n| (0.0..=1e6).contains(n));
    seconds.map(Duration::from_secs_f64).ok_or_else(|| "write 90s, 5m or 1h".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_numbers_with_a_unit() {
        let seconds = |text| parse_duration(text).map(|d| d.as_secs_f64());
        assert_eq!([seconds("90s"), seconds("1.5m"), seconds("7"), seconds("0s")], [90.0, 90.0, 7.0, 0.0].map(Ok));
        for bad in ["", "s", "-1s", "1d", "1e9h", "nan", "1 s"] {
            assert!(seconds(bad).is_err(), "{bad}");
        }
    }
}
