//! Reads PTX and refuses what the contract forbids: results that are approximate, flushed, fused or rounded otherwise
//! than to nearest even, sums of floats in an order that nobody has declared, and every float operation that comes from a line
//! of the source which has none of its kind.
mod allowed;

pub use allowed::{Allowed, NotAllowed, Operation};

use crate::cuda;
use crate::places::Line;
use crate::ptx::{self, Parsed, Statement};
use std::fmt;

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
    /// `fma` from a line whose source has none.
    Contraction,
    /// Another float operation from a line whose source has none of its kind.
    Foreign,
    /// A float operation from nowhere in the source.
    Nowhere,
    /// A dot of bytes that the compiler has found. NVRTC 13.0 makes `dp4a` of bytes that are shifted and masked first, and loses
    /// the shift and the mask.
    FoundDot,
    /// Memory that another launch may still write, touched before that launch is waited for.
    Early,
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
            Fault::Contraction => "fma where the source has none",
            Fault::Foreign => "a float operation that its line of the source does not have",
            Fault::Nowhere => "a float operation that comes from no line of the source",
            Fault::FoundDot => "a dot of bytes that the compiler has made of other operations, which it may get wrong",
            Fault::Early => "memory is touched before the launch that may still write it is waited for",
            Fault::Unseen => "a function that is not in this PTX",
            Fault::Nothing => "the PTX has no kernel",
        })
    }
}

/// An instruction that is refused, and where it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Name of the kernel; empty where there is none.
    pub kernel: String,
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
        write!(f, "{}", self.kernel)?;
        if let Some((file, line)) = &self.source {
            write!(f, " at {file}:{line}")?;
        }
        write!(f, ": {}: `{}` (line {} of the PTX)", self.fault, self.text, self.line)
    }
}

/// Looks at every instruction; all that are refused come in the order of the text.
pub fn audit(ptx: &str, allowed: &Allowed) -> Result<(), Vec<Violation>> {
    let parsed = ptx::parse(ptx);
    let source = Source { allowed, moves: moves(ptx) || allowed.moves() };
    let kernel = parsed.statements.iter().find_map(entry).unwrap_or_default();
    let violation = |fault, text: &str, line, lines: Vec<Line>| {
        // The outermost is what the kernel's author wrote.
        let source = lines.last().map(|line| (line.file.to_string(), line.number));
        Violation { kernel: kernel.into(), fault, text: text.into(), line, source }
    };
    let mut violations: Vec<Violation> = parsed
        .statements
        .iter()
        .filter_map(|statement| {
            let lines = lines(&parsed, statement);
            let fault = fault(statement, &lines, &source)?;
            Some(violation(fault, statement.text, statement.line, lines))
        })
        .collect();
    violations.extend(early(&parsed).map(|s| violation(Fault::Early, s.text, s.line, lines(&parsed, s))));
    if kernel.is_empty() {
        violations.push(violation(Fault::Nothing, "", 1, Vec::new()));
    }
    if violations.is_empty() { Ok(()) } else { Err(violations) }
}

/// What touches device memory between the beginning of a kernel and its wait for the launch before. Of what comes before a wait,
/// compilers take loads of constant memory to be free to move. A kernel without a wait is for launches that start when all before
/// it is done.
fn early<'p>(parsed: &'p Parsed) -> impl Iterator<Item = &'p Statement<'p>> {
    let (mut found, mut since) = (Vec::new(), Vec::new());
    let mut waited = false;
    for statement in &parsed.statements {
        let mut parts = statement.opcode().split('.');
        let operation = parts.next().unwrap_or_default();
        match operation {
            _ if entry(statement).is_some() => (waited, since) = (false, Vec::new()),
            "griddepcontrol" if statement.opcode().ends_with(".wait") && !waited => {
                waited = true;
                found.append(&mut since);
            }
            "ld" | "st" | "atom" | "red" | "cp" if parts.any(|part| part == "global") => since.push(statement),
            _ => {}
        }
    }
    found.into_iter()
}

/// The name of the kernel that a statement declares.
fn entry<'p>(statement: &Statement<'p>) -> Option<&'p str> {
    let name = statement.words().skip_while(|word| *word != ".entry").nth(1)?;
    name.split('(').next()
}

/// The lines that an instruction comes from: that of the innermost function first, then those where functions are inlined.
fn lines<'a>(parsed: &'a Parsed, statement: &Statement) -> Vec<Line<'a>> {
    let name = |file| parsed.files.get(&file)?.strip_prefix(cuda::ROOT);
    statement.places.iter().filter_map(|place| Some(Line { file: name(place.file)?, number: place.line })).collect()
}

fn fault(statement: &Statement, lines: &[Line], source: &Source) -> Option<Fault> {
    if statement.words().next() == Some(".extern") && statement.words().any(|word| word == ".func") {
        return Some(Fault::Unseen);
    }
    let opcode = statement.opcode();
    let mut parts = opcode.split('.');
    let operation = parts.next().unwrap_or_default();
    let parts: Vec<&str> = parts.collect();
    if ["dp4a", "dp2a"].contains(&operation) && !statement.assembly {
        return Some(Fault::FoundDot);
    }
    forbidden(operation, &parts).or_else(|| source.refuses(kind(operation, &parts)?, lines))
}

/// What no source can ask for.
fn forbidden(operation: &str, parts: &[&str]) -> Option<Fault> {
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
        "add" | "sub" | "mul" | "mad" | "fma" | "div" | "sqrt" | "rcp" if floats => arithmetic(parts),
        "cvt" => conversion(parts),
        "cp" => (floats && has("reduce")).then_some(Fault::FloatAtomic),
        _ => None,
    }
}

/// The float operation that an instruction is.
fn kind(operation: &str, parts: &[&str]) -> Option<Operation> {
    if operation == "cvt" {
        let (to, from) = conversion_types(parts)?;
        let half = |ty: &str| is_float(ty) && ty != "f32";
        return Some(match (to, from) {
            ("f32", "f32") => Operation::Rint,
            ("f32", from) if half(from) => Operation::FromHalf,
            (to, "f32") if half(to) => Operation::ToHalf,
            (to, _) if is_float(to) => Operation::FromInt,
            (_, from) if is_float(from) => Operation::ToInt,
            _ => return None,
        });
    }
    let operation = match operation {
        "add" | "sub" => Operation::Add,
        "mul" => Operation::Mul,
        "fma" | "mad" => Operation::Fma,
        "div" | "rcp" => Operation::Div,
        "sqrt" => Operation::Sqrt,
        _ => return None,
    };
    parts.iter().any(|part| is_float(part)).then_some(operation)
}

/// What instructions are compared with.
struct Source<'a> {
    allowed: &'a Allowed,
    /// Whether an instruction that was moved out of a loop or a branch may have another line.
    moves: bool,
}

impl Source<'_> {
    /// An operation belongs to the innermost line of a file that is known; what NVIDIA's headers do is done by their caller.
    fn refuses(&self, operation: Operation, lines: &[Line]) -> Option<Fault> {
        let line = lines.iter().find(|line| line.number > 0 && self.allowed.knows(line.file));
        let found = line.is_some_and(|line| self.allowed.has(*line, operation));
        if found || (self.moves || lines.iter().any(is_lost)) && self.moved(operation, line) {
            return None;
        }
        Some(match line {
            None => Fault::Nowhere,
            Some(_) if operation == Operation::Fma => Fault::Contraction,
            Some(_) => Fault::Foreign,
        })
    }

    /// Whether an operation of another line of the kernel may have come here. A contraction has the line of its addition.
    fn moved(&self, operation: Operation, line: Option<&Line>) -> bool {
        let contracted = operation == Operation::Fma && line.is_some_and(|l| self.allowed.has(*l, Operation::Add));
        self.allowed.anywhere(operation) && !contracted
    }
}

/// Whether an instruction has lost its line, as any compiler does: one that stands for several lines is at line 0, and one
/// that was moved to the head of the function is in the generated file, where nothing else computes.
fn is_lost(line: &Line) -> bool {
    line.number == 0 || line.file.ends_with(".cu") && line.file != cuda::PRELUDE_FILE
}

/// The last compiler that gives nothing another line than its own. Later ones, which NVRTC has for `sm_100` and newer, give it
/// the line of what stands before it, or line 0.
const KEEPS_LINES: u32 = 7;

fn moves(ptx: &str) -> bool {
    let version = ptx.lines().find_map(|line| line.strip_prefix("// Based on NVVM "));
    let major = version.and_then(|version| version.split('.').next()?.trim().parse::<u32>().ok());
    major.is_some_and(|major| major > KEEPS_LINES)
}

fn arithmetic(parts: &[&str]) -> Option<Fault> {
    if !parts.iter().any(|part| ["f32", "f32x2"].contains(part))
        || parts.iter().any(|part| is_float(part) && !part.starts_with("f32"))
    {
        return Some(Fault::Type);
    }
    (!parts.contains(&"rn") || parts.contains(&"sat")).then_some(Fault::Rounding)
}

/// The types of a conversion: to, from.
fn conversion_types<'p>(parts: &[&'p str]) -> Option<(&'p str, &'p str)> {
    const ROUNDINGS: [&str; 12] = ["rn", "rz", "rm", "rp", "rna", "rs", "rni", "rzi", "rmi", "rpi", "sat", "satfinite"];
    let mut types = parts.iter().filter(|part| !ROUNDINGS.contains(part) && **part != "pack");
    Some((types.next()?, types.next()?))
}

/// A number that becomes a float is rounded to nearest even, where it may be rounded at all.
fn conversion(parts: &[&str]) -> Option<Fault> {
    let (to, from) = conversion_types(parts)?;
    if !is_float(to) {
        return None;
    }
    let half = |ty: &str| ["f16", "bf16", "f16x2", "bf16x2"].contains(&ty);
    // f16 and bf16 are a part of f32: nothing is rounded.
    let exact = to == "f32" && half(from);
    let rounded = parts.contains(&"rn") && (to == "f32" || half(to)) && from != "f64";
    // The nearest integer, ties to even.
    let integral = parts.contains(&"rni") && (to, from) == ("f32", "f32");
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
