//! `kgen emit`: a kernel in each of its forms.
use super::{Done, Failure, lowered, open, parse_isa};
use kgen::cpu::{self, Isa};
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
}

/// Writes the form.
pub fn run(args: &Args, folder: &Path, out: &mut impl Write) -> Done {
    let library = open(folder)?;
    let kernel = library.kernel(&args.kernel)?;
    if let Form::Ir = args.form {
        return Ok(write!(out, "{}", ir::print::kernel(kernel))?);
    }
    let target = if let Form::Cuda = args.form { Target::Cuda } else { Target::Cpu(args.isa) };
    let lowered = lowered(&library, kernel, target, args.schedule.as_deref())?;
    let illegal = |reason: String| Failure::Failed(format!("this schedule is not legal on {target}: {reason}"));
    if let Form::Rust = args.form {
        let funcs: Vec<_> = lowered.into_iter().map(|(_, func)| func).collect();
        let module = cpu::module(&funcs, args.isa).map_err(|e| illegal(e.to_string()))?;
        let text = cpu::format(module).map_err(|e| Failure::Failed(format!("the generated code is no Rust: {e}")))?;
        return Ok(write!(out, "{text}")?);
    }
    for (schedule, func) in &lowered {
        let text = match args.form {
            Form::Cuda => cuda::emit(func, schedule.threads).map_err(|e| illegal(e.to_string()))?.text,
            _ => loop_ir::print::func(func),
        };
        write!(out, "{text}")?;
    }
    Ok(())
}
