//! Reads PTX and refuses what the contract forbids: results that are approximate, flushed, fused or rounded otherwise
//! than to nearest even, and sums of floats in an order that nobody has declared.
mod ptx;

use ptx::{Place, Statement};
use std::fmt;

/// What a kernel's source allows its code to have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Allowed {
    /// Fused multiply-add: the source says `fma` somewhere.
    pub fma: bool,
}

/// What is wrong with an instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// `.approx` or `.full`, or an operation that exists only so: `ex2`, `lg2`, `sin`, `cos`, `tanh`, `rsqrt`.
    Approximate,
    /// `.ftz`: subnormals become zero.
    Flushed,
    /// Float arithmetic without `.rn`, which may be fused or rounded otherwise.
    Rounding,
    /// Arithmetic on another type than binary32.
    Type,
    /// A float matrix product: its sums have no declared order.
    FloatMatrix,
    /// A float atomic or a float reduction between threads.
    FloatAtomic,
    /// `fma` in a kernel whose source has none.
    Contraction,
    /// A function that is not in this text.
    Unseen,
    /// No kernel in the text.
    Nothing,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Fault::Approximate => "an approximation",
            Fault::Flushed => "subnormals are flushed to zero",
            Fault::Rounding => "float arithmetic that is not rounded to nearest even by itself",
            Fault::Type => "arithmetic on floats that are not binary32",
            Fault::FloatMatrix => "a float matrix product, whose sums have no declared order",
            Fault::FloatAtomic => "a float atomic or reduction, whose order is not declared",
            Fault::Contraction => "fma in a kernel whose source has none",
            Fault::Unseen => "a function that is not in this PTX",
            Fault::Nothing => "the PTX has no kernel",
        })
    }
}

/// An instruction that is refused, and where it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// What is wrong.
    pub fault: Fault,
    /// The instruction.
    pub text: String,
    /// Its line in the PTX, from 1.
    pub line: usize,
    /// The file and line of the source, where the PTX says so.
    pub source: Option<(String, u32)>,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PTX line {}: {}: `{}`", self.line, self.fault, self.text)?;
        match &self.source {
            Some((file, line)) => write!(f, ", from {file}:{line}"),
            None => Ok(()),
        }
    }
}

/// Looks at every instruction; all that are refused come in the order of the text.
pub fn audit(ptx: &str, allowed: &Allowed) -> Result<(), Vec<Violation>> {
    let parsed = ptx::parse(ptx);
    let mut violations: Vec<Violation> = parsed
        .statements
        .iter()
        .filter_map(|statement| {
            let fault = fault(statement, allowed)?;
            let source =
                statement.place.and_then(|Place { file, line }| Some((parsed.files.get(&file)?.clone(), line)));
            Some(Violation { fault, text: statement.text.into(), line: statement.line, source })
        })
        .collect();
    if !parsed.statements.iter().any(|s| s.words().any(|word| word == ".entry")) {
        violations.push(Violation { fault: Fault::Nothing, text: String::new(), line: 1, source: None });
    }
    if violations.is_empty() { Ok(()) } else { Err(violations) }
}

fn fault(statement: &Statement, allowed: &Allowed) -> Option<Fault> {
    if statement.words().next() == Some(".extern") && statement.words().any(|word| word == ".func") {
        return Some(Fault::Unseen);
    }
    let opcode = statement.opcode();
    let mut parts = opcode.split('.');
    let operation = parts.next().unwrap_or_default();
    let parts: Vec<&str> = parts.collect();
    let has = |part: &str| parts.contains(&part);
    let floats = parts.iter().any(|part| is_float(part));
    if has("approx") || has("full") && operation == "div" {
        return Some(Fault::Approximate);
    }
    if has("ftz") {
        return Some(Fault::Flushed);
    }
    match operation {
        "ex2" | "lg2" | "sin" | "cos" | "tanh" | "rsqrt" => Some(Fault::Approximate),
        "mma" | "wmma" | "wgmma" | "tcgen05" => (floats && !has("ld") && !has("st")).then_some(Fault::FloatMatrix),
        "atom" | "red" | "redux" | "multimem" => floats.then_some(Fault::FloatAtomic),
        "add" | "sub" | "mul" | "mad" | "fma" | "div" | "sqrt" | "rcp" if floats => {
            arithmetic(operation, &parts, allowed)
        }
        "cvt" => conversion(&parts),
        "cp" => (floats && has("reduce")).then_some(Fault::FloatAtomic),
        _ => None,
    }
}

fn arithmetic(operation: &str, parts: &[&str], allowed: &Allowed) -> Option<Fault> {
    if !parts.iter().any(|part| ["f32", "f32x2"].contains(part))
        || parts.iter().any(|part| is_float(part) && !part.starts_with("f32"))
    {
        return Some(Fault::Type);
    }
    if !parts.contains(&"rn") || parts.contains(&"sat") {
        return Some(Fault::Rounding);
    }
    (["fma", "mad"].contains(&operation) && !allowed.fma).then_some(Fault::Contraction)
}

/// A number that becomes a float is rounded to nearest even, where it may be rounded at all.
fn conversion(parts: &[&str]) -> Option<Fault> {
    const ROUNDINGS: [&str; 12] = ["rn", "rz", "rm", "rp", "rna", "rs", "rni", "rzi", "rmi", "rpi", "sat", "satfinite"];
    let mut types = parts.iter().filter(|part| !ROUNDINGS.contains(part) && **part != "pack");
    let (to, from) = (types.next()?, types.next()?);
    if !is_float(to) {
        return None;
    }
    let half = |ty: &str| ["f16", "bf16", "f16x2", "bf16x2"].contains(&ty);
    // f16 and bf16 are a part of f32: nothing is rounded.
    let exact = *to == "f32" && half(from);
    let rounded = parts.contains(&"rn") && (*to == "f32" || half(to)) && *from != "f64";
    // The nearest integer, ties to even.
    let integral = parts.contains(&"rni") && (*to, *from) == ("f32", "f32");
    let odd = parts.iter().any(|part| ["sat", "satfinite", "relu"].contains(part));
    (odd || !(exact || rounded || integral)).then_some(Fault::Rounding)
}

/// The types of floats, alone or packed, and the kinds of matrix products that take them.
fn is_float(part: &str) -> bool {
    const STARTS: [&str; 9] = ["f16", "f32", "f64", "bf16", "tf32", "e4m3", "e5m2", "e2m", "e3m2"];
    const KINDS: [&str; 3] = ["kind::f", "kind::tf", "kind::mxf"];
    let ty = part.strip_prefix(':').unwrap_or(part);
    STARTS.iter().chain(&KINDS).any(|start| ty.starts_with(start)) || ty == "ue8m0"
}

#[cfg(test)]
mod tests;
