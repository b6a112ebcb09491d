//! The numbers and data that `kgen run` and `kgen inspect` are given, as a kernel's parameters.
use super::Failure;
use kgen::data::{Filler, bytes};
use kgen::diagnostic::Source;
use kgen::ir::{Buffer, Kernel, Scalar, Ty, Var, interp};
use kgen::random::Random;
use kgen::{float, text};
use std::str::FromStr;

/// Most bytes of all buffers: an interpreter is for small shapes.
const LIMIT: u64 = 1 << 30;

/// `NAME=VALUE` of the command line.
#[derive(Clone, Debug)]
pub struct Named {
    /// Of the parameter.
    pub name: String,
    /// What stands after the `=`.
    pub value: String,
}

impl FromStr for Named {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, value) = text.split_once('=').ok_or("write NAME=VALUE")?;
        Ok(Named { name: name.to_string(), value: value.to_string() })
    }
}

/// What a kernel is run on.
pub struct Arguments {
    /// Dims, then integer scalars.
    pub ints: Vec<i32>,
    /// Float scalars.
    pub floats: Vec<f32>,
    /// One for each buffer; what is written starts as zeros.
    pub buffers: Vec<Vec<u8>>,
}

impl Arguments {
    /// Reads and checks everything that was given.
    pub fn read(
        kernel: &Kernel,
        sources: &[Source],
        [ints, floats, inputs]: [&[Named]; 3],
    ) -> Result<Arguments, Failure> {
        let (whole, fractions) = parameters(kernel);
        known("--int", ints, whole.iter().map(|v| name(kernel, *v)))?;
        let ints = integers(kernel, "--int", ints)?;
        known("--float", floats, fractions.iter().map(|v| name(kernel, *v)))?;
        let floats = numbers(kernel, "--float", &fractions, floats)?;
        let sizes = sizes(kernel, &ints)?;
        known("--input", inputs, kernel.buffers.iter().filter(|b| !b.written).map(|b| b.name.as_str()))?;
        let filler = Filler::new(sources);
        let mut buffers = Vec::new();
        for (i, (buffer, size)) in kernel.buffers.iter().zip(sizes).enumerate() {
            if buffer.written {
                buffers.push(vec![0; size]);
                continue;
            }
            let missing = || {
                let example = format!("--input {}=seed:1", buffer.name);
                Failure::Usage(format!("input `{}` is missing: `{example}`, `=values:1,2,..` or a file", buffer.name))
            };
            let given = inputs.iter().rev().find(|n| n.name == buffer.name).ok_or_else(missing)?;
            let data = match given.value.split_once(':') {
                Some(("seed", seed)) => {
                    let seed = parse::<u64>("--input", &given.name, seed)?;
                    filler.random(kernel, i, &ints, &mut Random::new(seed)).map_err(Failure::Failed)?
                }
                Some(("values", list)) => values(buffer, list, size)?,
                _ => file(buffer, &given.value, size)?,
            };
            indices(kernel, buffer, &ints, &data)?;
            buffers.push(data);
        }
        Ok(Arguments { ints, floats, buffers })
    }
}

/// Reads the dims and the integer scalars. Other names may be given, too: they are for other kernels.
pub fn integers(kernel: &Kernel, option: &str, given: &[Named]) -> Result<Vec<i32>, Failure> {
    let (whole, _) = parameters(kernel);
    let ints = numbers(kernel, option, &whole, given)?;
    whole.iter().zip(&ints).try_for_each(|(v, n)| in_range(kernel, option, *v, *n))?;
    Ok(ints)
}

/// Refuses sizes that a launch would refuse.
pub fn check_requires(kernel: &Kernel, ints: &[i32]) -> Result<(), Failure> {
    match interp::unmet(kernel, ints).map_err(Failure::Failed)? {
        Some(condition) => Err(Failure::Failed(format!("{} requires {condition}", kernel.name))),
        None => Ok(()),
    }
}

/// Names of the dims and the integer scalars.
pub fn integer_names(kernel: &Kernel) -> Vec<&str> {
    parameters(kernel).0.into_iter().map(|v| name(kernel, v)).collect()
}

/// The integers among the dims and scalars, then the floats.
fn parameters(kernel: &Kernel) -> (Vec<Var>, Vec<Var>) {
    kernel.dims.iter().chain(&kernel.scalars).partition(|v| matches!(ty(kernel, **v), Ty::Int { .. }))
}

fn name(kernel: &Kernel, v: Var) -> &str {
    &kernel.vars[v.0 as usize].name
}

fn ty(kernel: &Kernel, v: Var) -> Ty {
    kernel.vars[v.0 as usize].ty
}

fn parse<T: FromStr<Err: std::fmt::Display>>(option: &str, name: &str, text: &str) -> Result<T, Failure> {
    text.trim().parse().map_err(|e| Failure::Usage(format!("{option} {name}: `{text}`: {e}")))
}

/// Refuses names that the kernel has no parameter for.
fn known<'a>(option: &str, given: &[Named], names: impl Iterator<Item = &'a str>) -> Result<(), Failure> {
    let names: Vec<&str> = names.collect();
    match given.iter().find(|n| !names.contains(&n.name.as_str())) {
        None => Ok(()),
        Some(n) => Err(Failure::Usage(format!("{option}: the kernel has no `{}`; it has {}", n.name, or_none(&names)))),
    }
}

fn or_none(names: &[&str]) -> String {
    if names.is_empty() { "none".into() } else { names.join(", ") }
}

fn numbers<T: FromStr<Err: std::fmt::Display>>(
    kernel: &Kernel,
    option: &str,
    vars: &[Var],
    given: &[Named],
) -> Result<Vec<T>, Failure> {
    let number = |v: &Var| match given.iter().rev().find(|n| n.name == name(kernel, *v)) {
        Some(n) => parse(option, &n.name, &n.value),
        None => {
            let what = text::ty(ty(kernel, *v));
            Err(Failure::Usage(format!("`{}` is missing: `{option} {0}=..`, {what}", name(kernel, *v))))
        }
    };
    vars.iter().map(number).collect()
}

fn in_range(kernel: &Kernel, option: &str, v: Var, n: i32) -> Result<(), Failure> {
    match ty(kernel, v) {
        Ty::Int { lo, hi } if !(lo..=hi).contains(&(n as i64)) => {
            let name = name(kernel, v);
            Err(Failure::Usage(format!("{option} {name}: {n} is not in {lo}..={hi}")))
        }
        _ => Ok(()),
    }
}

fn sizes(kernel: &Kernel, ints: &[i32]) -> Result<Vec<usize>, Failure> {
    let sizes = (0..kernel.buffers.len()).map(|i| bytes(kernel, i, ints)).collect::<Result<Vec<u64>, String>>();
    let sizes = sizes.map_err(Failure::Failed)?;
    let all = sizes.iter().fold(0u64, |sum, size| sum.saturating_add(*size));
    if all > LIMIT {
        return Err(Failure::Failed(format!("the buffers take {all} bytes; the interpreters take up to {LIMIT}")));
    }
    Ok(sizes.into_iter().map(|size| size as usize).collect())
}

fn file(buffer: &Buffer, path: &str, size: usize) -> Result<Vec<u8>, Failure> {
    let failed = |e: String| Failure::Failed(format!("input `{}`: {path}: {e}", buffer.name));
    let len = std::fs::metadata(path).map_err(|e| failed(e.to_string()))?.len();
    if len != size as u64 {
        return Err(failed(format!("{len} bytes, but {size} are needed")));
    }
    std::fs::read(path).map_err(|e| failed(e.to_string()))
}

fn values(buffer: &Buffer, list: &str, size: usize) -> Result<Vec<u8>, Failure> {
    let Some(scalar) = buffer.scalar else {
        let message = format!("input `{}` holds {} blocks: give `seed:N` or a file of bytes", buffer.name, buffer.elem);
        return Err(Failure::Usage(message));
    };
    let mut data = Vec::new();
    for text in list.split(',').filter(|t| !t.trim().is_empty()) {
        data.extend(encode(buffer, scalar, text)?);
    }
    if data.len() != size {
        let (given, wanted) = (data.len() / scalar.bytes(), size / scalar.bytes());
        return Err(Failure::Usage(format!("input `{}`: {given} values, but {wanted} are needed", buffer.name)));
    }
    Ok(data)
}

fn encode(buffer: &Buffer, scalar: Scalar, text: &str) -> Result<Vec<u8>, Failure> {
    let Some((lo, hi)) = scalar.range() else {
        let x: f32 = parse("--input", &buffer.name, text)?;
        let half = float::to_half(scalar, x).map(|h| h.to_le_bytes().to_vec());
        return Ok(half.unwrap_or_else(|| x.to_le_bytes().to_vec()));
    };
    let n: i64 = parse("--input", &buffer.name, text)?;
    if !(lo..=hi).contains(&n) {
        return Err(Failure::Usage(format!("input `{}`: {n} is not in {lo}..={hi}", buffer.name)));
    }
    Ok(n.to_le_bytes()[..scalar.bytes()].to_vec())
}

/// Indices lie below their bound, as every launch checks.
fn indices(kernel: &Kernel, buffer: &Buffer, ints: &[i32], data: &[u8]) -> Result<(), Failure> {
    let Some(below) = &buffer.index_below else { return Ok(()) };
    let below = interp::size(kernel, below, ints).map_err(Failure::Failed)?;
    let index = |b: &[u8]| i32::from_le_bytes([b[0], b[1], b[2], b[3]]);
    match data.chunks_exact(4).map(index).find(|i| !(0..below).contains(i)) {
        None => Ok(()),
        Some(i) => Err(Failure::Failed(format!("input `{}`: index {i} is not in 0..{below}", buffer.name))),
    }
}
