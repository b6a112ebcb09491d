//! `kgen emit`: a kernel in each of its forms.
use super::{Done, Failure, audited, open, parse_arch, parse_isa, schedule};
use kgen::audit::Allowed;
use kgen::cpu::{self, Isa};
use kgen::ir::Kernel;
use kgen::library::Library;
use kgen::nvrtc::{Arch, Compiler};
use kgen::places::Places;
use kgen::target::Target;
use kgen::{cuda, ir, loop_ir, lower};
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
    let schedule = schedule(&library, kernel, args.isa, args.schedule.as_deref())?;
    let illegal = |reason: String| Failure::Failed(format!("this schedule is not legal on {}: {reason}", args.isa));
    Target::Cpu(args.isa).legal(kernel, &schedule).map_err(illegal)?;
    let func = lower::lower(kernel, &schedule).map_err(|e| illegal(e.to_string()))?;
    let text = match args.form {
        Form::Rust => {
            let module = cpu::module(&[func], args.isa).map_err(|e| illegal(e.to_string()))?;
            cpu::format(module).map_err(|e| Failure::Failed(format!("the generated code is no Rust: {e}")))?
        }
        _ => loop_ir::print::func(&func),
    };
    Ok(write!(out, "{text}")?)
}

fn gpu(args: &Args, library: &Library, kernel: &Kernel, out: &mut impl Write) -> Done {
    let schedule = schedule(library, kernel, Target::Cuda, args.schedule.as_deref())?;
    let places = Places::new(&library.sources);
    let source = cuda::source(kernel, &schedule, &places)
        .map_err(|e| Failure::Failed(format!("this schedule is not legal on CUDA: {e}")))?;
    if let Form::Cuda = args.form {
        return Ok(write!(out, "{}", source.text)?);
    }
    let compiled = Compiler::new().compile(&source.text, &kernel.name, &args.arch, &[])?;
    write!(out, "{}", compiled.ptx)?;
    out.flush()?;
    // The text is of use even where it is refused.
    audited(&compiled, &Allowed::of(kernel, &places), &args.arch)
}
