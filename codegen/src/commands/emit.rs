//! `kgen emit`: a kernel in each of its forms.
use super::{Done, Failure, audited, lowered, open, parse_arch, parse_isa};
use kgen::audit::Allowed;
use kgen::cpu::{self, Isa};
use kgen::ir::Kernel;
use kgen::library::Library;
use kgen::nvrtc::{Arch, Compiler};
use kgen::places::Places;
use kgen::target::Target;
use kgen::{cuda, ir, loop_ir};
use std::io::Write;
use std::path::Path;

/// Arguments of `kgen emit`.
#[derive(clap::Args)]
pub struct Args {
    /// The kernel with its instance, as `matvec_q4k`
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
    let kernel = library.kernel(&args.kernel)?;
    if let Form::Ir = args.form {
        return Ok(write!(out, "{}", ir::print::kernel(kernel))?);
    }
    if let Form::Cuda | Form::Ptx = args.form {
        return gpu(args, &library, kernel, out);
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

/// The code for a GPU under each schedule; PTX is audited after it was written, since the text is of use even where it is
/// refused.
fn gpu(args: &Args, library: &Library, kernel: &Kernel, out: &mut impl Write) -> Done {
    let places = Places::new(&library.sources);
    let mut refused = Ok(());
    for (schedule, func) in lowered(library, kernel, Target::Cuda, args.schedule.as_deref())? {
        let source = cuda::emit(&func, schedule.threads, &places)
            .map_err(|e| Failure::Failed(format!("this schedule is not legal on CUDA: {e}")))?;
        if let Form::Cuda = args.form {
            write!(out, "{}", source.text)?;
            continue;
        }
        let compiled = Compiler::new().compile(&source.text, &source.entry, &args.arch, &[])?;
        write!(out, "{}", compiled.ptx)?;
        out.flush()?;
        refused = refused.and(audited(&compiled, &Allowed::of(kernel, &places), &args.arch));
    }
    refused
}
