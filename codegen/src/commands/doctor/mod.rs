//! `kgen doctor`: what this machine has for compiling and running kernels, what is missing, and how to get it.
mod gpus;

use super::Done;
use gpus::Driver;
use kgen::cpu::Isa;
use kgen::nvrtc::{self, Compiler};
use serde::Serialize;
use std::io::Write;
use std::path::PathBuf;

/// Arguments of `kgen doctor`.
#[derive(clap::Args)]
pub struct Args {
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// Everything that was found.
#[derive(Serialize)]
struct Report {
    driver: Option<Driver>,
    nvrtc: Option<Nvrtc>,
    cpu: Vec<InstructionSet>,
    cache: Option<Cache>,
    problems: Vec<Problem>,
}

#[derive(Serialize)]
struct Nvrtc {
    version: String,
    path: PathBuf,
    archs: Vec<String>,
}

#[derive(Serialize)]
struct InstructionSet {
    name: String,
    available: bool,
    needs: &'static [&'static str],
}

#[derive(Serialize)]
struct Cache {
    folder: PathBuf,
    entries: usize,
    bytes: u64,
    writable: bool,
}

/// Something that is missing, and how to get it.
#[derive(Serialize)]
struct Problem {
    problem: String,
    help: String,
}

impl Problem {
    fn new(problem: impl Into<String>, help: impl Into<String>) -> Problem {
        Problem { problem: problem.into(), help: help.into() }
    }
}

/// Looks around and writes what it finds. That something is missing is no failure.
pub fn run(args: &Args, out: &mut impl Write) -> Done {
    let report = Report::new();
    if args.json {
        serde_json::to_writer_pretty(&mut *out, &report).map_err(std::io::Error::from)?;
        return Ok(writeln!(out)?);
    }
    Ok(report.write(out)?)
}

impl Report {
    fn new() -> Report {
        let mut problems = Vec::new();
        let compiler = Compiler::new();
        let driver = driver(&mut problems);
        let nvrtc = nvrtc(&compiler, driver.as_ref(), &mut problems);
        let cache = cache(&compiler, &mut problems);
        let cpu = Isa::ALL.map(|isa| InstructionSet {
            name: isa.to_string(),
            available: isa.available(),
            needs: isa.needs(),
        });
        Report { driver, nvrtc, cpu: cpu.into(), cache, problems }
    }

    fn write(&self, out: &mut impl Write) -> std::io::Result<()> {
        match &self.driver {
            Some(driver) => writeln!(out, "driver  for CUDA {}", driver.cuda_version)?,
            None => writeln!(out, "driver  none")?,
        }
        for gpu in self.driver.iter().flat_map(|driver| &driver.gpus) {
            let gib = gpu.memory_bytes as f64 / f64::from(1 << 30);
            let schedules = format!("schedules of {}", gpu.schedules);
            writeln!(out, "gpu     cuda:{}  {}, {}, {gib:.1} GiB, {schedules}", gpu.number, gpu.name, gpu.arch)?;
        }
        match &self.nvrtc {
            Some(nvrtc) => {
                writeln!(out, "nvrtc   {}  {}", nvrtc.version, nvrtc.path.display())?;
                writeln!(out, "        compiles for {}", nvrtc.archs.join(", "))?;
            }
            None => writeln!(out, "nvrtc   none")?,
        }
        for isa in &self.cpu {
            let has = if isa.available { "yes" } else { "no " };
            writeln!(
                out,
                "cpu     {has}  {}{}",
                isa.name,
                isa.needs.iter().map(|f| format!(" {f}")).collect::<String>()
            )?;
        }
        match &self.cache {
            Some(cache) => {
                let s = if cache.entries == 1 { "y" } else { "ies" };
                writeln!(out, "cache   {}: {} entr{s}, {} bytes", cache.folder.display(), cache.entries, cache.bytes)?;
            }
            None => writeln!(out, "cache   none")?,
        }
        for Problem { problem, help } in &self.problems {
            write!(out, "\nmissing: {problem}\n  help: {help}\n")?;
        }
        Ok(())
    }
}

fn driver(problems: &mut Vec<Problem>) -> Option<Driver> {
    let visible = "check nvidia-smi and CUDA_VISIBLE_DEVICES; a container must be started with GPUs";
    match gpus::find() {
        Ok(driver) => {
            if driver.gpus.is_empty() {
                problems.push(Problem::new("the driver has no GPU", visible));
            }
            let old = driver.gpus.iter().filter(|gpu| !gpu.supported);
            problems.extend(old.map(|gpu| {
                let problem =
                    format!("cuda:{} ({}) has compute capability {}", gpu.number, gpu.name, gpu.compute_capability);
                Problem::new(problem, "kernels need 8.0 or more; kernels run on the CPU with the same bits")
            }));
            Some(driver)
        }
        Err(error) => {
            let help = format!("to run on a GPU, install the NVIDIA driver; {visible}. Compiling needs neither");
            problems.push(Problem::new(error, help));
            None
        }
    }
}

fn nvrtc(compiler: &Compiler, driver: Option<&Driver>, problems: &mut Vec<Problem>) -> Option<Nvrtc> {
    let nvrtc = match compiler.nvrtc() {
        Ok(nvrtc) => nvrtc,
        Err(error) => {
            problems.push(Problem::new(error.to_string(), nvrtc::INSTALL));
            return None;
        }
    };
    let archs: Vec<String> = nvrtc.archs().iter().map(|n| format!("sm_{n}")).collect();
    for gpu in driver.iter().flat_map(|driver| &driver.gpus).filter(|gpu| gpu.supported && !archs.contains(&gpu.arch)) {
        let problem = format!("NVRTC {} does not compile for cuda:{} ({})", nvrtc.version(), gpu.number, gpu.arch);
        problems.push(Problem::new(problem, nvrtc::INSTALL));
    }
    Some(Nvrtc { version: nvrtc.version().to_string(), path: nvrtc.path().into(), archs })
}

fn cache(compiler: &Compiler, problems: &mut Vec<Problem>) -> Option<Cache> {
    let Some(cache) = compiler.cache() else {
        problems.push(Problem::new("no folder for compiled kernels is known", "set KGEN_CACHE to one, or HOME"));
        return None;
    };
    let folder = cache.folder().to_path_buf();
    let writable = cache.check_writable();
    if let Err(error) = &writable {
        let problem = format!("compiled kernels cannot be kept in {}: {error}", folder.display());
        problems.push(Problem::new(problem, "make it writable, or set KGEN_CACHE to another folder"));
    }
    let (entries, bytes) = cache.size();
    Some(Cache { folder, entries, bytes, writable: writable.is_ok() })
}
