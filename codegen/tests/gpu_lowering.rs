//! Small kernels in which a careless lowering for a GPU would change a bit, skip an output, or hang.
mod common;

use common::{compile, f32s, meaning};
use kgen::loop_ir::interp;
use kgen::random::Random;
use kgen::schedule::Schedule;
use kgen::target::Target;

/// The kernel gives what it means under every legal schedule of the kind, with few and many workers, in any turns.
fn agrees(text: &str, parts: Option<&str>, ints: &[i32], buffers: &[Vec<u8>]) {
    let kernel = compile(text);
    let expected = meaning(&kernel, ints, buffers).unwrap_or_else(|e| panic!("{e}\n{text}"));
    let mut legal = 0;
    for width in [1, 2, 4, 8, 16, 32] {
        let parts = parts.map(String::from);
        let schedule = Schedule { width, parts, unroll: 16, ..Schedule::plain(&["t"]) };
        let Ok(func) = Target::Cuda.lower(&kernel, &schedule) else { continue };
        legal += 1;
        for workers in [1, 2, 3, 40] {
            for seed in 1..6 {
                let (mut out, mut turns) = (buffers.to_vec(), Random::new(seed));
                func.with_layouts(ints, &mut out, |out| {
                    interp::run_at_once(&func, ints, &[], out, workers, |n| turns.below(n))
                })
                .unwrap_or_else(|e| panic!("{width} lanes, {workers} workers: {e}\n{text}"));
                assert_eq!(out, expected, "{width} lanes, {workers} workers\n{text}");
            }
        }
    }
    assert!(legal >= 4, "{legal} schedules are legal\n{text}");
}

/// Two rows of numbers that are no multiples of each other.
fn rows(row: usize) -> Vec<u8> {
    f32s(&(0..2 * row).map(|i| 1.0 + 0.37 * i as f32).collect::<Vec<_>>())
}

#[test]
fn what_lanes_exchange_is_computed_by_all_of_them() {
    // Used once, in a choice that differs from lane to lane, and in an address that one lane computes.
    let bytes = |n: usize| (0..n).map(|i| (i * 7 % 11) as u8).collect::<Vec<u8>>();
    let text = "#[kernel] fn f<T: Dim>(x: &Ten<i8, T, 32>, y: &mut Ten<i32, T, 32>) { for t in par(T) {
        let s = isum(0..32, |j| x[t][j]);
        for i in par(32) { y[t][i] = if x[t][i] < 3 { s } else { 0 }; } } }";
    agrees(text, None, &[2], &[bytes(64), vec![0; 256]]);
    let text = "#[kernel] fn f<T: Dim>(x: &Ten<f32, T, 32>, y: &mut Ten<f32, T, 32>) { for t in par(T) {
        let s = sum(0..32, lanes(32), |acc, j| acc + x[t][j]);
        for i in par(32) { y[t][i] = if x[t][i] < 3.0 { s } else { 0.0 }; } } }";
    agrees(text, None, &[2], &[rows(32), vec![0; 256]]);
    let text = "#[kernel] fn f<T: Dim>(x: &Ten<i8, T, 32>, y: &mut Ten<i32, T, 32>) { for t in par(T) {
        y[t][max(0, min(isum(0..32, |j| x[t][j]), 31))] = 7; } }";
    agrees(text, None, &[2], &[bytes(64), vec![0; 256]]);
}

#[test]
fn a_merge_without_parts_still_gives_its_result() {
    let text = |parts: &str, n: &str| {
        format!(
            "#[kernel] fn f<T: Dim>(x: &Ten<f32, T, 64>, {n}y: &mut Ten<f32, T>) {{ for t in par(T) {{
            let (s, w) = merge(0..{parts}, (1.0, 2.0), |c| (x[t][c], 1.0), |(s, w), (p, q)| (s * 0.5 + p, w + q));
            y[t] = s + w; }} }}"
        )
    };
    for n in [0, 1, 5, 64] {
        agrees(&text("n", "n: i32<0, 64>, "), Some("c"), &[2, n], &[rows(64), vec![9; 8]]);
    }
    for n in [1, 2, 3] {
        agrees(&text("n - 2", "n: i32<1, 64>, "), Some("c"), &[2, n], &[rows(64), vec![9; 8]]);
    }
    let causal = "#[kernel] fn f<T: Dim>(x: &Ten<f32, T, T>, y: &mut Ten<f32, T>) { for t in par(T) {
        let (s, w) = merge(0..t, (1.0, 2.0), |c| (x[t][c], 1.0), |(s, w), (p, q)| (s * 0.5 + p, w + q));
        y[t] = s + w; } }";
    for t in [1, 2, 5] {
        let x: Vec<f32> = (0..t * t).map(|i| i as f32).collect();
        agrees(causal, Some("c"), &[t], &[f32s(&x), vec![9; 4 * t as usize]]);
    }
}

#[test]
fn everything_that_merging_takes_from_a_part_is_kept() {
    let text = "#[kernel] fn f<T: Dim>(x: &Ten<f32, T, 4, 4>, y: &mut Ten<f32, T, 16>) { for t in par(T) {
        let (s, w) = merge(0..4, (map(16, |i| 0.0), 1.0), |c| {
            let (q, r) = merge(0..4, (map(16, |i| 1.0), 0.5), |d| (x[t][c][d], 1.0),
                |(a, e), (b, f)| (map(16, |i| a[i] * 0.5 + b), e + f));
            (q, r)
        }, |(s, w), (p, q)| (map(16, |i| s[i] * 0.25 + p[i]), w * 0.5 + q));
        for i in par(16) { y[t][i] = s[i] + w; } } }";
    agrees(text, Some("c"), &[2], &[rows(16), vec![0; 128]]);
    // Merging may need nothing but the number of parts.
    let text = "#[kernel] fn f<T: Dim>(x: &Ten<f32, T>, n: i32<0, 64>, y: &mut Ten<f32, T>) { for t in par(T) {
        let (s, w) = merge(0..n, (1.0, 2.0), |c| (1.0, 1.0), |(s, w), (p, q)| (s * 0.5 + p, w + q));
        y[t] = s + w + x[t]; } }";
    for n in [0, 3] {
        agrees(text, Some("c"), &[2, n], &[rows(1), vec![0; 8]]);
    }
}

#[test]
fn what_is_stored_before_a_merge_is_stored_once() {
    let text = |z: &str| {
        format!(
            "#[kernel] fn f<T: Dim>(x: &Ten<f32, T, 4>, z: &mut Ten<f32, T>, y: &mut Ten<f32, T>) {{ for t in par(T) {{
            {z}
            let (s, w) = merge(0..4, (1.0, 2.0), |c| (x[t][c], 1.0), |(s, w), (p, q)| (s * 0.25 + p, w + q));
            y[t] = s + w; }} }}"
        )
    };
    let kernel = compile(&text("z[t] = x[t][0] * 2.0;"));
    let schedule = Schedule { parts: Some("c".into()), ..Schedule::plain(&["t"]) };
    let refused = Target::Cuda.lower(&kernel, &schedule).unwrap_err();
    assert!(refused.contains("stored before the merge"), "{refused}");
}
