//! `kgen emit`: a kernel in each of its forms.
use super::{Done, Failure, audited, lowered, open, parse_arch, parse_isa};
use kgen::audit::Allowed;
use kgen::cpu::{self, Isa};
use kgen::fused::Pair;
use kgen::library::Library;
use kgen::loop_ir::Func;
use kgen::nvrtc::{Arch, Compiler};
use kgen::places::Places;
use kgen::target::Target;
use kgen::{cuda, ir, loop_ir};
use std::io::Write;
use std::path::Path;

/// Arguments of `kgen emit`.
#[derive(clap::Args)]
pub struct Args {
    /// The kernel with its instance, as `matvec_q4k`, or a pair of `kgen list`
    kernel: String,
    /// The form
    #[arg(long = "as", value_enum, value_name = "FORM")]
    form: Form,
    /// The instruction set: scalar, avx2 or avx512
    #[arg(long, value_parser = parse_isa, default_value = "scalar")]
    isa: Isa,
    /// The GPU architecture that PTX is made for
    #[arg(long, value_parser = parse_arch, default_value = "sm_90")]
    arch: Arch,
    /// A schedule as JSON, or a file with one [default: that of the kernels folder for this kernel and --isa]
    #[arg(long, value_name = "JSON|FILE")]
    schedule: Option<String>,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Form {
    /// The algorithm IR: what the kernel means
    Ir,
    /// The loop IR: the kernel placed on a machine by a schedule
    Loop,
    /// The generated code for a CPU, with the helpers it calls
    Rust,
    /// The generated code for a GPU, in CUDA C++
    Cuda,
    /// What NVRTC makes of the CUDA C++
    Ptx,
}

/// Writes the form.
pub fn run(args: &Args, folder: &Path, out: &mut impl Write) -> Done {
    let library = open(folder)?;
    if let Some(pair) = library.pairs()?.into_iter().find(|pair| pair.name() == args.kernel) {
        return pair_of_kernels(args, &library, &pair, out);
    }
    if let Some(spec) = library.recomputed_specs()?.into_iter().find(|spec| spec.name == args.kernel) {
        let rows = library.recompute(spec)?;
        let places = Places::new(&library.sources);
        let parts = [&rows.spec.consumer, &rows.spec.producer].map(String::as_str);
        return of_two(args, parts, (rows.schedule.threads, &rows.func), &rows.allowed(&places), &places, out);
    }
    let kernel = library.kernel(&args.kernel)?;
    if let Form::Ir = args.form {
        return Ok(write!(out, "{}", ir::print::kernel(kernel))?);
    }
    if let Form::Cuda | Form::Ptx = args.form {
        let lowered = lowered(&library, kernel, Target::Cuda, args.schedule.as_deref())?;
        let funcs = lowered.iter().map(|(schedule, func)| (schedule.threads, func));
        let places = Places::new(&library.sources);
        return gpu(args, funcs, &Allowed::of(kernel, &places), &places, out);
    }
    let target = Target::Cpu(args.isa);
    let lowered = lowered(&library, kernel, target, args.schedule.as_deref())?;
    let illegal = |reason: String| Failure::Failed(format!("this schedule is not legal on {target}: {reason}"));
    if let Form::Rust = args.form {
        let funcs: Vec<_> = lowered.into_iter().map(|(_, func)| func).collect();
        let module = cpu::module(&funcs, args.isa).map_err(|e| illegal(e.to_string()))?;
        let text = cpu::format(module).map_err(|e| Failure::Failed(format!("the generated code is no Rust: {e}")))?;
        return Ok(write!(out, "{text}")?);
    }
    for (_, func) in &lowered {
        write!(out, "{}", loop_ir::print::func(func))?;
    }
    Ok(())
}

/// Two kernels in one launch.
fn pair_of_kernels(args: &Args, library: &Library, pair: &Pair, out: &mut impl Write) -> Done {
    let fused = library.fuse(pair.clone())?;
    let places = Places::new(&library.sources);
    let parts = [&pair.producer, &pair.consumer].map(String::as_str);
    of_two(args, parts, (fused.threads, &fused.func), &fused.allowed(&places), &places, out)
}

/// A function of two kernels with its threads, which only CUDA has.
fn of_two(
    args: &Args,
    [first, then]: [&str; 2],
    func: (usize, &Func),
    allowed: &Allowed,
    places: &Places,
    out: &mut impl Write,
) -> Done {
    if let Form::Ir | Form::Rust = args.form {
        let only = "it is a launch of two kernels, with the forms loop, cuda and ptx";
        return Err(Failure::Failed(format!("{}: {only}; see {first} and {then}", args.kernel)));
    }
    if args.schedule.is_some() {
        return Err(Failure::Usage("--schedule is for a kernel by itself".into()));
    }
    if let Form::Loop = args.form {
        return Ok(write!(out, "{}", loop_ir::print::func(func.1))?);
    }
    gpu(args, [func].into_iter(), allowed, places, out)
}

/// The code for a GPU of functions with their threads; PTX is audited after it was written, since the text is of use even where it is
/// refused.
fn gpu<'f>(
    args: &Args,
    funcs: impl Iterator<Item = (usize, &'f Func)>,
    allowed: &Allowed,
    places: &Places,
    out: &mut impl Write,
) -> Done {
    let mut refused = Ok(());
    for (threads, func) in funcs {
        let source = cuda::emit(func, threads, places)
            .map_err(|e| Failure::Failed(format!("this schedule is not legal on CUDA: {e}")))?;
        if let Form::Cuda = args.form {
            write!(out, "{}", source.text())?;
            continue;
        }
        let compiled = Compiler::new().compile(&source.text(), &source.entry, &args.arch, &[])?;
        write!(out, "{}", compiled.ptx)?;
        out.flush()?;
        refused = refused.and(audited(&compiled, allowed, &args.arch));
    }
    refused
}
