//! The inputs that a kernel may have, and random numbers for them, with a liking for what goes wrong.
use kgen::ir::Scalar;
use kgen::random::Random;

/// Numbers of one kind in an element of a buffer.
#[derive(Clone, Debug)]
pub struct Numbers {
    pub offset: usize,
    pub count: usize,
    pub scalar: Scalar,
    /// Of integers.
    pub range: (i64, i64),
}

/// An input: its name, its element, its shape, and the integers that it holds.
pub struct Input {
    pub name: &'static str,
    pub elem: &'static str,
    pub shape: &'static str,
    pub scalar: Scalar,
    pub range: (i64, i64),
}

const fn input(
    name: &'static str,
    elem: &'static str,
    shape: &'static str,
    scalar: Scalar,
    range: (i64, i64),
) -> Input {
    Input { name, elem, shape, scalar, range }
}

const ALL: (i64, i64) = (i32::MIN as i64, i32::MAX as i64);

/// Everything but the blocks.
pub const INPUTS: [Input; 14] = [
    input("xf", "f32", "T, N", Scalar::F32, ALL),
    input("cf", "f32", "64", Scalar::F32, ALL),
    input("wf", "f32", "R, 64", Scalar::F32, ALL),
    input("hf", "f16", "64", Scalar::F16, ALL),
    input("ht", "f16", "T, 64", Scalar::F16, ALL),
    input("hb", "bf16", "64", Scalar::Bf16, ALL),
    input("ki", "i32<-1000, 1000>", "T, 64", Scalar::I32, (-1000, 1000)),
    input("kx", "i32", "64", Scalar::I32, ALL),
    input("ks", "i16", "T, 64", Scalar::I16, (-32768, 32767)),
    input("ku", "u16", "64", Scalar::U16, (0, 65535)),
    input("kb", "i8", "T, 64", Scalar::I8, (-128, 127)),
    input("kc", "u8", "64", Scalar::U8, (0, 255)),
    // Indices into a row; what they hold is made to lie below `N`.
    input("xi", "Index<N>", "64", Scalar::I32, (0, 0)),
    input("ri", "Index<64>", "T", Scalar::I32, (0, 63)),
];

/// What rounding, comparisons and conversions go wrong at.
const CORNERS: [u32; 16] = [
    0x0000_0000,
    0x8000_0000,
    0x0000_0001,
    0x807f_ffff,
    0x0080_0000,
    0x3f00_0000,
    0xbfc0_0000,
    0x4b00_0001,
    0x4f00_0000,
    0xcf00_0000,
    0x477f_f000,
    0x7f7f_ffff,
    0x7f80_0000,
    0xff80_0000,
    0x7fc0_0000,
    0xff81_2345,
];

/// How wild the floats of a run are.
#[derive(Clone, Copy, PartialEq)]
enum Wild {
    /// Small numbers alone: no NaN hides a difference.
    No,
    /// Now and then a corner.
    Some,
    /// Mostly corners and any bits.
    Most,
}

/// Elements of `bytes` bytes that hold these numbers; indices lie below `row`.
pub fn fill(len: usize, bytes: usize, numbers: &[Numbers], row: i32, random: &mut Random) -> Vec<u8> {
    let wild = [Wild::No, Wild::No, Wild::Some, Wild::Most][random.int(0, 3) as usize];
    let mut out: Vec<u8> = (0..len).map(|_| random.bits() as u8).collect();
    for element in out.chunks_exact_mut(bytes) {
        for run in numbers {
            for i in 0..run.count {
                let at = run.offset + i * run.scalar.bytes();
                let value = number(run, row, wild, random).to_le_bytes();
                element[at..at + run.scalar.bytes()].copy_from_slice(&value[..run.scalar.bytes()]);
            }
        }
    }
    out
}

fn number(run: &Numbers, row: i32, wild: Wild, random: &mut Random) -> u32 {
    let (lo, hi) = if run.range == (0, 0) { (0, row as i64 - 1) } else { run.range };
    match run.scalar {
        Scalar::F32 => float(wild, random).to_bits(),
        Scalar::F16 if wild == Wild::Most => random.bits() as u32,
        Scalar::F16 => half::f16::from_f32(float(wild, random)).to_bits() as u32,
        Scalar::Bf16 => float(wild, random).to_bits() >> 16,
        _ => {
            (match random.int(0, 7) {
                0 => lo,
                1 => hi,
                _ => random.int(lo, hi),
            }) as u32
        }
    }
}

fn float(wild: Wild, random: &mut Random) -> f32 {
    let tame = |random: &mut Random| random.int(-2000, 2000) as f32 / 256.0 + random.float() / 4096.0;
    let rare = match wild {
        Wild::No => return tame(random),
        Wild::Some => random.int(0, 11),
        Wild::Most => random.int(0, 2),
    };
    match rare {
        0 => f32::from_bits(CORNERS[random.int(0, CORNERS.len() as i64 - 1) as usize]),
        1 => f32::from_bits(random.bits() as u32),
        _ => tame(random),
    }
}
