//! The error of the language's exp2, silu and gelu against float64.
use kgen::diagnostic::Source;
use kgen::ir::interp;

/// Runs `f` of kernels/math.rs on numbers.
fn apply(f: &str, x: &[f32]) -> Vec<f32> {
    let kernel = format!(
        "#[kernel] fn apply<N: Dim>(x: &Ten<f32, N>, y: &mut Ten<f32, N>) {{ for n in par(N) {{ y[n] = {f}(x[n]); }} }}"
    );
    let math = include_str!("../kernels/math.rs").to_string();
    let sources = [Source { name: "math.rs".into(), text: math }, Source { name: "apply.rs".into(), text: kernel }];
    let kernels =
        kgen::compile(&sources).unwrap_or_else(|e| panic!("{}", kgen::diagnostic::render(&e, &sources, false)));
    let mut buffers = vec![x.iter().flat_map(|v| v.to_le_bytes()).collect(), vec![0; 4 * x.len()]];
    interp::run(&kernels[0], &[x.len() as i32], &[], &mut buffers).unwrap();
    buffers[1].as_chunks().0.iter().map(|b| f32::from_le_bytes(*b)).collect()
}

/// Distance from the true value in units of the last place of the float nearest to it.
fn ulps(y: f32, truth: f64) -> f64 {
    let near = (truth as f32).abs();
    let unit = f32::from_bits(near.to_bits() + 1) as f64 - near as f64;
    (y as f64 - truth).abs() / unit
}

#[test]
fn exp2_is_within_one_ulp() {
    // Every 4099th float between -126 and 128: all exponents, all parts of the polynomial's interval.
    let sample = |top: f32| (0..top.to_bits()).step_by(4099).map(f32::from_bits);
    let x: Vec<f32> = sample(128.0).chain(sample(126.0).map(|x| -x)).collect();
    let worst = apply("exp2", &x).into_iter().zip(&x).map(|(y, x)| ulps(y, (*x as f64).exp2())).fold(0.0, f64::max);
    assert!((0.5..0.952).contains(&worst), "{worst} ulp");
}

#[test]
fn exp2_at_the_edges() {
    let x = [0.0, -0.0, 1.0, -149.0, -150.5, 127.99999, 128.0, f32::INFINITY, f32::NEG_INFINITY, f32::NAN, 1e-45];
    let y = apply("exp2", &x);
    let expected = [1.0, 1.0, 2.0, f32::from_bits(1), 0.0, f32::NAN, f32::INFINITY, f32::INFINITY, 0.0, f32::NAN, 1.0];
    for ((x, y), expected) in x.iter().zip(&y).zip(expected) {
        match *x {
            127.99999 => assert!(y.is_finite() && *y > 3.4e38, "{y}"),
            _ => assert_eq!(y.to_bits(), expected.to_bits(), "2^{x} = {y}"),
        }
    }
}

#[test]
fn silu_is_close() {
    let x: Vec<f32> = (-4000..4000).map(|i| i as f32 * 0.02).collect();
    let truth = |x: f64| x / (1.0 + (-x).exp());
    for (x, y) in x.iter().zip(apply("silu", &x)) {
        let error = (y as f64 - truth(*x as f64)).abs();
        // The exponent -x log2(e) is rounded to f32, which costs a relative error that grows with x.
        let bound = 1e-7 * (2.0 + x.abs() as f64) * truth(*x as f64).abs() + 1e-38;
        assert!(error <= bound, "silu({x}) = {y}, off by {error}");
    }
}

#[test]
fn gelu_is_close() {
    // Every 4099th float from 2^-30 to 16, and their negatives.
    let positive = || (2f32.powi(-30).to_bits()..16f32.to_bits()).step_by(4099).map(f32::from_bits);
    // x / 2 * (1 + tanh u) is x / (1 + e^-2u), which does not cancel.
    let truth = |x: f64| x / (1.0 + (-2.0 * (2.0 / std::f64::consts::PI).sqrt() * (x + 0.044715 * x * x * x)).exp());
    let worst =
        |x: Vec<f32>| apply("gelu", &x).into_iter().zip(x).map(|(y, x)| ulps(y, truth(x as f64))).fold(0.0, f64::max);
    assert!((0.5..1.6).contains(&worst(positive().collect())));
    // The exponent is rounded to f32, which costs a relative error that grows with it; what it is an error of becomes small.
    for (most, ulps) in [(1.0, 2.3), (2.0, 5.5), (4.0, 15.0)] {
        let worst = worst(positive().filter(|x| *x <= most).map(|x| -x).collect());
        assert!((0.5..ulps).contains(&worst), "{worst} ulp to -{most}");
    }
}
