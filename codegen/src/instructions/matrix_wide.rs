//! Products of matrices of bytes with 64 columns, which the instruction reads from shared memory by itself: 16 rows of unsigned bytes in
//! registers, as in [`super::matrix`], times 64 columns of signed ones. On CUDA, four neighbouring warps begin it together, each with
//! rows of its own, and all with the same columns (`wgmma`, compute capability 9.0); elsewhere it is eight products of 8 columns.
use super::{DOT4, Instruction};
use crate::cpu::row::Slot;

/// Columns of a product.
pub const COLUMNS: usize = 64;
/// Warps that begin a product together.
pub const TOGETHER: usize = 4;

const SUM: (Slot, &str) = (Slot::I, "i32<-2146000000, 2146000000>");

/// For each 8 columns four registers, and the packs of their factors.
macro_rules! wide {
    ($(($c0:literal $c1:literal $c2:literal $c3:literal $b0:literal $b1:literal))*) => {
        Instruction {
            name: "matrix_wide",
            args: &[
                $(($c0, SUM.0, SUM.1), ($c1, SUM.0, SUM.1), ($c2, SUM.0, SUM.1), ($c3, SUM.0, SUM.1),)*
                ("a0", Slot::U, "u8"),
                ("a1", Slot::U, "u8"),
                ("a2", Slot::U, "u8"),
                ("a3", Slot::U, "u8"),
                $(($b0, Slot::S, "i8"), ($b1, Slot::S, "i8"),)*
            ],
            across: true,
            registers: 32,
            in_memory: 16,
            meaning: &[$(
                wide!(@sum $c0 "a0" "a2" $b0 $b1 "lane % 4 * 8 + q"),
                wide!(@sum $c1 "a0" "a2" $b0 $b1 "lane % 4 * 8 + 4 + q"),
                wide!(@sum $c2 "a1" "a3" $b0 $b1 "lane % 4 * 8 + q"),
                wide!(@sum $c3 "a1" "a3" $b0 $b1 "lane % 4 * 8 + 4 + q"),
            )*],
            cuda: Some("matrix_wide({});"),
            ..DOT4
        }
    };
    (@sum $c:literal $a:literal $above:literal $b:literal $behind:literal $column:literal) => {
        concat!(
            $c, "[lane] + isum(0..4, |q| isum(0..4, |e| ", $a, "[lane / 4 * 4 + q][e] * ", $b, "[", $column, "][e] + ",
            $above, "[lane / 4 * 4 + q][e] * ", $behind, "[", $column, "][e]))"
        )
    };
}

/// Sums over 32 neighbours.
pub const INSTRUCTION: Instruction = wide!(
    ("c0" "c1" "c2" "c3" "b0" "b1")
    ("c4" "c5" "c6" "c7" "b2" "b3")
    ("c8" "c9" "c10" "c11" "b4" "b5")
    ("c12" "c13" "c14" "c15" "b6" "b7")
    ("c16" "c17" "c18" "c19" "b8" "b9")
    ("c20" "c21" "c22" "c23" "b10" "b11")
    ("c24" "c25" "c26" "c27" "b12" "b13")
    ("c28" "c29" "c30" "c31" "b14" "b15")
);
