//! Faults in expressions: wrong operands, wrong rounding, wrong lanes, wrong places.
use super::{Fault, expressions};
use kgen::ir::{BinOp, Scalar, UnOp};
use kgen::loop_ir::{Access, Expr, Func};

pub const FAULTS: &[Fault] = &[
    Fault { name: "the operands of a float subtraction change places", plant: swapped_subtraction },
    Fault { name: "fma rounds twice", plant: split_fma },
    Fault { name: "the xor tree repeats its last distance", plant: wrong_shuffle },
    Fault { name: "an i8 is loaded without its sign", plant: unsigned_load },
    Fault { name: "a number in a block is read one further", plant: wrong_offset },
    Fault { name: "lanes are twice as far apart", plant: wrong_stride },
    Fault { name: "max forgets that NaN absorbs", plant: plain_maximum },
    Fault { name: "min takes +0 for -0", plant: plain_minimum },
    Fault { name: "a dot of bytes saturates in 16 bits", plant: saturating_dot },
    Fault { name: "bytes are shifted by one more", plant: pack_shift },
    Fault { name: "halves change places", plant: swapped_halves },
    Fault { name: "the sum of lanes is that of one lane", plant: first_of_sum },
    Fault { name: "segments are rounded down", plant: short_segments },
    Fault { name: "a float becomes an integer below the nearest", plant: rounded_down },
    Fault { name: "a choice takes the other side", plant: swapped_choice },
    Fault { name: "an unordered comparison is an ordered one", plant: ordered },
];

fn swapped_subtraction(func: &mut Func) -> usize {
    expressions(func, |types, e| match e {
        Expr::Binary(BinOp::Sub, a, b) if types.float(a) => {
            std::mem::swap(a, b);
            true
        }
        _ => false,
    })
}

fn split_fma(func: &mut Func) -> usize {
    expressions(func, |_, e| {
        let Expr::Fma(a, b, c) = e.clone() else { return false };
        *e = Expr::Binary(BinOp::Add, Box::new(Expr::Binary(BinOp::Mul, a, b)), c);
        true
    })
}

fn wrong_shuffle(func: &mut Func) -> usize {
    expressions(func, |_, e| match e {
        Expr::Shuffle { mask: mask @ 1, .. } => {
            *mask = 2;
            true
        }
        _ => false,
    })
}

fn unsigned_load(func: &mut Func) -> usize {
    expressions(func, |_, e| match e {
        Expr::Load(access) if access.scalar == Scalar::I8 => {
            access.scalar = Scalar::U8;
            true
        }
        _ => false,
    })
}

fn wrong_offset(func: &mut Func) -> usize {
    expressions(func, |_, e| match e {
        Expr::Load(Access { addr, scalar, .. }) => match &mut **addr {
            Expr::Binary(BinOp::Add, _, by) if matches!(**by, Expr::Long(1..)) => {
                let Expr::Long(n) = &mut **by else { return false };
                *n += scalar.bytes() as i64;
                true
            }
            _ => false,
        },
        _ => false,
    })
}

fn wrong_stride(func: &mut Func) -> usize {
    expressions(func, |_, e| match e {
        Expr::Load(access) if access.lane_stride != 0 => {
            access.lane_stride *= 2;
            true
        }
        _ => false,
    })
}

/// Replaces a float `op` by a comparison and a choice.
fn chosen(func: &mut Func, op: BinOp) -> usize {
    expressions(func, |types, e| {
        let Expr::Binary(found, a, b) = e.clone() else { return false };
        if found != op || !types.float(&a) {
            return false;
        }
        let (low, high) = if op == BinOp::Max { (a.clone(), b.clone()) } else { (b.clone(), a.clone()) };
        *e = Expr::Select(Box::new(Expr::Binary(BinOp::Lt, low, high)), b, a);
        true
    })
}

fn plain_maximum(func: &mut Func) -> usize {
    chosen(func, BinOp::Max)
}

fn plain_minimum(func: &mut Func) -> usize {
    chosen(func, BinOp::Min)
}

fn saturating_dot(func: &mut Func) -> usize {
    expressions(func, |_, e| match e {
        Expr::Call { intrinsic, .. } if intrinsic.starts_with("dot4") && *intrinsic != "dot4_maddubs" => {
            *intrinsic = "dot4_maddubs";
            true
        }
        _ => false,
    })
}

fn pack_shift(func: &mut Func) -> usize {
    expressions(func, |types, e| match e {
        Expr::Binary(BinOp::Shr, a, by) if !types.int(a) => match &mut **by {
            Expr::Int(n) => {
                *n += 1;
                true
            }
            _ => false,
        },
        _ => false,
    })
}

fn swapped_halves(func: &mut Func) -> usize {
    expressions(func, |_, e| match e {
        Expr::Pair(a, b) => {
            std::mem::swap(a, b);
            true
        }
        _ => false,
    })
}

fn first_of_sum(func: &mut Func) -> usize {
    expressions(func, |_, e| match e {
        Expr::Call { intrinsic: "hsum", args, .. } => {
            *e = Expr::First(Box::new(args[0].clone()));
            true
        }
        _ => false,
    })
}

/// The length of a sum's range is no parameter, as the extent of a tiled axis is.
fn short_segments(func: &mut Func) -> usize {
    let parameters = func.ints as u32;
    let parameter = |e: &Expr| matches!(e, Expr::Var(v) if v.0 < parameters);
    expressions(func, |_, e| match e {
        Expr::Binary(BinOp::Div, up, n) => match (&**up, &**n) {
            (Expr::Binary(BinOp::Add, len, more), Expr::Int(n))
                if matches!(**more, Expr::Int(m) if m == n - 1) && !parameter(len) =>
            {
                *up = len.clone();
                true
            }
            _ => false,
        },
        _ => false,
    })
}

fn rounded_down(func: &mut Func) -> usize {
    expressions(func, |_, e| match e {
        // Numbers between the middle and a quarter above it now go down.
        Expr::Unary(UnOp::ToInt { .. }, x) => {
            let (value, quarter) = (x.clone(), Box::new(Expr::Float(0.25)));
            **x = Expr::Binary(BinOp::Sub, value, quarter);
            true
        }
        _ => false,
    })
}

fn swapped_choice(func: &mut Func) -> usize {
    expressions(func, |_, e| match e {
        Expr::Select(_, a, b) => {
            std::mem::swap(a, b);
            true
        }
        _ => false,
    })
}

fn ordered(func: &mut Func) -> usize {
    expressions(func, |types, e| {
        let Expr::Binary(BinOp::Ne, a, b) = e.clone() else { return false };
        if !types.float(&a) {
            return false;
        }
        let less = |x, y| Box::new(Expr::Binary(BinOp::Lt, x, y));
        *e = Expr::Binary(BinOp::Or, less(a.clone(), b.clone()), less(b, a));
        true
    })
}
