//! `kgen run`: a kernel on given data, by the interpreter that defines it or by the one of the loop IR.
use super::arguments::{Arguments, Named, check_requires};
use super::{Done, Failure, lowered, open, parse_isa};
use kgen::cpu::Isa;
use kgen::float;
use kgen::ir::{self, Buffer, Kernel, Scalar, interp};
use kgen::loop_ir::{self, Func};
use kgen::schedule::Schedule;
use kgen::target::Target;
use std::io::Write;
use std::path::Path;

const AFTER: &str = "\
Inputs:
  x=FILE          the bytes of a file: little-endian numbers, or blocks
  x=seed:N        random: floats in -1..1, integers in their declared range, indices below their bound
  x=values:1,2,3  numbers, row by row

Example:
  kgen run rmsnorm --int T=1 --int H=1 --int K=4 --float eps=1e-6 --input x=values:1,2,3,4 --input w=seed:1";

/// Arguments of `kgen run`.
#[derive(clap::Args)]
#[command(after_help = AFTER)]
pub struct Args {
    /// The kernel with its instance, as `matvec_q4k`
    kernel: String,
    /// A size or an integer parameter
    #[arg(long = "int", value_name = "NAME=N")]
    ints: Vec<Named>,
    /// A float parameter
    #[arg(long = "float", value_name = "NAME=X")]
    floats: Vec<Named>,
    /// The contents of a buffer that is read
    #[arg(long = "input", value_name = "NAME=DATA")]
    inputs: Vec<Named>,
    /// Where the bytes of a buffer that is written go; what is not named here is printed as numbers
    #[arg(long = "output", value_name = "NAME=FILE")]
    outputs: Vec<Named>,
    /// What runs it
    #[arg(long, value_enum, default_value = "interpreter")]
    via: Via,
    /// With `--via loop`: the instruction set whose schedule is used
    #[arg(long, value_parser = parse_isa, default_value = "scalar")]
    isa: Isa,
    /// With `--via loop`: a schedule as JSON, or a file with one
    #[arg(long, value_name = "JSON|FILE")]
    schedule: Option<String>,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Via {
    /// The interpreter of the algorithm IR, which defines the language
    Interpreter,
    /// The interpreter of the loop IR, after lowering by a schedule
    Loop,
}

/// Runs the kernel and writes what it computes.
pub fn run(args: &Args, folder: &Path, out: &mut impl Write) -> Done {
    let library = open(folder)?;
    let kernel = library.kernel(&args.kernel)?;
    let written: Vec<&Buffer> = kernel.buffers.iter().filter(|b| b.written).collect();
    if let Some(n) = args.outputs.iter().find(|n| !written.iter().any(|b| b.name == n.name)) {
        let names: Vec<&str> = written.iter().map(|b| b.name.as_str()).collect();
        return Err(Failure::Usage(format!(
            "--output: the kernel writes no `{}`; it writes {}",
            n.name,
            names.join(", ")
        )));
    }
    let mut given = Arguments::read(kernel, &library.sources, [&args.ints, &args.floats, &args.inputs])?;
    match args.via {
        Via::Interpreter => {
            interp::run(kernel, &given.ints, &given.floats, &mut given.buffers).map_err(Failure::Failed)?;
        }
        Via::Loop => {
            let target = Target::Cpu(args.isa);
            let all = lowered(&library, kernel, target, args.schedule.as_deref())?;
            let fits = |schedule: &Schedule| {
                let most = |v: &ir::Var| schedule.most.get(&kernel.vars[v.0 as usize].name);
                kernel.dims.iter().zip(&given.ints).all(|(v, n)| most(v).is_none_or(|most| n <= most))
            };
            let (_, func) = all.iter().find(|(schedule, _)| fits(schedule)).unwrap_or(&all[all.len() - 1]);
            run_loop(kernel, func, &mut given)?;
        }
    }
    for (buffer, data) in kernel.buffers.iter().zip(&given.buffers).filter(|(b, _)| b.written) {
        match args.outputs.iter().rev().find(|n| n.name == buffer.name) {
            Some(n) => std::fs::write(&n.value, data).map_err(|e| Failure::Failed(format!("{}: {e}", n.value)))?,
            None => show(kernel, buffer, &given.ints, data, out)?,
        }
    }
    Ok(())
}

fn run_loop(kernel: &Kernel, func: &Func, given: &mut Arguments) -> Done {
    check_requires(kernel, &given.ints)?;
    let work =
        func.work_items(&given.ints).ok_or_else(|| Failure::Failed("the number of work items is no i32".into()))?;
    func.with_layouts(&given.ints, &mut given.buffers, |buffers| {
        loop_ir::interp::run(func, &given.ints, &given.floats, buffers, 0, work)
    })
    .map_err(|fault| Failure::Failed(fault.to_string()))
}

/// One row of the last dimension a line; blocks as hexadecimal bytes, one block a line.
fn show(kernel: &Kernel, buffer: &Buffer, ints: &[i32], data: &[u8], out: &mut impl Write) -> Done {
    let extents: Result<Vec<i32>, String> = buffer.shape.iter().map(|e| interp::size(kernel, e, ints)).collect();
    let extents = extents.map_err(Failure::Failed)?;
    let shape: Vec<String> = extents.iter().map(i32::to_string).collect();
    writeln!(out, "# {}: {}[{}]", buffer.name, buffer.elem, shape.join(", "))?;
    let row = match buffer.scalar {
        Some(_) => extents.last().map_or(1, |n| *n as usize) * buffer.elem_bytes,
        None => buffer.elem_bytes,
    };
    for row in data.chunks(row.max(1)) {
        let texts: Vec<String> = match buffer.scalar {
            Some(scalar) => row.chunks_exact(scalar.bytes()).map(|b| number(scalar, b)).collect(),
            None => row.iter().map(|b| format!("{b:02x}")).collect(),
        };
        writeln!(out, "{}", texts.join(" "))?;
    }
    Ok(())
}

fn number(scalar: Scalar, b: &[u8]) -> String {
    match scalar {
        Scalar::F32 => format!("{:?}", f32::from_le_bytes([b[0], b[1], b[2], b[3]])),
        Scalar::I32 => i32::from_le_bytes([b[0], b[1], b[2], b[3]]).to_string(),
        Scalar::I16 => i16::from_le_bytes([b[0], b[1]]).to_string(),
        Scalar::U16 => u16::from_le_bytes([b[0], b[1]]).to_string(),
        Scalar::I8 => (b[0] as i8).to_string(),
        Scalar::U8 => b[0].to_string(),
        half => {
            let x = float::from_half(half, u16::from_le_bytes([b[0], b[1]]));
            x.map_or_else(String::new, |x| format!("{x:?}"))
        }
    }
}
