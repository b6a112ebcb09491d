//! exp, ln, pow, sin and cos in float64 from IEEE add, mul, div and fma alone, so that every host has the same bits.
//!
//! No call reaches the platform's libm: RoPE tables and sampling are part of what a seed means. Each function is a
//! reduction to a small interval, where a Taylor polynomial is exact to well below an ulp, with the reduction's own
//! rounding error carried along as a second number. Measured errors are in the tests.

/// ln 2 in two parts; the first has 40 bits, so that its product with an exponent is exact.
const LN2_HI: f64 = f64::from_bits(0x3fe6_2e42_fefa_2000);
const LN2_LO: f64 = f64::from_bits(0x3d69_ef35_793c_7673);
const LOG2_E: f64 = f64::from_bits(0x3ff7_1547_652b_82fe);

/// pi/2 in four parts; the first three have 30 bits each, so that their products with a count below 2^23 are exact.
const HALF_PI: [f64; 4] = [
    f64::from_bits(0x3ff9_21fb_5400_0000),
    f64::from_bits(0x3e11_0b46_1180_0000),
    f64::from_bits(0x3c23_1319_8a00_0000),
    f64::from_bits(0x3a37_01b8_39a2_5205),
];
const TWO_OVER_PI: f64 = f64::from_bits(0x3fe4_5f30_6dc9_c883);

/// The largest argument [`sin_cos`] reduces exactly.
pub const SIN_COS_LIMIT: f64 = 4_194_304.0;

/// The exact sum of a rounded value and its rounding error.
#[derive(Clone, Copy)]
struct Double {
    hi: f64,
    lo: f64,
}

/// a + b as a rounded sum and what the rounding lost (Knuth's two-sum).
fn two_sum(a: f64, b: f64) -> Double {
    let hi = a + b;
    let b_part = hi - a;
    Double { hi, lo: (a - (hi - b_part)) + (b - b_part) }
}

/// a * b as a rounded product and what the rounding lost.
fn two_product(a: f64, b: f64) -> Double {
    let hi = a * b;
    Double { hi, lo: a.mul_add(b, -hi) }
}

/// c0 + z*(c1 + z*(...)) by Horner's rule with fma.
fn polynomial(z: f64, coefficients: &[f64]) -> f64 {
    coefficients.iter().rev().fold(0.0, |sum, &c| sum.mul_add(z, c))
}

/// Coefficients sign^i / (start + step*i)! of a Taylor series; every factorial up to 18! is exact in float64.
const fn inverse_factorials<const N: usize>(start: u32, step: u32, sign: f64) -> [f64; N] {
    let mut out = [0.0; N];
    let (mut factorial, mut reached, mut s, mut i) = (1.0, 1, 1.0, 0);
    while i < N {
        while reached < start + step * i as u32 {
            reached += 1;
            factorial *= reached as f64;
        }
        out[i] = s / factorial;
        s *= sign;
        i += 1;
    }
    out
}

/// y * 2^k with a single rounding; `y` between 1/2 and 2.
fn scale(y: f64, k: i32) -> f64 {
    let power = |k: i32| f64::from_bits(((k + 1023) as u64) << 52);
    match k {
        1024.. => y * power(1023) * 2.0,
        -1021..=1023 => y * power(k),
        // The first product is exact, so only the second, into the subnormals, rounds.
        _ => y * power(k + 200) * power(-200),
    }
}

/// e^(x + tail) where `tail` is far below an ulp of 1.
fn exp_double(x: f64, tail: f64) -> f64 {
    const SERIES: [f64; 12] = inverse_factorials(2, 1, 1.0);
    if x.is_nan() {
        return f64::NAN;
    }
    if x > 709.8 {
        return f64::INFINITY;
    }
    if x < -745.2 {
        return 0.0;
    }
    let k = (x * LOG2_E).round_ties_even();
    let reduced = k.mul_add(-LN2_HI, x);
    let r = two_sum(reduced, k.mul_add(-LN2_LO, tail));
    // e^(hi + lo) = 1 + hi + (hi^2 * series + lo * e^hi), and e^hi is 1 + hi to the accuracy lo needs.
    let small = (r.hi * r.hi).mul_add(polynomial(r.hi, &SERIES), r.lo.mul_add(r.hi, r.lo));
    let sum = two_sum(1.0, r.hi);
    scale(sum.hi + (sum.lo + small), k as i32)
}

/// e^x, within 1 ulp. Overflow gives infinity, underflow rounds through the subnormals to 0, NaN stays NaN.
pub fn exp(x: f64) -> f64 {
    exp_double(x, 0.0)
}

/// ln x to about 2^-60 for positive normal x.
fn ln_double(x: f64) -> Double {
    // 2/(2i + 3): what remains of 2*atanh(s) after its first term, over s^3.
    const SERIES: [f64; 11] = {
        let mut c = [0.0; 11];
        let mut i = 0;
        while i < c.len() {
            c[i] = 2.0 / (2 * i + 3) as f64;
            i += 1;
        }
        c
    };
    const SQRT_2: f64 = std::f64::consts::SQRT_2;
    let bits = x.to_bits();
    let mut k = (bits >> 52) as i32 - 1023;
    let mut m = f64::from_bits((bits & ((1 << 52) - 1)) | (1023 << 52));
    if m > SQRT_2 {
        m *= 0.5;
        k += 1;
    }
    let k = f64::from(k);
    // ln m = 2*atanh(s) with s = (m-1)/(m+1) as a double: the quotient and its remainder over the divisor.
    let above = m - 1.0;
    let below = two_sum(m, 1.0);
    let s = above / below.hi;
    let remainder = (-s).mul_add(below.hi, above);
    let s_lo = (-s).mul_add(below.lo, remainder) / below.hi;
    let z = s * s;
    let tail = (s * z).mul_add(polynomial(z, &SERIES), 2.0 * s_lo);
    let sum = two_sum(k * LN2_HI, 2.0 * s);
    let low = k.mul_add(LN2_LO, sum.lo + tail);
    let hi = sum.hi + low;
    Double { hi, lo: (sum.hi - hi) + low }
}

/// The natural logarithm within 1 ulp. 0 gives minus infinity, a negative argument NaN.
pub fn ln(x: f64) -> f64 {
    if x.is_nan() || x < 0.0 {
        return f64::NAN;
    }
    if x == 0.0 {
        return f64::NEG_INFINITY;
    }
    if x.is_infinite() {
        return x;
    }
    if x < f64::MIN_POSITIVE {
        const TWO_54: f64 = (1u64 << 54) as f64;
        let d = ln_double(x * TWO_54);
        return (-54.0f64).mul_add(LN2_HI, d.hi) + (-54.0f64).mul_add(LN2_LO, d.lo);
    }
    ln_double(x).hi
}

/// base^exponent for a positive, normal, finite base, within 1 ulp while the result is a normal number; any other
/// base gives NaN.
pub fn pow(base: f64, exponent: f64) -> f64 {
    if !(base.is_normal() && base > 0.0 && exponent.is_finite()) {
        return f64::NAN;
    }
    let l = ln_double(base);
    let p = two_product(l.hi, exponent);
    if !p.hi.is_finite() || p.hi.abs() > 746.0 {
        return exp(p.hi);
    }
    exp_double(p.hi, l.lo.mul_add(exponent, p.lo))
}

/// x less the nearest multiple of pi/2 as a double, and that multiple modulo 4.
fn reduce(x: f64) -> (Double, i64) {
    let n = (x * TWO_OVER_PI).round_ties_even();
    let first = n.mul_add(-HALF_PI[0], x);
    let second = two_sum(first, n * -HALF_PI[1]);
    let third = two_sum(second.hi, n * -HALF_PI[2]);
    let r = two_sum(third.hi, n.mul_add(-HALF_PI[3], second.lo + third.lo));
    (r, (n as i64).rem_euclid(4))
}

fn sin_small(r: Double) -> f64 {
    const SERIES: [f64; 8] = inverse_factorials(3, 2, -1.0);
    let z = r.hi * r.hi;
    // sin(hi + lo) = hi - hi^3 * series + lo * cos(hi), and cos(hi) is 1 - z/2 to the accuracy lo needs.
    r.hi + (-(r.hi * z)).mul_add(polynomial(z, &SERIES), r.lo.mul_add(-0.5 * z, r.lo))
}

fn cos_small(r: Double) -> f64 {
    const SERIES: [f64; 8] = inverse_factorials(4, 2, -1.0);
    let z = r.hi * r.hi;
    let half = 0.5 * z;
    let most = 1.0 - half;
    // cos(hi + lo) = 1 - z/2 + z^2 * series - lo * hi, with what 1 - z/2 lost.
    most + (((1.0 - most) - half) + (z * z).mul_add(polynomial(z, &SERIES), -(r.hi * r.lo)))
}

/// (sin x, cos x) within 1 ulp for |x| up to [`SIN_COS_LIMIT`]; NaN for anything else.
pub fn sin_cos(x: f64) -> (f64, f64) {
    if x.is_nan() || x.abs() > SIN_COS_LIMIT {
        return (f64::NAN, f64::NAN);
    }
    let (r, quadrant) = reduce(x);
    let (sin, cos) = (sin_small(r), cos_small(r));
    match quadrant {
        0 => (sin, cos),
        1 => (cos, -sin),
        2 => (-sin, -cos),
        _ => (-cos, sin),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Distance in units in the last place of the expected value.
    fn ulps(got: f64, want: f64) -> f64 {
        if got == want || (got.is_nan() && want.is_nan()) {
            return 0.0;
        }
        let next = f64::from_bits(want.abs().to_bits() + 1);
        ((got - want) / (next - want.abs())).abs()
    }

    /// Well-spread numbers in 0..1 without a generator: multiples of the golden ratio.
    fn spread(i: u32) -> f64 {
        (f64::from(i) * 0.618_033_988_749_894_9).fract()
    }

    #[test]
    fn exp_is_within_an_ulp() {
        let worst = (0..200_000).map(|i| spread(i) * 1453.0 - 744.0).map(|x| ulps(exp(x), x.exp())).fold(0.0, f64::max);
        assert!(worst <= 1.0, "{worst}");
        assert_eq!(exp(0.0), 1.0);
        assert_eq!(exp(f64::NEG_INFINITY), 0.0);
        assert_eq!(exp(1000.0), f64::INFINITY);
        assert!(exp(f64::NAN).is_nan());
    }

    #[test]
    fn ln_is_within_an_ulp() {
        let worst = (0..200_000)
            .map(|i| f64::from_bits((spread(i) * 0x7fef_ffff_ffff_ffff_u64 as f64) as u64))
            .chain((0..100_000).map(|i| 0.5 + 1.5 * spread(i)))
            .map(|x| ulps(ln(x), x.ln()))
            .fold(0.0, f64::max);
        assert!(worst <= 1.0, "{worst}");
        assert_eq!(ln(1.0), 0.0);
        assert_eq!(ln(0.0), f64::NEG_INFINITY);
        assert!(ln(-1.0).is_nan());
    }

    #[test]
    fn pow_is_within_an_ulp() {
        let mut worst = 0.0f64;
        for base in [10_000.0, 100_000.0, 500_000.0, 1_000_000.0, 5_000_000.0, 1.5, 0.3] {
            for i in 0..20_000 {
                let e = spread(i) * 40.0 - 20.0;
                worst = worst.max(ulps(pow(base, e), base.powf(e)));
            }
        }
        assert!(worst <= 1.0, "{worst}");
        assert_eq!(pow(2.0, 10.0), 1024.0);
        assert_eq!(pow(1e6, 0.0), 1.0);
        assert!(pow(-2.0, 2.0).is_nan());
    }

    #[test]
    fn sin_and_cos_are_within_an_ulp_up_to_the_limit() {
        let mut worst = 0.0f64;
        for i in 0..300_000 {
            for x in [spread(i) * SIN_COS_LIMIT, -spread(i) * 10.0, f64::from(i), f64::from(i) * std::f64::consts::PI] {
                let (sin, cos) = sin_cos(x);
                worst = worst.max(ulps(sin, x.sin())).max(ulps(cos, x.cos()));
            }
        }
        assert!(worst <= 1.0, "{worst}");
        assert!(sin_cos(SIN_COS_LIMIT * 2.0).0.is_nan());
        assert!(sin_cos(f64::INFINITY).1.is_nan());
    }

    /// RoPE's own use: theta = base^(-2i/D) times a position, stored as f32.
    #[test]
    fn rope_tables_round_to_the_same_f32_as_std() {
        let (mut total, mut different) = (0u32, 0u32);
        for (base, head_dim) in [(10_000.0, 64), (1_000_000.0, 128), (500_000.0, 128)] {
            for i in 0..head_dim / 2 {
                let exponent = -2.0 * f64::from(i) / f64::from(head_dim);
                let (ours, theirs) = (pow(base, exponent), f64::powf(base, exponent));
                for position in (0..131_072).step_by(997).chain([1 << 20]) {
                    let p = f64::from(position);
                    let (sin, cos) = sin_cos(p * ours);
                    total += 2;
                    different += u32::from(sin as f32 != (p * theirs).sin() as f32);
                    different += u32::from(cos as f32 != (p * theirs).cos() as f32);
                }
            }
        }
        assert!(different * 10_000 <= total, "{different} of {total}");
    }
}
