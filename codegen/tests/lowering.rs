//! Small kernels in which a careless lowering would change a bit or leave a proved range.
mod common;

use common::{WIDTHS, compile, f32s, i32s, legal, lowered, meaning, schedule};
use kgen::schedule::Schedule;

/// The kernel means `expected`, and every width that is legal agrees; there are `widths` of them.
fn agrees(text: &str, ints: &[i32], buffers: &[Vec<u8>], widths: usize) -> Vec<u8> {
    let kernel = compile(text);
    let expected = meaning(&kernel, ints, buffers).unwrap_or_else(|e| panic!("{e}\n{text}"));
    let mut legal_ones = 0;
    for width in WIDTHS {
        for dot in [None, Some("dot4_vpdpbusd")] {
            let schedule = schedule("t", width, dot, 8);
            if let Err(e) = legal(&kernel, &schedule) {
                assert!(width > 1 || dot.is_some(), "{e}\n{text}");
                continue;
            }
            legal_ones += 1;
            let func = kgen::lower::lower(&kernel, &schedule).unwrap();
            let given = lowered(&func, ints, buffers)
                .unwrap_or_else(|e| panic!("{schedule:?}: {e}\n{text}\n{}", kgen::loop_ir::print::func(&func)));
            assert_eq!(given, expected, "{schedule:?}\n{text}\n{}", kgen::loop_ir::print::func(&func));
        }
    }
    assert!(legal_ones >= widths, "{legal_ones} schedules are legal\n{text}");
    expected.last().unwrap().clone()
}

#[test]
fn the_state_of_a_merge_is_replaced_at_once() {
    let text = "#[kernel] fn f<T: Dim>(x: &Ten<f32, T, 5>, y: &mut Ten<f32, T, 2>) { for t in par(T) {
        let (a, b) = merge(0..5, (1.0, 2.0), |c| (x[t][c], 0.0), |(a, b), (p, q)| (b, a + p));
        let (c, d) = merge(0..5, (a, b), |c| (x[t][c], 0.0), |(a, b), (p, q)| (a + p, a));
        y[t][0] = c; y[t][1] = d; } }";
    agrees(text, &[1], &[f32s(&[1.0, 10.0, 100.0, 1000.0, 10000.0]), vec![0; 8]], 4);
    let text = "#[kernel] fn f<T: Dim>(y: &mut Ten<f32, T, 2>) { for t in par(T) {
        let (a, b) = merge(0..3, (map(16, |i| 1.0), map(16, |i| 2.0)), |c| (0.0, 0.0), |(a, b), (p, q)| (b, a));
        y[t][0] = a[3]; y[t][1] = b[3]; } }";
    assert_eq!(agrees(text, &[1], &[vec![0; 8]], 4), f32s(&[2.0, 1.0]));
}

#[test]
fn a_half_that_was_computed_is_rounded() {
    let text = "#[kernel] fn f<T: Dim>(x: &Ten<f32, T, 21>, y: &mut Ten<f32, T, 21>) { for t in par(T) {
        for n in par(21) { let h = x[t][n].f16(); y[t][n] = h.f32() + x[t][n].bf16().f32(); } } }";
    let x: Vec<f32> = (0..21).map(|i| 1.0 + i as f32 * 1e-4).collect();
    agrees(text, &[1], &[f32s(&x), vec![0; 84]], 4);
}

#[test]
fn a_stored_half_is_canonical() {
    let text = "#[kernel] fn f<T: Dim>(x: &Ten<f16, T, 17>, y: &mut Ten<f16, T, 17>) {
        for t in par(T) { for n in par(17) { y[t][n] = x[t][n]; } } }";
    let y = agrees(text, &[1], &[[0x01, 0xfe].repeat(17), vec![0; 34]], 4);
    assert_eq!(y, [0x00, 0x7e].repeat(17));
}

const BLOCK: &str = "#[format(elements = 64, bytes = 128)] struct B { u: [u8; 64], s: [i8; 64] }\n";

fn block() -> Vec<u8> {
    (0..128u32).map(|i| (i * 37 % 251) as u8).collect()
}

#[test]
fn a_partial_sum_meets_what_differs_from_lane_to_lane() {
    for value in ["s + e", "e - s", "min(e, s)", "s * x[t].s[e]", "x[t].s[e] * s - s"] {
        let text = format!(
            "{BLOCK}#[kernel] fn f<T: Dim>(x: &Ten<B, T>, y: &mut Ten<i32, T, 64>) {{ for t in par(T) {{
            let s = isum(0..64, |i| x[t].u[i] * x[t].s[i]);
            for e in par(64) {{ y[t][e] = {value}; }} }} }}"
        );
        agrees(&text, &[1], &[block(), vec![0; 256]], 7);
    }
}

#[test]
fn the_side_that_is_not_chosen_is_not_computed() {
    for value in [
        "if k < 100 { k * 20000000 + k * k } else { 0 }",
        "if k > 0 { (1000 / k) * (1000 / k) } else { 7 }",
        "if k < 8 { (1 << k) + (1 << k) * 2 } else { 1 }",
    ] {
        let text = format!(
            "#[kernel] fn f<T: Dim>(x: &Ten<i32<0, 1000000>, T, 20>, y: &mut Ten<i32, T, 20>) {{ for t in par(T) {{
            for n in par(20) {{ let k = abs(x[t][n]); y[t][n] = {value}; }} }} }}"
        );
        let x: Vec<i32> = (0..20).map(|i| [0, 3, 99, 1_000_000, 31][i % 5]).collect();
        agrees(&text, &[1], &[i32s(&x), vec![0; 80]], 4);
    }
}

#[test]
fn a_choice_may_be_between_any_numbers_in_memory() {
    let text = "#[kernel] fn f<T: Dim>(p: i32<0, 1>, x: &Ten<f16, T, 2>, y: &mut Ten<f32, T>) { for t in par(T) {
        let h = if p < 1 { x[t][0] } else { x[t][1] };
        let c = if p < 1 { x[t][0].f32() < 1.0 } else { x[t][1].f32() < 1.0 };
        y[t] = if c { h.f32() } else { -1.0 }; } }";
    for p in [0, 1] {
        agrees(text, &[3, p], &[[0, 0x3c, 0, 0x38].repeat(3), vec![0; 12]], 4);
    }
}

#[test]
fn an_index_can_be_a_term_of_an_integer_sum_in_lanes() {
    let text = "#[kernel] fn f<T: Dim, N: Dim>(y: &mut Ten<i32, T, 20>) { for t in par(T) {
        for j in par(20) { y[t][j] = isum(0..min(N, 9), |i| j); } } }";
    agrees(text, &[2, 7], &[vec![0; 160]], 4);
}

#[test]
fn numbers_as_large_as_the_sum_of_all_lanes_allows() {
    let text = "#[kernel] fn f<T: Dim>(x: &Ten<i32<0, 134217727>, T, 16>, y: &mut Ten<i32, T>) {
        for t in par(T) { y[t] = isum(0..16, |i| x[t][i]); } }";
    agrees(text, &[1], &[i32s(&[134217727; 16]), vec![0; 4]], 4);
}

#[test]
fn bytes_may_be_shifted_away() {
    let text = format!(
        "{BLOCK}#[kernel] fn f<T: Dim>(by: i32<0, 20>, x: &Ten<B, T>, y: &mut Ten<i32, T>) {{
        for t in par(T) {{ y[t] = isum(0..64, |i| (x[t].u[i] >> by) * x[t].s[i]); }} }}"
    );
    for by in [3, 7, 8, 20] {
        agrees(&text, &[1, by], &[block(), vec![0; 4]], 7);
    }
}

/// Two negative extents would multiply to work that is not there.
#[test]
fn an_axis_of_negative_extent_is_empty() {
    let text = "#[kernel] #[require(p - 9 <= N)] fn f<N: Dim>(p: i32<0, 99>, y: &mut Ten<f32, N, N>) {
        for i in par(p - 9) { for j in par(p - 9) { y[i][j] = 1.0; } } }";
    let kernel = compile(text);
    for (split, tile) in [(vec!["i", "j"], None), (vec!["i", "j"], Some("j")), (vec!["i"], Some("j"))] {
        let mut schedule = Schedule::plain(&split);
        schedule.tile.extend(tile.map(|axis| (axis.to_string(), 3)));
        let func = kgen::lower::lower(&kernel, &schedule).unwrap();
        for p in [0, 2, 9, 11] {
            let buffers = [vec![0; 4 * 2 * 2]];
            let expected = meaning(&kernel, &[2, p], &buffers);
            assert_eq!(lowered(&func, &[2, p], &buffers), expected, "{schedule:?} {p}");
        }
    }
}

#[test]
fn a_schedule_names_an_axis_once_and_keeps_tiles_small() {
    let kernel = compile(
        "#[kernel] fn f<T: Dim>(y: &mut Ten<f32, T, T>) { for t in par(T) { for u in par(T) { y[t][u] = 1.0; } } }",
    );
    let reason = |schedule: &Schedule| legal(&kernel, schedule).unwrap_err();
    assert!(reason(&Schedule::plain(&["t", "t"])).contains("named twice"));
    let mut large = Schedule::plain(&["t"]);
    large.tile.extend([("t".into(), 1 << 20), ("u".into(), 1 << 20)]);
    assert!(reason(&large).contains("side by side"));
}

#[test]
fn no_name_is_taken_for_the_end_of_a_loop() {
    let kernel = compile(
        "#[kernel] fn f<T: Dim>(n_end: i32<0, 9>, y: &mut Ten<i32, T, 64>) { for t in par(T) {
        for n in par(64) { y[t][n] = n_end + n; } } }",
    );
    let func = kgen::lower::lower(&kernel, &schedule("t", 8, None, 0)).unwrap();
    let text = kgen::cpu::format(kgen::cpu::module(&[func], kgen::cpu::Isa::Avx2).unwrap()).unwrap();
    assert!(text.contains("(mut n, n_end)") && !text.contains("let n_end = "), "{text}");
}
