//! Programs that look harmless and are not: each is refused, with the right code.
use kgen::diagnostic::{Code, Source, render};

fn compile(text: &str) -> Result<Vec<kgen::ir::Kernel>, (Vec<Code>, String)> {
    let sources = [Source { name: "odd.rs".into(), text: text.into() }];
    kgen::compile(&sources).map_err(|e| (e.iter().map(|d| d.code).collect(), render(&e, &sources, false)))
}

/// Each program, and what it is refused for.
const REFUSED: &[(&str, Code)] = &[
    // The state of a merge would change its length.
    (
        "#[kernel] fn f<N: Dim>(y: &mut Ten<f32, 1>) {
            let (a, b) = merge(0..3, (map(min(N, 8), |i| 0.0), 0.0), |c| (0.0, 0.0), |(a, b), (p, q)| (map(min(N + 1, 8), |i| 1.0), b));
            y[0] = b;
        }",
        Code::Type,
    ),
    // The quotient and the remainder by something that differs between iterations do not tell them apart.
    (
        "#[kernel] fn f(y: &mut Ten<f32, 9, 9>) { for i in par(8) { y[i / (i / 2 + 1)][i % (i / 2 + 1)] = 1.0; } }",
        Code::Race,
    ),
    // An index whose range only a declaration promises: what is in memory may be anything.
    ("#[kernel] fn f<T: Dim>(x: &Ten<i32<0, 7>, T>, w: &Ten<f32, 8>, y: &mut Ten<f32, T>) { for t in par(T) { y[t] = w[x[t]]; } }", Code::Bounds),
    (
        "#[format(elements = 1, bytes = 1)] struct B { q: u8<0, 7> }
        #[kernel] fn f<T: Dim>(x: &Ten<B, T>, w: &Ten<f32, 8>, y: &mut Ten<f32, T>) { for t in par(T) { let q = x[t].q + 0; y[t] = w[q]; } }",
        Code::Bounds,
    ),
    // Ranges whose length or end leaves i32.
    (
        "#[kernel] fn f(a: i32<0, 2147483647>, b: i32<-2147483648, 100>, y: &mut Ten<i32, 1>) { for i in par(1) { y[i] = isum(a..b, |j| 0); } }",
        Code::Range,
    ),
    ("#[kernel] fn f(a: i32<0, 2147483647>, y: &mut Ten<i32, 1>) { for i in par(1) { y[i] = isum(0..a, |j| 0); } }", Code::Range),
    // Two axes that overlap in one index.
    ("#[kernel] fn f(y: &mut Ten<f32, 99>) { for i in par(8) { for j in par(8) { y[7 * i + j] = 1.0; } } }", Code::Race),
    // A fact that no launch could check.
    ("#[kernel] #[require(x[0] <= 0.0)] fn f(x: &Ten<f32, 1>, y: &mut Ten<f32, 1>) { y[0] = 1.0; }", Code::Type),
    ("#[kernel] #[require(x[0] < N)] fn f<N: Dim>(x: &Ten<i32, 1>, y: &mut Ten<f32, N>) { y[0] = 1.0; }", Code::Type),
    ("#[kernel] #[require(e <= 1.0)] fn f(e: f32, y: &mut Ten<f32, 1>) { y[0] = e; }", Code::Type),
    // An extent that no launch could compute.
    ("#[kernel] fn f(x: &Ten<u8, 1>, z: &Ten<f32, { x[0] }>, y: &mut Ten<f32, 1>) { y[0] = 1.0; }", Code::Type),
    ("#[kernel] fn f(x: &Ten<f32, 1.5>, y: &mut Ten<f32, 1>) { y[0] = 1.0; }", Code::Type),
    // Ranges that the type does not have.
    ("#[kernel] fn f(n: i32<0, 9999999999>, y: &mut Ten<i32, 1>) { y[0] = n; }", Code::Type),
    ("#[kernel] fn f(x: &Ten<i8<0, 300>, 1>, y: &mut Ten<i32, 1>) { y[0] = x[0]; }", Code::Type),
    ("#[kernel] fn f(x: &Ten<f16<0, 1>, 1>, y: &mut Ten<f32, 1>) { y[0] = x[0].f32(); }", Code::Type),
    // Names and parameters.
    ("#[kernel] fn f<N: Dim, N: Dim>(y: &mut Ten<f32, N>) { y[0] = 1.0; }", Code::Duplicate),
    ("#[kernel] fn f(x: &Ten<f32, 1>, x: &Ten<f32, 1>, y: &mut Ten<f32, 1>) { y[0] = x[0]; }", Code::Duplicate),
    ("#[kernel(D = [4, 4])] fn f<const D: usize>(y: &mut Ten<f32, D>) { y[0] = 1.0; }", Code::Duplicate),
    ("const K: i32 = N; #[kernel] fn f<N: Dim>(y: &mut Ten<f32, N>) { y[K] = 1.0; }", Code::UnknownName),
    ("const K: i32 = 1.0; #[kernel] fn f(y: &mut Ten<f32, 4>) { y[0] = K; }", Code::Type),
    // What the meaning of a kernel has no place for.
    ("#[kernel] fn f(y: &mut Ten<f32, 1>) -> f32 { 1.0 }", Code::Unsupported),
    ("#[kernel] fn f(y: &mut Ten<f32, 1>) { y[0] = 1.0; 2.0 }", Code::Unsupported),
    ("#[kernel] unsafe fn f(y: &mut Ten<f32, 1>) { y[0] = 1.0; }", Code::Unsupported),
    ("#[kernel] fn f(y: &mut Ten<f32, 1>) { y[0] = isum(0..3, |i| { y[0] = 2.0; i }).f32(); }", Code::Unsupported),
    // An index that is no integer, in a store into a block.
    (
        "#[format(elements = 2, bytes = 2)] struct B { q: [i8; 2] }
        #[kernel] fn f(y: &mut Ten<B, 1>) { y[0].q[0.0] = 1; }",
        Code::Type,
    ),
    // Factors of a proof that leave 64 bits prove nothing.
    (
        "#[kernel] fn f<N: Dim>(x: &Ten<f32, N>, y: &mut Ten<f32, N>) {
            for i in par(N) { y[i] = x[i / 1000000007 / 998244353 / 1000000009 * 1000 + N]; }
        }",
        Code::Bounds,
    ),
];

#[test]
fn odd_programs_are_refused() {
    for (text, code) in REFUSED {
        match compile(text) {
            Ok(_) => panic!("accepted: {text}"),
            Err((codes, shown)) => assert_eq!(codes, [*code], "{text}\n{shown}"),
        }
    }
}

/// The index of the largest of no elements is 0, also where the range begins elsewhere.
#[test]
fn argmax_of_nothing_stays_in_its_range() {
    let text = "#[kernel] fn f<N: Dim>(x: &Ten<f32, N>, y: &mut Ten<i32, 1>) { y[0] = argmax_of(5..N, |n| x[n]); }";
    let kernels = compile(text).unwrap_or_else(|(_, shown)| panic!("{shown}"));
    let mut buffers = [vec![0; 8], vec![1; 4]];
    kgen::ir::interp::run(&kernels[0], &[2], &[], &mut buffers).expect("no fault");
    assert_eq!(buffers[1], [0; 4]);
}
