//! A row of the tables of operations and instructions: one small Rust function for registers of some lanes.
//!
//! Its arguments are `a`, `b`, `c`. In its text `{p}` is the prefix of the register's width, `{b}` its bits, `{w}` its lanes,
//! `{x}` the suffix of helper functions of the same width; see [`Row::body`] for the others. [`super::support`] makes functions of rows.
use super::Isa;

/// What a helper function takes or gives. Capital letters are registers with one number a lane, small ones single numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Slot {
    /// `f32` a lane.
    F,
    /// `i32` a lane.
    I,
    /// Four unsigned bytes a lane.
    U,
    /// Four signed bytes a lane.
    S,
    /// Four bytes a lane, of either sign.
    K,
    /// Two signed halves of 16 bits a lane.
    H,
    /// A truth value a lane.
    M,
    /// One `f32`.
    #[allow(non_camel_case_types)]
    f,
    /// One `i32`.
    #[allow(non_camel_case_types)]
    i,
    /// Four unsigned bytes.
    #[allow(non_camel_case_types)]
    u,
    /// Four signed bytes.
    #[allow(non_camel_case_types)]
    s,
    /// Four bytes, of either sign.
    #[allow(non_camel_case_types)]
    k,
    /// Two signed halves of 16 bits.
    #[allow(non_camel_case_types)]
    h,
    /// One `bool`.
    #[allow(non_camel_case_types)]
    b,
    /// An address.
    P,
    /// A distance in bytes.
    N,
    /// Nothing.
    V,
}

/// Instruction sets and lanes for which a row holds.
#[derive(Clone, Copy, Debug)]
pub struct On(&'static [Isa], &'static [usize]);

impl On {
    /// Whether registers of `lanes` are among them on `isa`.
    pub fn has(self, isa: Isa, lanes: usize) -> bool {
        self.0.contains(&isa) && self.1.contains(&lanes)
    }
}

/// One operation on one kind of register.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// Where it can be used.
    pub on: On,
    /// Name of the operation, with the type it works on.
    pub name: &'static str,
    /// Arguments.
    pub args: &'static [Slot],
    /// Result.
    pub result: Slot,
    /// The body, with holes.
    pub text: &'static str,
}

/// Rows: `ON name (ARGUMENTS) -> RESULT { text }`.
macro_rules! rows {
    ($($on:ident $name:ident ($($arg:ident)*) -> $result:ident { $text:expr })*) => {
        &[$(Row { on: $on, name: stringify!($name), args: &[$(Slot::$arg),*], result: Slot::$result, text: $text }),*]
    };
}

pub(crate) use rows;

/// Single numbers, on all.
pub const PLAIN: On = On(&[Isa::Scalar, Isa::Avx2, Isa::Avx512], &[1]);
/// Single numbers, where the processor does not help.
pub const SOFT: On = On(&[Isa::Scalar], &[1]);
/// Single numbers, where it does.
pub const HARD: On = On(&[Isa::Avx2, Isa::Avx512], &[1]);
/// Registers of any width.
pub const VECTOR: On = On(&[Isa::Avx2, Isa::Avx512], &[4, 8, 16]);
/// Registers of 4 lanes.
pub const VECTOR4: On = On(&[Isa::Avx2, Isa::Avx512], &[4]);
/// Registers of 8 lanes.
pub const VECTOR8: On = On(&[Isa::Avx2, Isa::Avx512], &[8]);
/// Registers of 16 lanes.
pub const VECTOR16: On = On(&[Isa::Avx512], &[16]);
/// Registers of AVX2, whose truth values are vectors.
pub const AVX2: On = On(&[Isa::Avx2], &[4, 8]);
/// Registers of AVX-512, whose truth values are masks.
pub const AVX512: On = On(&[Isa::Avx512], &[4, 8, 16]);

impl Slot {
    /// The Rust type on registers of `lanes`; `None` for [`Slot::V`].
    pub fn rust(self, isa: Isa, lanes: usize) -> Option<String> {
        let bits = lanes * 32;
        Some(match self {
            Slot::F => format!("__m{bits}"),
            Slot::M if isa == Isa::Avx512 => format!("__mmask{}", lanes.max(8)),
            Slot::I | Slot::U | Slot::S | Slot::K | Slot::H | Slot::M => format!("__m{bits}i"),
            Slot::f => "f32".into(),
            Slot::i => "i32".into(),
            Slot::u | Slot::s | Slot::k | Slot::h => "u32".into(),
            Slot::b => "bool".into(),
            Slot::P => "*mut u8".into(),
            Slot::N => "isize".into(),
            Slot::V => return None,
        })
    }
}

impl Row {
    /// The body of the helper function on registers of `lanes`. `{load1}`, `{load2}`, `{store1}`, `{store2}` move one or
    /// two bytes a lane, `{iota}` lists the lanes, `{s}` is the last part of the row's name.
    pub fn body(&self, lanes: usize) -> String {
        let prefix = match lanes {
            16 => "_mm512",
            8 => "_mm256",
            _ => "_mm",
        };
        let iota: Vec<String> = (0..lanes).map(|l| l.to_string()).collect();
        let moves = |bytes: usize, what: &str| match bytes {
            32 => format!("_mm256_{what}u_si256"),
            16 => format!("_mm_{what}u_si128"),
            8 => format!("_mm_{what}l_epi64"),
            _ => format!("_mm_{what}u_si32"),
        };
        self.text
            .replace("{p}", prefix)
            .replace("{b}", &(lanes * 32).to_string())
            .replace("{w}", &lanes.to_string())
            .replace("{x}", &super::support::suffix(lanes))
            .replace("{iota}", &iota.join(", "))
            .replace("{s}", self.name.rsplit('_').next().unwrap_or_default())
            .replace("{load1}", &moves(lanes, "load"))
            .replace("{load2}", &moves(2 * lanes, "load"))
            .replace("{store1}", &moves(lanes, "store"))
            .replace("{store2}", &moves(2 * lanes, "store"))
    }
}
