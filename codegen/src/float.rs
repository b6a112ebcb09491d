//! What a float operation gives where IEEE leaves a choice: NaN, signed zeros, saturation, halves. Both interpreters use it.
//!
//! A NaN has no payload and no sign in the language; where its bits become visible (a store, [`bits`]) it is canonical.
use crate::ir::Scalar;
use half::{bf16, f16};

/// The bits of the one NaN that is ever stored as binary32.
pub const NAN_F32: u32 = 0x7fc0_0000;
/// The same as binary16.
pub const NAN_F16: u16 = 0x7e00;
/// The same as bfloat16.
pub const NAN_BF16: u16 = 0x7fc0;

/// `x`, and for any NaN the canonical one.
pub fn canonical(x: f32) -> f32 {
    f32::from_bits(bits(x))
}

/// The bits of `x`, and for any NaN the canonical ones.
pub fn bits(x: f32) -> u32 {
    if x.is_nan() { NAN_F32 } else { x.to_bits() }
}

/// The bits of a half, and for any NaN the canonical ones.
pub fn canonical_half(scalar: Scalar, bits: u16) -> u16 {
    from_half(scalar, bits).and_then(|x| to_half(scalar, x)).unwrap_or(bits)
}

/// The larger one; a NaN absorbs, and -0 < +0. Associative and commutative.
pub fn max(a: f32, b: f32) -> f32 {
    if a.is_nan() || b.is_nan() {
        f32::from_bits(NAN_F32)
    } else if a.total_cmp(&b).is_ge() {
        a
    } else {
        b
    }
}

/// The smaller one; a NaN absorbs, and -0 < +0. Associative and commutative.
pub fn min(a: f32, b: f32) -> f32 {
    if a.is_nan() || b.is_nan() {
        f32::from_bits(NAN_F32)
    } else if a.total_cmp(&b).is_le() {
        a
    } else {
        b
    }
}

/// To an integral float, ties to even.
pub fn rint(x: f32) -> f32 {
    x.round_ties_even()
}

/// [`rint`], saturated to `lo..=hi`; a NaN gives 0.
pub fn to_int(x: f32, lo: i32, hi: i32) -> i32 {
    if x.is_nan() { 0 } else { (rint(x) as i32).max(lo).min(hi) }
}

/// The value of a 16-bit float. Exact. `None` where `scalar` is no half.
pub fn from_half(scalar: Scalar, bits: u16) -> Option<f32> {
    match scalar {
        Scalar::F16 => Some(canonical(f16::from_bits(bits).to_f32())),
        Scalar::Bf16 => Some(canonical(bf16::from_bits(bits).to_f32())),
        _ => None,
    }
}

/// To nearest even; subnormals are kept, too large is infinity, NaN is canonical. `None` where `scalar` is no half.
pub fn to_half(scalar: Scalar, x: f32) -> Option<u16> {
    match scalar {
        Scalar::F16 => Some(if x.is_nan() { NAN_F16 } else { f16::from_f32(x).to_bits() }),
        Scalar::Bf16 => Some(if x.is_nan() { NAN_BF16 } else { bf16::from_f32(x).to_bits() }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SNAN: f32 = f32::from_bits(0xff80_0001);

    #[test]
    fn nan_is_canonical_and_absorbs() {
        for nan in [f32::NAN, -f32::NAN, SNAN] {
            assert_eq!(canonical(nan).to_bits(), 0x7fc0_0000);
            assert_eq!(bits(nan), 0x7fc0_0000);
            for x in [0.0, -1.0, f32::INFINITY, f32::NEG_INFINITY, f32::NAN] {
                assert!(max(nan, x).is_nan() && max(x, nan).is_nan() && min(nan, x).is_nan() && min(x, nan).is_nan());
            }
        }
        assert_eq!(bits(-0.0), 0x8000_0000);
    }

    #[test]
    fn zeros_are_ordered() {
        assert_eq!(max(-0.0, 0.0).to_bits(), 0);
        assert_eq!(max(0.0, -0.0).to_bits(), 0);
        assert_eq!(max(-0.0, -0.0).to_bits(), 0x8000_0000);
        assert_eq!(min(-0.0, 0.0).to_bits(), 0x8000_0000);
        assert_eq!(min(0.0, -0.0).to_bits(), 0x8000_0000);
        assert_eq!(min(0.0, 0.0).to_bits(), 0);
        assert_eq!((max(-3.0, 2.0), min(-3.0, 2.0)), (2.0, -3.0));
        assert_eq!((max(-3.0, -2.0), min(-3.0, -2.0)), (-2.0, -3.0));
    }

    #[test]
    fn integers_round_to_even_and_saturate() {
        let all = |x| to_int(x, i32::MIN, i32::MAX);
        assert_eq!([0.5, 1.5, 2.5, -0.5, -1.5, -2.5].map(all), [0, 2, 2, 0, -2, -2]);
        assert_eq!([3e9, f32::INFINITY, 2_147_483_520.0].map(all), [i32::MAX, i32::MAX, 2_147_483_520]);
        assert_eq!([-3e9, f32::NEG_INFINITY, -2_147_483_648.0].map(all), [i32::MIN; 3]);
        assert_eq!([200.0, 127.5, 127.4, -200.0, f32::NAN].map(|x| to_int(x, -127, 127)), [127, 127, 127, -127, 0]);
        assert_eq!(to_int(f32::NAN, 5, 9), 0);
        assert_eq!(rint(-0.25).to_bits(), (-0.0f32).to_bits());
    }

    #[test]
    fn halves_round_to_even_and_keep_subnormals() {
        let f16 = |x| to_half(Scalar::F16, x).unwrap();
        assert_eq!(f16(65504.0), 0x7bff);
        assert_eq!(f16(65519.996), 0x7bff);
        assert_eq!(f16(65520.0), 0x7c00);
        assert_eq!(f16(-f32::INFINITY), 0xfc00);
        assert_eq!(f16(SNAN), 0x7e00);
        assert_eq!(f16(2f32.powi(-24)), 1);
        assert_eq!(f16(2f32.powi(-25)), 0);
        assert_eq!(f16(2f32.powi(-25) * 1.0001), 1);
        assert_eq!(f16(3.0 * 2f32.powi(-25)), 2);
        assert_eq!(f16(-0.0), 0x8000);
        let bf16 = |x| to_half(Scalar::Bf16, x).unwrap();
        assert_eq!(bf16(f32::MAX), 0x7f80);
        assert_eq!(bf16(f32::from_bits(0x3f80_8000)), 0x3f80);
        assert_eq!(bf16(f32::from_bits(0x3f81_8000)), 0x3f82);
        assert_eq!(bf16(f32::from_bits(0x0000_8001)), 1);
        assert_eq!(bf16(-f32::NAN), 0x7fc0);
    }

    #[test]
    fn every_half_survives_the_round_trip() {
        for (scalar, nan) in [(Scalar::F16, NAN_F16), (Scalar::Bf16, NAN_BF16)] {
            for h in 0..=u16::MAX {
                let x = from_half(scalar, h).unwrap();
                assert_eq!(to_half(scalar, x).unwrap(), if x.is_nan() { nan } else { h });
            }
        }
        assert_eq!(from_half(Scalar::F16, 1), Some(2f32.powi(-24)));
        assert_eq!(from_half(Scalar::I16, 1), None);
    }
}
