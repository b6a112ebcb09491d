//! Data to run a kernel on: buffers as large as its shapes say, of numbers that it accepts.
use crate::diagnostic::Source;
use crate::ir::{Kernel, Scalar, interp};
use crate::random::Random;
use crate::syntax::{self, Program};
use half::{bf16, f16};

/// Bytes of a buffer for these dims and integer scalars; an error where its shape is not computable or negative.
pub fn bytes(kernel: &Kernel, buffer: usize, ints: &[i32]) -> Result<u64, String> {
    let buffer = &kernel.buffers[buffer];
    let mut bytes = buffer.elem_bytes as u64;
    for extent in &buffer.shape {
        let extent = interp::size(kernel, extent, ints)?;
        let extent = u64::try_from(extent).map_err(|_| format!("`{}` has the extent {extent}", buffer.name))?;
        bytes = bytes.saturating_mul(extent);
    }
    Ok(bytes)
}

/// Whether what a kernel has written is what it must be, byte for byte; else the first number that differs.
pub fn compare(kernel: &Kernel, expected: &[Vec<u8>], given: &[Vec<u8>]) -> Result<(), String> {
    let written = kernel.buffers.iter().zip(expected).zip(given).filter(|((buffer, _), _)| buffer.written);
    for ((buffer, expected), given) in written {
        if expected.len() != given.len() {
            return Err(format!("`{}` has {} bytes, must have {}", buffer.name, given.len(), expected.len()));
        }
        let Some(at) = expected.iter().zip(given).position(|(x, y)| x != y) else { continue };
        let size = buffer.scalar.map_or(1, Scalar::bytes);
        let number = at / size * size..at / size * size + size;
        let bits = |bytes: &[u8]| bytes[number.clone()].iter().rev().map(|b| format!("{b:02x}")).collect::<String>();
        return Err(format!(
            "number {} of `{}` ({}) is 0x{}, must be 0x{}",
            at / size,
            buffer.name,
            buffer.elem,
            bits(given),
            bits(expected)
        ));
    }
    Ok(())
}

/// Makes random buffers for the kernels of some sources.
pub struct Filler {
    program: Program,
}

/// Numbers of one kind in an element, one after the other.
struct Run {
    offset: usize,
    count: usize,
    scalar: Scalar,
    /// Of integers.
    range: (i64, i64),
}

impl Filler {
    /// The formats and declared ranges are those of these sources.
    pub fn new(sources: &[Source]) -> Filler {
        Filler { program: syntax::parse(sources).0 }
    }

    /// What is read from `buffer`: floats in -1..1, integers in their declared ranges, indices below their bound.
    pub fn random(&self, kernel: &Kernel, buffer: usize, ints: &[i32], random: &mut Random) -> Result<Vec<u8>, String> {
        let len = usize::try_from(bytes(kernel, buffer, ints)?).map_err(|e| e.to_string())?;
        let runs = self.runs(kernel, buffer, ints)?;
        let mut out = vec![0; len];
        for element in out.chunks_exact_mut(kernel.buffers[buffer].elem_bytes.max(1)) {
            for run in &runs {
                let numbers = &mut element[run.offset..][..run.count * run.scalar.bytes()];
                for number in numbers.chunks_exact_mut(run.scalar.bytes()) {
                    number.copy_from_slice(&encode(run, random)[..run.scalar.bytes()]);
                }
            }
        }
        Ok(out)
    }

    fn runs(&self, kernel: &Kernel, buffer: usize, ints: &[i32]) -> Result<Vec<Run>, String> {
        let info = &kernel.buffers[buffer];
        let Some(scalar) = info.scalar else {
            let format = self.program.formats.get(&info.elem).ok_or_else(|| format!("no format `{}`", info.elem))?;
            let run = |f: &crate::ir::Field| Run {
                offset: f.offset,
                count: f.len.unwrap_or(1),
                scalar: f.scalar,
                range: f.range.or(f.scalar.range()).unwrap_or_default(),
            };
            return Ok(format.fields.iter().map(run).collect());
        };
        let range = match &info.index_below {
            Some(below) => (0, interp::size(kernel, below, ints)? as i64 - 1),
            None => self.declared(kernel, &info.name).or(scalar.range()).unwrap_or_default(),
        };
        if range.1 < range.0 {
            return Err(format!("`{}` holds indices below {}: there are none", info.name, range.1 + 1));
        }
        Ok(vec![Run { offset: 0, count: 1, scalar, range }])
    }

    /// The range in `&Ten<i8<lo, hi>, ..>`.
    fn declared(&self, kernel: &Kernel, name: &str) -> Option<(i64, i64)> {
        let here = |k: &&syntax::KernelItem| syntax::span(k.file, &k.item.sig.ident) == kernel.span;
        let inputs = &self.program.kernels.iter().find(here)?.item.sig.inputs;
        let ty = inputs.iter().find_map(|input| match input {
            syn::FnArg::Typed(p) if matches!(&*p.pat, syn::Pat::Ident(i) if i.ident == name) => Some(&*p.ty),
            _ => None,
        })?;
        let syn::Type::Reference(reference) = ty else { return None };
        let syn::Type::Path(tensor) = &*reference.elem else { return None };
        let syn::PathArguments::AngleBracketed(angle) = &tensor.path.segments.last()?.arguments else { return None };
        let syn::GenericArgument::Type(syn::Type::Path(elem)) = angle.args.first()? else { return None };
        syntax::range_arguments(&elem.path.segments.last()?.arguments)
    }
}

fn encode(run: &Run, random: &mut Random) -> [u8; 4] {
    let mut bytes = [0; 4];
    match run.scalar {
        Scalar::F32 => bytes = random.float().to_le_bytes(),
        Scalar::F16 => bytes[..2].copy_from_slice(&f16::from_f32(random.float()).to_le_bytes()),
        Scalar::Bf16 => bytes[..2].copy_from_slice(&bf16::from_f32(random.float()).to_le_bytes()),
        // The low bytes of an integer are the narrower integer.
        _ => bytes = (random.int(run.range.0, run.range.1) as i32).to_le_bytes(),
    }
    bytes
}
