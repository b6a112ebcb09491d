//! Every row of the table: what random kernels must reach.
use kgen::instructions::INSTRUCTIONS;
use kgen::ir::{BinOp, Scalar};

const SCALARS: [Scalar; 8] =
    [Scalar::F32, Scalar::F16, Scalar::Bf16, Scalar::I32, Scalar::I16, Scalar::U16, Scalar::I8, Scalar::U8];

const PLAIN: &[&str] = &[
    "ir let",
    "ir merge",
    "ir par",
    "ir int",
    "ir float",
    "ir bool",
    "ir var",
    "ir at",
    "ir fma",
    "ir select f32",
    "ir select int",
    "ir map",
    "ir reduce isum",
    "ir reduce max",
    "ir reduce argmax",
    "ir sum chain",
    "ir sum lanes",
    "ir sum segments",
    "ir block",
    "ir index",
    "ir neg f32",
    "ir neg int",
    "ir abs f32",
    "ir abs int",
    "ir sqrt f32",
    "ir rint f32",
    "ir to_int f32",
    "ir to_f32 int",
    "ir from_half half",
    "ir to_half f32",
    "ir bits f32",
    "ir from_bits int",
    "ir not bool",
    "loop let",
    "loop reg",
    "loop set",
    "loop for serial",
    "loop for rolled",
    "loop for work",
    "loop for team",
    "loop for simd",
    "loop if",
    "loop else",
    "loop arrive",
    "loop arrive as a team",
    "loop barrier",
    "loop copy",
    "loop await",
    "loop array of the team",
    "loop map of the team",
    "loop array f32",
    "loop array f16",
    "loop array bf16",
    "loop array i32",
    "loop int",
    "loop long",
    "loop float",
    "loop bool",
    "loop var",
    "loop widen",
    "loop splat4",
    "loop pair",
    "loop bytes",
    "loop load apart",
    "loop store apart",
    "loop store by some lanes",
    "loop fma",
    "loop select",
    "loop shuffle",
    "loop first",
    "loop pack u8",
    "loop pack i8",
    "loop pack i16",
    "loop load uniform",
    "loop load varying",
    "loop load local",
    "loop load shared",
    "loop load scratch",
    "loop store uniform",
    "loop store varying",
    "loop store local",
    "loop store shared",
    "loop store scratch",
    "loop neg f32",
    "loop neg i32",
    "loop abs f32",
    "loop abs i32",
    "loop sqrt f32",
    "loop rint f32",
    "loop to_int f32",
    "loop to_f32 i32",
    "loop bits f32",
    "loop from_bits i32",
    "loop not bool",
];

/// The names of all rows.
pub fn wanted() -> Vec<String> {
    use BinOp::*;
    let float = [Add, Sub, Mul, Div, Min, Max, Lt, Le, Eq, Ne];
    let integer = [Add, Sub, Mul, Div, Rem, Min, Max, And, Or, Xor, Shl, Shr, Lt, Le, Eq, Ne];
    let truth = [And, Or, Xor, Eq, Ne];
    let pack = [And, Or, Xor, Add, Sub, Shl, Shr];
    let mut rows: Vec<String> = PLAIN.iter().map(|row| row.to_string()).collect();
    let mut binary = |what: &str, ty: &str, ops: &[BinOp]| {
        rows.extend(ops.iter().map(|op| format!("{what} {op:?} {ty}").to_lowercase()));
    };
    binary("ir", "f32", &float);
    binary("ir", "int", &integer);
    binary("ir", "bool", &truth);
    binary("loop", "f32", &float);
    binary("loop", "i32", &integer);
    binary("loop", "bool", &truth);
    binary("loop", "i64", &[Add, Mul]);
    binary("loop", "u8x4", &pack);
    for node in ["ir load", "ir store", "loop load", "loop store"] {
        rows.extend(SCALARS.map(|scalar| format!("{node} {}", scalar.name())));
    }
    rows.extend([1, 2, 4, 8, 16, 32].map(|width| format!("loop lanes {width}")));
    // Those that read a team's memory by themselves need blocks of a sum's terms there, which random kernels have none of.
    let reached = INSTRUCTIONS.iter().filter(|i| i.in_memory == 0);
    rows.extend(reached.map(|i| format!("instruction {}", i.name)));
    rows
}
