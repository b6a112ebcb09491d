//! `kgen build`: every form of kernels in a folder, with a manifest of what is in it and how it was made.
mod cuda;
mod folder;
mod manifest;

use super::units::{Chosen, illegal};
use super::{Done, Failure, open, parse_arch};
use folder::Files;
use kgen::cpu::{self, Isa};
use kgen::fused::{self, Pair};
use kgen::inlined::{self, Spec};
use kgen::ir::Kernel;
use kgen::library::Library;
use kgen::nvrtc::{self, Arch, Compiler};
use kgen::recomputed;
use kgen::schedule::Schedule;
use kgen::target::Target;
use kgen::text::count;
use manifest::Manifest;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Arguments of `kgen build`.
#[derive(clap::Args)]
pub struct Args {
    /// The kernels with their instances, as `matvec_q4k`, and pairs of `kgen list` [default: all]
    #[arg(value_name = "KERNELS")]
    names: Vec<String>,
    /// The folder to write; one that is there is replaced only if `kgen build` made it
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// What PTX and cubins are made for, as sm_90, or sm_90a for what only that architecture has
    #[arg(long, value_delimiter = ',', value_parser = parse_arch, default_value = "sm_80,sm_86,sm_89,sm_90,sm_100,sm_120")]
    arch: Vec<Arch>,
    /// Write only sources and schedules, neither PTX nor cubins; NVRTC is not needed
    #[arg(long, conflicts_with = "arch")]
    source_only: bool,
}

/// Builds everything aside, and puts it in place once all of it is there.
pub fn run(args: &Args, kernels: &Path) -> Done {
    folder::check(&args.out)?;
    let library = open(kernels)?;
    let chosen = Chosen::new(&library, &args.names)?;
    let Chosen { inlined, fused, recomputed, .. } = &chosen;
    let mut files = Files::default();
    for isa in Isa::ALL {
        files.add(format!("rust/{isa}.rs"), rust(&library, &chosen.kernels_on(Target::Cpu(isa)), isa)?);
    }
    let units = chosen.units(&library)?;
    for unit in &units {
        files.add(format!("cuda/{}.cu", unit.source.entry), unit.source.text());
    }
    for target in Target::ALL {
        files.add(
            format!("schedules/{}", target.schedule_file()),
            schedules(&library, &chosen.kernels_on(target), target)?,
        );
    }
    if !inlined.is_empty() {
        let specs: Vec<&Spec> = inlined.iter().map(|inlined| &inlined.spec).collect();
        files.add(format!("schedules/{}", inlined::FILE), manifest::json(&specs)?);
    }
    if !recomputed.is_empty() {
        let specs: Vec<&recomputed::Spec> = recomputed.iter().map(|r| &r.spec).collect();
        files.add(format!("schedules/{}", recomputed::FILE), manifest::json(&specs)?);
    }
    if !fused.is_empty() {
        let pairs: Vec<&Pair> = fused.iter().map(|f| &f.pair).collect();
        files.add(format!("schedules/{}", fused::FILE), manifest::json(&pairs)?);
    }
    let mut archs = args.arch.clone();
    archs.sort();
    archs.dedup();
    let mut manifest = Manifest::new(chosen.names());
    if !args.source_only {
        let compiler = Compiler::with_cache(None);
        let nvrtc = compiler.nvrtc().map_err(|error| {
            Failure::Failed(format!("{error}\n  help: {}; or write sources alone, with --source-only", nvrtc::INSTALL))
        })?;
        manifest.compiled(nvrtc.version(), &archs);
        cuda::compile(&compiler, &units, &archs, &mut files)?;
    }
    files.add("manifest.json".into(), manifest.text(&files)?);
    folder::replace(&args.out, &files)?;
    let compiled = if args.source_only {
        "sources only".to_string()
    } else {
        format!("compiled and audited for {}", archs.iter().map(Arch::to_string).collect::<Vec<_>>().join(", "))
    };
    eprintln!("{}, {compiled}, in {}", count(chosen.names().len(), "kernel"), args.out.display());
    Ok(())
}

/// The code of kernels for an instruction set, with the helpers they call.
fn rust(library: &Library, kernels: &[&Kernel], isa: Isa) -> Result<String, Failure> {
    let mut funcs = Vec::new();
    for kernel in kernels {
        funcs.extend(library.lowered(kernel, Target::Cpu(isa))?.into_iter().map(|(_, func)| func));
    }
    let module = cpu::module(&funcs, isa).map_err(illegal(Target::Cpu(isa).schedule_file()))?;
    cpu::format(module).map_err(|e| Failure::Failed(format!("the generated code is no Rust: {e}")))
}

fn schedules(library: &Library, kernels: &[&Kernel], target: Target) -> Result<String, Failure> {
    let all = kernels.iter().map(|k| Ok((k.name.as_str(), library.schedule(&k.name, target)?)));
    let all = all.collect::<Result<BTreeMap<&str, Vec<Schedule>>, Failure>>()?;
    manifest::json(&all)
}
