//! The instructions of a kernel's PTX by what they do. They are counted as they stand in the text, not as often as they run.
use crate::ptx::{self, Statement};
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt;

/// What instructions do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)] // the names say it
pub enum Class {
    /// Arithmetic on floats.
    Float,
    /// Arithmetic on integers; shifts and logic are [`Class::Bits`].
    Integer,
    /// `dp4a` and `dp2a`.
    Dot,
    /// Products of matrices.
    Matrix,
    Bits,
    Conversion,
    /// Comparisons and selections.
    Compare,
    Move,
    /// Between the threads of a warp.
    Shuffle,
    /// Barriers, fences and waits.
    Barrier,
    /// What asks for memory early.
    Prefetch,
    Atomic,
    /// Calls and returns, too.
    Branch,
    Other,
}

impl Class {
    /// Its name for people.
    pub fn name(self) -> &'static str {
        match self {
            Class::Float => "float",
            Class::Integer => "integer",
            Class::Dot => "dots",
            Class::Matrix => "matrix products",
            Class::Bits => "shifts and logic",
            Class::Conversion => "conversions",
            Class::Compare => "comparisons and selections",
            Class::Move => "moves",
            Class::Shuffle => "shuffles",
            Class::Barrier => "barriers",
            Class::Prefetch => "prefetches",
            Class::Atomic => "atomics",
            Class::Branch => "branches",
            Class::Other => "other",
        }
    }
}

/// The way of an access to memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)]
pub enum Way {
    Load,
    Store,
    /// From global to shared memory, while the thread goes on.
    Copy,
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Way::Load => "load",
            Way::Store => "store",
            Way::Copy => "copy",
        })
    }
}

/// A kind of access to memory.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Access {
    /// What it does.
    pub way: Way,
    /// As PTX names it: `global`, `shared`, `local`, `param`, `const`; `generic` where it names none.
    pub space: String,
    /// Bytes a thread; none where the text does not say.
    pub bytes: Option<u64>,
}

/// The instructions of a text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mix {
    /// What is no access to memory.
    pub classes: BTreeMap<Class, u64>,
    /// Accesses to memory.
    pub accesses: BTreeMap<Access, u64>,
    /// All of them.
    pub all: u64,
}

impl Mix {
    /// Of a PTX text with one kernel.
    pub fn of(ptx: &str) -> Mix {
        let mut mix = Mix::default();
        for statement in ptx::parse(ptx).statements {
            // All else are directives, closing brackets, and operands in braces, as `tmp, %rs1`.
            if !statement.text.starts_with(|c: char| c.is_ascii_lowercase()) || statement.opcode().ends_with(',') {
                continue;
            }
            mix.all += 1;
            match access(&statement) {
                Some(access) => *mix.accesses.entry(access).or_default() += 1,
                None => *mix.classes.entry(class(statement.opcode())).or_default() += 1,
            }
        }
        mix
    }
}

const SPACES: [&str; 5] = ["global", "shared", "local", "param", "const"];

fn access(statement: &Statement) -> Option<Access> {
    let mut parts = statement.opcode().split('.');
    let operation = parts.next()?;
    let parts: Vec<&str> = parts.collect();
    let way = match operation {
        "ld" | "ldu" => Way::Load,
        "st" => Way::Store,
        "cp" if parts.starts_with(&["async"]) && parts.iter().any(|part| is_space(part, "shared")) => Way::Copy,
        _ => return None,
    };
    if way == Way::Copy {
        // Its operands: the target, the source, the bytes.
        let bytes = statement.text.split(',').nth(2).and_then(|text| text.trim().parse().ok());
        return Some(Access { way, space: "global to shared".into(), bytes });
    }
    let space = SPACES.into_iter().find(|space| parts.iter().any(|part| is_space(part, space)));
    let vector = parts.iter().find_map(|part| part.strip_prefix('v')?.parse::<u64>().ok()).unwrap_or(1);
    let bytes = parts.last().and_then(|ty| bits(ty)).map(|bits| bits / 8 * vector);
    Some(Access { way, space: space.unwrap_or("generic").into(), bytes })
}

/// Whether a part of an opcode is a space, as `shared` and `shared::cta`.
fn is_space(part: &str, space: &str) -> bool {
    part.split("::").next() == Some(space)
}

/// Bits of a type, as 32 of `f32`.
fn bits(ty: &str) -> Option<u64> {
    ty.strip_prefix(['b', 'u', 's', 'f'])?.parse().ok()
}

fn class(opcode: &str) -> Class {
    let mut parts = opcode.split('.');
    let operation = parts.next().unwrap_or_default();
    let parts: Vec<&str> = parts.collect();
    match operation {
        "dp4a" | "dp2a" => Class::Dot,
        "mma" | "wmma" | "wgmma" | "tcgen05" | "ldmatrix" | "stmatrix" => Class::Matrix,
        "add" | "sub" | "mul" | "mad" | "fma" | "div" | "rem" | "min" | "max" | "abs" | "neg" | "sqrt" | "rcp"
        | "sad" | "mul24" | "mad24" | "addc" | "subc" | "madc" | "copysign" | "ex2" | "lg2" | "sin" | "cos"
        | "rsqrt" | "tanh" => {
            let float = parts.iter().any(|part| ["f16", "f32", "f64", "bf16"].iter().any(|ty| part.starts_with(ty)));
            if float { Class::Float } else { Class::Integer }
        }
        "and" | "or" | "xor" | "not" | "cnot" | "lop3" | "shl" | "shr" | "shf" | "bfi" | "bfe" | "bfind" | "brev"
        | "clz" | "popc" | "prmt" | "fns" | "szext" | "bmsk" => Class::Bits,
        "cvt" => Class::Conversion,
        "set" | "setp" | "selp" | "slct" | "testp" => Class::Compare,
        "mov" | "cvta" | "isspacep" | "mapa" => Class::Move,
        "shfl" | "redux" | "vote" | "match" | "activemask" | "elect" => Class::Shuffle,
        "bar" | "barrier" | "membar" | "fence" | "mbarrier" | "cp" | "griddepcontrol" => Class::Barrier,
        "prefetch" | "prefetchu" => Class::Prefetch,
        "atom" | "red" => Class::Atomic,
        "bra" | "brx" | "call" | "ret" | "exit" | "trap" => Class::Branch,
        _ => Class::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PTX: &str = "\
.version 9.0
.target sm_90
.extern .shared .align 16 .b8 shared[];
.visible .entry k(
\t.param .u64 k_param_0
)
.maxntid 128, 1, 1
{
\t.reg .b32 %r<9>;
\tld.param.u64 %rd1, [k_param_0];
\tcvta.to.global.u64 %rd2, %rd1;
\tld.global.nc.v4.u32 {%r1, %r2, %r3, %r4}, [%rd2];
\tld.global.v4.u32 {%r1, %r2, %r3, %r4}, [%rd2];
\tld.global.u16 %rs1, [%rd2];
\t@%p1 ld.shared.f32 %f1, [%r1];
\tld.shared::cta.v2.f32 {%f1, %f2}, [%r1];
\tld.u8 %rs1, [%rd1];
$L__BB0_1: // a label, and ld.global.u8 in a comment
\tdp4a.u32.s32 %r1, %r2, %r3, %r4;
\tmad.lo.s32 %r1, %r2, %r3, %r4; add.s64 %rd1, %rd1, 16;
\tfma.rn.f32 %f1, %f2, %f3, %f4;
\tmin.f32 %f1, %f2, %f3;
\tand.b32 %r1, %r1, 252645135;
\tcvt.rn.f32.s32 %f1, %r1;
\tsetp.lt.s32 %p1, %r1, %r2;
\tshfl.sync.bfly.b32 %r1|%p2, %r2, 1, 31, -1;
\tbar.sync 0;
\tcp.async.cg.shared.global [%r1], [%rd1], 16;
\tcp.async.wait_all ;
\tatom.acq_rel.gpu.global.inc.u32 %r1, [%rd1], 3;
\tst.global.v4.f32 [%rd2], {%f1, %f2, %f3, %f4};
\tst.local.b64 [%rd2], %rd1;
\tmma.sync.aligned.m16n8k32.row.col.s32.s8.s8.s32 {%r1, %r2}, {%r3}, {%r4}, {%r5, %r6};
\tnanosleep.u32 20;
\t{ .reg .b16 tmp; mov.b32 {tmp, %rs16}, %r379; }
@%p1 bra $L__BB0_1;
\tret;
}
\t.section\t.debug_str
{
$L__info_string0:
.b8 107
}
";

    #[test]
    fn every_instruction_has_its_class() {
        let mix = Mix::of(PTX);
        let accesses: Vec<(String, u64)> = mix
            .accesses
            .iter()
            .map(|(a, n)| (format!("{} {} {}", a.way, a.space, a.bytes.unwrap_or_default()), *n))
            .collect();
        let expected = [
            ("load generic 1", 1),
            ("load global 2", 1),
            ("load global 16", 2),
            ("load param 8", 1),
            ("load shared 4", 1),
            ("load shared 8", 1),
            ("store global 16", 1),
            ("store local 8", 1),
            ("copy global to shared 16", 1),
        ];
        assert_eq!(accesses, expected.map(|(name, n)| (name.to_string(), n)));
        let expected = [
            (Class::Float, 2),
            (Class::Integer, 2),
            (Class::Dot, 1),
            (Class::Matrix, 1),
            (Class::Bits, 1),
            (Class::Conversion, 1),
            (Class::Compare, 1),
            (Class::Move, 2),
            (Class::Shuffle, 1),
            (Class::Barrier, 2),
            (Class::Atomic, 1),
            (Class::Branch, 2),
            (Class::Other, 1),
        ];
        assert_eq!(mix.classes, BTreeMap::from(expected));
        assert_eq!(mix.all, 10 + 18);
        assert_eq!(Mix::of(""), Mix::default());
    }
}
