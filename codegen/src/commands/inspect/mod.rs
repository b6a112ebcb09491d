//! `kgen inspect`: what the GPU code of kernels takes and does, told without a GPU.
mod report;
mod table;

use super::arguments::{self, Named};
use super::units::{Chosen, Unit};
use super::{Done, Failure, open, parse_arch};
use kgen::inspect::counts::count;
use kgen::inspect::cubin::Resources;
use kgen::inspect::mix::Mix;
use kgen::inspect::occupancy::{Cta, Occupancy, Sm};
use kgen::inspect::roofline::Gpu;
use kgen::inspect::spills::Spills;
use kgen::ir::Kernel;
use kgen::nvrtc::{Arch, Compiler, REPORT, by_all_threads};
use report::{Asked, Code, Report};
use std::io::Write;
use std::path::Path;

const AFTER: &str = "\
Spills are what the assembler says; all else of a code is read from its cubin and its PTX. Instructions are counted as they stand
in the text. Bytes and operations are what the kernel's algorithm asks for at least; a bound is the least time that these take.

Examples:
  kgen inspect matvec_q4k
  kgen inspect matvec_q4k --sizes T=1,N=3584,B=14 --gpu h200
  kgen inspect attention_64 attention_64_quantize_q8k --arch sm_120 --json";

/// Arguments of `kgen inspect`.
#[derive(clap::Args)]
#[command(after_help = AFTER)]
pub struct Args {
    /// The kernels with their instances, as `matvec_q4k`, and pairs of `kgen list`
    #[arg(value_name = "KERNEL", required = true)]
    names: Vec<String>,
    /// The GPU architecture that code is made for [default: that of --gpu, else sm_90]
    #[arg(long, value_parser = parse_arch)]
    arch: Option<Arch>,
    /// Sizes and integer parameters, to count bytes and operations for
    #[arg(long, value_name = "NAME=N,..", value_delimiter = ',')]
    sizes: Vec<Named>,
    /// With --sizes: the GPU whose rates bound the time: a100, h100, h200, l40s or rtx4090
    #[arg(long, value_parser = Gpu::named, requires = "sizes")]
    gpu: Option<Gpu>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// Compiles, reads and counts, and writes what was found.
pub fn run(args: &Args, folder: &Path, out: &mut impl Write) -> Done {
    let library = open(folder)?;
    let chosen = Chosen::new(&library, &args.names)?;
    let arch = arch(args)?;
    let asked = asked(args, &chosen)?;
    let compiler = Compiler::new();
    let sm = Sm::of(&arch);
    let codes = by_all_threads(&chosen.units(&library)?, |unit| code(&compiler, unit, &arch, &sm));
    let mut codes: Vec<Code> = codes.into_iter().collect::<Result<_, Failure>>()?;
    asked.iter().for_each(|asked| mark(&mut codes, asked));
    let report = Report { arch: arch.to_string(), sm, gpu: args.gpu, codes, asked };
    if args.json {
        serde_json::to_writer_pretty(&mut *out, &report).map_err(std::io::Error::from)?;
        return Ok(writeln!(out)?);
    }
    Ok(table::write(&report, out)?)
}

fn arch(args: &Args) -> Result<Arch, Failure> {
    let of_gpu = args.gpu.map(|gpu| Arch::of_capability(gpu.arch / 10, gpu.arch % 10));
    match (&args.arch, of_gpu) {
        (Some(arch), Some(of_gpu)) if arch.number() != of_gpu.number() => {
            Err(Failure::Usage(format!("--arch {arch}: the GPU of --gpu is {of_gpu}")))
        }
        (Some(arch), _) => Ok(arch.clone()),
        (None, of_gpu) => Ok(of_gpu.unwrap_or_else(|| Arch::of_capability(9, 0))),
    }
}

/// What the kernels ask for at the sizes of the command line, each kernel at those that it has; nothing without sizes.
fn asked(args: &Args, chosen: &Chosen) -> Result<Vec<Asked>, Failure> {
    if args.sizes.is_empty() {
        return Ok(Vec::new());
    }
    let producers = chosen.fused.iter().map(|f| f.kernels[0]);
    let names: Vec<&str> = chosen.kernels.iter().copied().chain(producers).flat_map(arguments::integer_names).collect();
    if let Some(unknown) = args.sizes.iter().find(|given| !names.contains(&given.name.as_str())) {
        let mut names = names;
        names.sort();
        names.dedup();
        let message = format!("--sizes: no kernel here has `{}`; there are {}", unknown.name, names.join(", "));
        return Err(Failure::Usage(message));
    }
    let of_kernel = |kernel: &&Kernel| {
        let ints = arguments::integers(kernel, "--sizes", &args.sizes)?;
        arguments::check_requires(kernel, &ints)?;
        let counts = count(kernel, &ints).map_err(Failure::Failed)?;
        Ok(Asked::new(kernel, &ints, &counts, args.gpu.as_ref()))
    };
    chosen.kernels.iter().map(of_kernel).collect()
}

/// What a code takes and does.
fn code(compiler: &Compiler, unit: &Unit, arch: &Arch, sm: &Result<Sm, String>) -> Result<Code, Failure> {
    let entry = &unit.source.entry;
    let compiled = unit.compile(compiler, arch, &[REPORT.into()])?;
    let resources = Resources::read(&compiled.cubin, entry).map_err(|e| Failure::Failed(e.to_string()))?;
    let shared = resources.shared + unit.source.shared as u64;
    let cta = Cta { threads: unit.threads as u64, registers: resources.registers.into(), shared };
    let occupancy = sm.as_ref().ok().map(|sm| Occupancy::of(cta, *sm));
    Ok(Code {
        kernel: unit.of.clone(),
        entry: entry.clone(),
        nvrtc: compiled.nvrtc_version.to_string(),
        most: unit.most.clone(),
        serves: None,
        threads: unit.threads,
        dynamic_shared: unit.source.shared as u64,
        resources,
        spills: Spills::of(&compiled.log, entry),
        occupancy,
        mix: Mix::of(&compiled.ptx),
    })
}

/// Notes which code of a kernel serves its sizes: the first that may.
fn mark(codes: &mut [Code], asked: &Asked) {
    let mut found = false;
    for code in codes.iter_mut().filter(|code| code.kernel == asked.kernel) {
        let fits = code.most.iter().all(|(name, most)| asked.sizes.get(name).is_none_or(|n| n <= most));
        code.serves = Some(fits && !found);
        found |= fits;
    }
}
