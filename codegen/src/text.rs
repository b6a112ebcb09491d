//! How operations and types are written in messages and dumps.
use crate::ir::sum_order::Shape;
use crate::ir::{BinOp, ReduceOp, Ty, UnOp};

/// The operator or function that a binary operation is written as.
pub fn binary(op: BinOp) -> &'static str {
    match op {
        BinOp::Add => "+",
        BinOp::Sub => "-",
        BinOp::Mul => "*",
        BinOp::Div => "/",
        BinOp::Rem => "%",
        BinOp::Min => "min",
        BinOp::Max => "max",
        BinOp::And => "&",
        BinOp::Or => "|",
        BinOp::Xor => "^",
        BinOp::Shl => "<<",
        BinOp::Shr => ">>",
        BinOp::Lt => "<",
        BinOp::Le => "<=",
        BinOp::Eq => "==",
        BinOp::Ne => "!=",
    }
}

/// The operator or function that a unary operation is written as.
pub fn unary(op: UnOp) -> String {
    match op {
        UnOp::Neg => "-".into(),
        UnOp::Abs => "abs".into(),
        UnOp::Sqrt => "sqrt".into(),
        UnOp::Rint => "rint".into(),
        UnOp::ToInt { lo, hi } => format!("int<{lo}, {hi}>"),
        UnOp::ToF32 | UnOp::FromHalf => "f32".into(),
        UnOp::ToHalf(s) => s.name().into(),
        UnOp::Bits => "bits".into(),
        UnOp::FromBits => "from_bits".into(),
        UnOp::Not => "!".into(),
    }
}

/// A type as messages name it.
pub fn ty(ty: Ty) -> String {
    match ty {
        Ty::F32 => "f32".into(),
        Ty::Half(s) => s.name().into(),
        Ty::Int { lo, hi } if lo == hi => format!("the integer {lo}"),
        Ty::Int { lo, hi } => format!("an integer in {lo}..={hi}"),
        Ty::Bool => "bool".into(),
        Ty::Array { cap } => format!("an array of at most {cap} f32"),
    }
}

/// A range, or the one integer in it.
pub fn range((lo, hi): (i64, i64)) -> String {
    if lo == hi { lo.to_string() } else { format!("{lo}..={hi}") }
}

/// `1 value`, `2 values`.
pub fn count(n: usize, what: &str) -> String {
    format!("{n} {what}{}", if n == 1 { "" } else { "s" })
}

/// A reduction's name in the language.
pub fn reduce(op: ReduceOp) -> &'static str {
    match op {
        ReduceOp::ISum => "isum",
        ReduceOp::Max => "max_of",
        ReduceOp::ArgMax => "argmax_of",
    }
}

/// A sum's shape in the language.
pub fn shape(shape: Shape) -> String {
    match shape {
        Shape::Chain => "chain".into(),
        Shape::Lanes(n) => format!("lanes({n})"),
        Shape::Segments(n) => format!("segments({n})"),
    }
}

/// Two hexadecimal digits a byte.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn bytes_keep_their_zeros() {
        assert_eq!(super::hex(&[0, 10, 255]), "000aff");
    }
}
