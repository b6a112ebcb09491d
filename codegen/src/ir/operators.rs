//! What can be done with values: operators on one and two, and exact reductions.
use super::Scalar;

/// What a [`Kind::Reduce`] computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReduceOp {
    /// Exact integer sum; 0 when empty.
    ISum,
    /// Largest float by [`BinOp::Max`]; -infinity when empty.
    Max,
    /// Index of the first largest float; NaN is larger than everything.
    ArgMax,
}

/// Operations on one value.
#[derive(Clone, Copy, Debug, PartialEq)]
#[allow(missing_docs)]
pub enum UnOp {
    /// Float or integer negation.
    Neg,
    Abs,
    /// Correctly rounded.
    Sqrt,
    /// To an integral float, ties to even.
    Rint,
    /// [`UnOp::Rint`], saturated to `lo..=hi`; NaN gives 0.
    ToInt {
        lo: i32,
        hi: i32,
    },
    /// Integer to float, to nearest even.
    ToF32,
    /// Exact.
    FromHalf,
    /// To nearest even, subnormals kept, overflow to infinity, NaN canonical.
    ToHalf(Scalar),
    /// The bits of a float as an integer; a NaN gives the canonical 0x7fc00000.
    Bits,
    /// The float with these bits.
    FromBits,
    Not,
}

/// Operations on two values. Integers never leave their proved range; a divisor is positive and a dividend is not negative.
/// Bits of negative integers are those of two's complement, and a shift to the right keeps the sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum BinOp {
    Add,
    Sub,
    Mul,
    Div,
    Rem,
    /// NaN absorbs; -0 < +0.
    Min,
    /// NaN absorbs; -0 < +0.
    Max,
    And,
    Or,
    Xor,
    Shl,
    Shr,
    /// With a NaN, comparisons are false, except `Ne`.
    Lt,
    Le,
    Eq,
    Ne,
}
