//! Small kernels in which a careless lowering for a GPU would change a bit, skip an output, or hang.
mod common;

use common::{compile, f32s, meaning};
use kgen::loop_ir::{Bind, Stmt, interp};
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
    for n in [1, 5, 64] {
        agrees(&text("n - n / 3", "n: i32<1, 64>, "), Some("c"), &[2, n], &[rows(64), vec![9; 8]]);
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

/// The kernel gives what it means under every legal schedule of teams, with few and many of them, in any turns; how many
/// schedules are legal.
fn team_agrees(text: &str, like: &Schedule, ints: &[i32], buffers: &[Vec<u8>]) -> usize {
    let kernel = compile(text);
    let expected = meaning(&kernel, ints, buffers).unwrap_or_else(|e| panic!("{e}\n{text}"));
    let mut legal = 0;
    for (width, team) in [1, 2, 4, 8, 16, 32].into_iter().flat_map(|width| (2..=8).map(move |team| (width, team))) {
        let schedule = Schedule { width, team, threads: width * team, unroll: 16, ..like.clone() };
        let func = Target::Cuda.lower(&kernel, &schedule).unwrap_or_else(|e| panic!("{e}\n{text}"));
        legal += 1;
        for (teams, seed) in [(1, 1), (2, 2), (2, 3), (3, 4), (9, 5)] {
            let (mut out, mut turns) = (buffers.to_vec(), Random::new(seed));
            interp::run_at_once(&func, ints, &[], &mut out, teams, |n| turns.below(n))
                .unwrap_or_else(|e| panic!("{width} lanes, {teams} teams of {team}: {e}\n{text}"));
            assert_eq!(out, expected, "{width} lanes, {teams} teams of {team}\n{text}");
        }
    }
    legal
}

/// Every row of `w` with every row of `x`: the order of the additions shows in the bits.
const MATVEC: &str =
    "#[kernel] fn f<T: Dim, N: Dim, K: Dim>(w: &Ten<f32, N, K>, x: &Ten<f32, T, K>, y: &mut Ten<f32, T, N>) {
    for n in par(N) { for t in par(T) { y[t][n] = sum(0..K, segments(8), |acc, k| fma(w[n][k], x[t][k], acc)); } } }";

#[test]
fn a_team_shares_the_segments_of_a_sum() {
    for (t, n, k) in [(1, 3, 40), (3, 2, 7), (5, 4, 17), (2, 1, 1)] {
        let numbers = |len: i32| f32s(&(0..len).map(|i| 0.3 + 1e4f32.powi(i % 3 - 1) * i as f32).collect::<Vec<_>>());
        let buffers = [numbers(n * k), numbers(t * k), vec![9; (4 * t * n) as usize]];
        for (tile, stage) in [(1, vec![]), (2, vec![]), (1, vec!["w", "x"]), (3, vec!["x"]), (2, vec!["w"])] {
            let tile = [("n".to_string(), tile), ("t".to_string(), tile)].into();
            let stage = stage.into_iter().map(String::from).collect();
            let like = Schedule { tile, stage, most: [("K".to_string(), 40)].into(), ..Schedule::plain(&["n"]) };
            assert_eq!(team_agrees(MATVEC, &like, &[t, n, k], &buffers), 6 * 7);
        }
    }
}

#[test]
fn what_surrounds_a_shared_sum_is_done_once() {
    // Sums of sums, a choice between sums, several outputs, and a merge over sums.
    let text = "#[kernel] fn f<T: Dim>(x: &Ten<f32, T, 32>, y: &mut Ten<f32, T, 2>, z: &mut Ten<f32, T>) { for t in par(T) {
        let a = sum(0..3, segments(2), |acc, i| acc * 0.5 + sum(0..9, segments(4), |acc, j| fma(x[t][j], x[t][i], acc)));
        let b = if x[t][0] < 3.0 { sum(0..11, segments(3), |acc, j| acc + x[t][j]) } else { sum(0..32, lanes(32), |acc, j| acc - x[t][j]) };
        for i in par(2) { y[t][i] = a + sum(0..20, segments(5), |acc, j| acc + x[t][j + i]); }
        let (s, u) = merge(0..4, (b, 1.0), |c| (sum(0..7, segments(7), |acc, j| acc + x[t][c * 7 + j]), 1.0),
            |(s, u), (p, q)| (s * 0.5 + p, u + q));
        z[t] = s + u; } }";
    let like = Schedule::plain(&["t"]);
    assert_eq!(
        team_agrees(text, &like, &[5], &[[rows(32), rows(32), rows(16)].concat(), vec![7; 40], vec![7; 20]]),
        6 * 7
    );
}

#[test]
fn a_team_shares_maps_and_merges() {
    // Arrays of lengths that are no multiples of lanes or members, read at other indices than they were written, in a side that
    // all members take, and maps in a loop and inside of a turn.
    let text =
        "#[kernel] fn f<T: Dim>(x: &Ten<f32, T, 32>, n: i32<0, 30>, y: &mut Ten<f32, T, 20>, z: &mut Ten<f32, T>) {
        for t in par(T) {
            let a = map(min(n, 21), |i| x[t][i] * 3.0);
            let b = map(min(n, 21), |i| a[i] + 1.0);
            let s = sum(0..min(n, 21), lanes(8), |acc, i| acc + a[min(n, 21) - 1 - i] * b[i]);
            let (o, w) = merge(0..3, (map(20, |i| x[t][i]), s), |c| (map(20, |i| x[t][i + c]), x[t][c]),
                |(o, w), (p, q)| { let r = map(20, |i| o[19 - i] + p[i]); (map(20, |i| r[19 - i] * w), q) });
            let d = map(9, |i| o[i] * 0.5);
            let u = if x[t][0] < 3.0 { sum(0..9, segments(2), |acc, i| acc + d[i]) } else { w };
            for i in par(20) { let e = map(3, |j| o[j] * x[t][i]); y[t][i] = e[0] + e[1] * e[2] + o[i]; }
            z[t] = u + s;
        } }";
    for n in [0, 1, 13, 21, 30] {
        let buffers = [[rows(32), rows(32), rows(16)].concat(), vec![7; 400], vec![7; 20]];
        assert_eq!(team_agrees(text, &Schedule::plain(&["t"]), &[5, n], &buffers), 6 * 7);
    }
}

#[test]
fn a_team_copies_all_of_what_constant_extents_span() {
    let text = "#[kernel] fn f<T: Dim, C: Dim>(k: &Ten<f16, C, T, 6, 4>, x: &Ten<f32, T, 6>, y: &mut Ten<f32, T, 4>) {
        for t in par(T) {
            let a = map(6, |d| x[t][d] * 0.5);
            let (o, w) = merge(0..C, (map(4, |j| 0.0), 1.0),
                |c| (map(4, |j| sum(0..6, chain, |acc, d| fma(a[d], k[c][t][d][j].f32(), acc))), 0.5),
                |(o, w), (p, q)| (map(4, |j| o[j] * 0.75 + p[j]), w * q));
            for j in par(4) { y[t][j] = o[j] * w; }
        } }";
    let (t, c) = (3, 4);
    let halves: Vec<u8> = (0..c * t * 24).flat_map(|i| (0x3c00 + i as u16 * 37).to_le_bytes()).collect();
    let x = f32s(&(0..t * 6).map(|i| 0.3 + i as f32).collect::<Vec<_>>());
    let buffers = [halves, x, vec![7; (16 * t) as usize]];
    let stage = vec!["k".to_string()];
    let like = Schedule { parts: Some("c".into()), stage: stage.clone(), ..Schedule::plain(&["t"]) };
    assert_eq!(team_agrees(text, &like, &[t, c], &buffers), 6 * 7);
    // Pieces of 16 bytes: 24 halves are three.
    let schedule = Schedule { width: 2, team: 3, threads: 6, ..like };
    let func = Target::Cuda.lower(&compile(text), &schedule).expect("as above");
    fn pieces(stmts: &[Stmt]) -> Vec<usize> {
        let own = stmts.iter().filter_map(|s| if let Stmt::Copy { len, .. } = s { Some(*len) } else { None });
        own.chain(stmts.iter().flat_map(|s| s.lists()).flat_map(|list| pieces(list))).collect()
    }
    let pieces = pieces(&func.body);
    assert!(!pieces.is_empty() && pieces.iter().all(|bytes| *bytes == 16), "{pieces:?}");
}

#[test]
fn what_each_lane_has_one_element_of_is_a_register() {
    let text = "#[kernel] fn f<T: Dim>(x: &Ten<f32, T, 32>, y: &mut Ten<f32, T, 12>) {
        for t in par(T) {
            let (o, w) = merge(0..3, (map(12, |i| x[t][i]), 1.0), |c| (map(12, |i| x[t][i + c]), 0.5),
                |(o, w), (p, q)| (map(12, |i| o[i] * 0.5 + p[i]), w * q));
            for i in par(12) { y[t][i] = o[i] * w; }
        } }";
    let buffers = [[rows(32), rows(32), rows(16)].concat(), vec![7; 240]];
    assert_eq!(team_agrees(text, &Schedule::plain(&["t"]), &[5], &buffers), 6 * 7);
    let arrays = |width: usize, team: usize| {
        let schedule = Schedule { width, team, threads: width * team, ..Schedule::plain(&["t"]) };
        let func = Target::Cuda.lower(&compile(text), &schedule).expect("as above");
        func.body.iter().filter(|s| matches!(s, Stmt::Array { .. })).count()
    };
    assert_eq!(arrays(4, 3), 0, "12 lanes in all");
    assert!(arrays(4, 2) > 0 && arrays(4, 4) > 0, "some lanes have more or none");
}

#[test]
fn members_that_keep_to_their_own_elements_meet_once_in_a_merge() {
    fn barriers(stmts: &[Stmt], inside: bool) -> usize {
        let merge = |s: &Stmt| matches!(s, Stmt::For { bind: Bind::Serial, step: 1, .. });
        let own = |s: &Stmt| usize::from(inside && matches!(s, Stmt::Barrier));
        let lists = |s: &Stmt| s.lists().iter().map(|list| barriers(list, inside || merge(s))).sum::<usize>();
        stmts.iter().map(|s| own(s) + lists(s)).sum()
    }
    let like = Schedule { parts: Some("c".into()), ..Schedule::plain(&["t"]) };
    for (index, own) in [("i", true), ("31 - i", false)] {
        let text = format!(
            "#[kernel] fn f<T: Dim>(x: &Ten<f32, T, 3, 32>, y: &mut Ten<f32, T, 32>) {{ for t in par(T) {{
            let (s, o) = merge(0..3, (1.0, map(32, |i| 0.5)), |c| (x[t][c][1], map(32, |i| x[t][c][i])),
                |(s, o), (p, q)| (s * 0.5 + p, map(32, |i| o[{index}] * s + q[i])));
            for i in par(32) {{ y[t][i] = o[31 - i] / s; }} }} }}"
        );
        let buffers = [[rows(32), rows(32), rows(32)].concat(), vec![7; 256]];
        assert_eq!(team_agrees(&text, &like, &[2], &buffers), 6 * 7);
        for (width, team) in [(1, 2), (8, 4), (32, 2), (4, 3)] {
            let schedule = Schedule { width, team, threads: width * team, ..like.clone() };
            let func = Target::Cuda.lower(&compile(&text), &schedule).unwrap();
            assert_eq!(barriers(&func.body, false) == 0, own, "{width} lanes, teams of {team}");
        }
    }
}

#[test]
fn teams_share_the_parts_of_a_merge() {
    let text =
        "#[kernel] fn f<T: Dim>(x: &Ten<f32, T, 4, 8>, n: i32<0, 4>, y: &mut Ten<f32, T, 20>, z: &mut Ten<f32, T>) {
        for t in par(T) {
            let a = map(8, |i| x[t][0][i] * 2.0);
            let (s, o) = merge(0..min(n, t + 2), (1.0, map(20, |i| 0.5)), |c| {
                let p = map(min(n, 3) + c, |j| x[t][c][j] * a[j]);
                let l = sum(0..min(n, 3) + c, segments(3), |acc, j| acc + p[j]);
                (l, map(20, |i| sum(0..min(n, 3) + c, chain, |acc, j| fma(p[j], x[t][c][(i * 3 + j) % 8], acc))))
            }, |(s, o), (l, q)| (s * 0.5 + l, map(20, |i| o[19 - i] * 0.25 + q[i])));
            for i in par(20) { y[t][i] = o[i] / s; }
            z[t] = s;
        } }";
    let like = Schedule { parts: Some("c".into()), ..Schedule::plain(&["t"]) };
    for n in 0..=4 {
        let buffers = [[rows(32), rows(16)].concat(), vec![7; 240], vec![7; 12]];
        assert_eq!(team_agrees(text, &like, &[3, n], &buffers), 6 * 7);
    }
    // The new state is a part itself, or the old one.
    let text = "#[kernel] fn f<T: Dim>(x: &Ten<f32, T, 4, 8>, y: &mut Ten<f32, T, 7>) { for t in par(T) {
        let (s, o, r) = merge(0..4, (1.0, map(7, |i| 0.5), map(7, |i| 1.5)), |c| (x[t][c][0], map(7, |i| x[t][c][i])),
            |(s, o, r), (p, q)| (s + p, q, o));
        for i in par(7) { y[t][i] = o[i] + r[i] * s; } } }";
    assert_eq!(team_agrees(text, &like, &[2], &[rows(32), vec![7; 56]]), 6 * 7);
}

#[test]
fn teams_that_cannot_be_are_refused() {
    let refused = |text: &str, change: &dyn Fn(&mut Schedule)| {
        let mut schedule = Schedule { width: 4, team: 2, threads: 8, ..Schedule::plain(&["n"]) };
        change(&mut schedule);
        Target::Cuda.lower(&compile(text), &schedule).unwrap_err()
    };
    let wrong = |text: &str, change: &dyn Fn(&mut Schedule), part: &str| {
        let reason = refused(text, change);
        assert!(reason.contains(part), "{reason}");
    };
    let stage = |buffers: &[&str], most: i32| {
        let stage: Vec<String> = buffers.iter().map(|name| name.to_string()).collect();
        move |s: &mut Schedule| {
            s.stage = stage.clone();
            s.most.insert("K".into(), most);
        }
    };
    wrong(MATVEC, &|s| s.team = 0, "at least one member");
    wrong(MATVEC, &|s| s.threads = 32, "no CTA of 32 threads in groups of 4 that are one team of 2");
    wrong(MATVEC, &|s| (s.team, s.threads) = (512, 2048), "no CTA of 2048 threads");
    let staged = stage(&["x"], 40);
    wrong(MATVEC, &|s| (staged(s), s.team = 1).1, "copied for the members of a team: there is none");
    wrong(MATVEC, &stage(&["y"], 40), "no buffer `y` that is read");
    wrong(MATVEC, &stage(&["z"], 40), "no buffer `z` that is read");
    wrong(MATVEC, &stage(&["x", "x"], 40), "named twice");
    wrong(MATVEC, &|s| s.stage = vec!["x".into()], "`most` does not bound the length of the rows of `x`");
    wrong(MATVEC, &stage(&["x"], -1), "does not bound");
    wrong(MATVEC, &stage(&["x"], 30_000), "120032 bytes of shared memory");
    let bytes = "#[kernel] fn f<N: Dim, K: Dim>(x: &Ten<i8, N, K>, z: &Ten<i8, K>, y: &mut Ten<f32, N>) {
        for n in par(N) { y[n] = sum(0..K, segments(2), |acc, k| acc + x[n][k].f32()); } }";
    wrong(bytes, &stage(&["x"], 40), "1 bytes, which are no pieces of 4");
    wrong(bytes, &stage(&["z"], 40), "no row of `z` is read");
    let inside = "#[kernel] fn f<N: Dim, K: Dim>(x: &Ten<f32, N, K>, y: &mut Ten<f32, N>) {
        for n in par(N) { y[n] = sum(0..N, segments(2), |acc, i| acc + x[i][0]); } }";
    wrong(inside, &stage(&["x"], 40), "which rows of `x` are read is known too late");
    let alone =
        "#[kernel] fn f<N: Dim>(x: &Ten<f32, N>, y: &mut Ten<f32, N>) { for n in par(N) { y[n] = x[n] * 2.0; } }";
    wrong(alone, &|_| (), "there is nothing that a team could share");
    let parts = "#[kernel] fn f<N: Dim>(x: &Ten<f32, N, 4>, y: &mut Ten<f32, N>) { for n in par(N) {
        let (s, w) = merge(0..4, (1.0, 2.0), |c| (x[n][c], 1.0), |(s, w), (p, q)| (s * 0.25 + p, w + q));
        y[n] = s + w; } }";
    wrong(parts, &|s| s.parts = Some("c".into()), "there is nothing that a team could share");
    let within = "#[kernel] fn f<N: Dim>(x: &Ten<f32, N, 5>, y: &mut Ten<f32, N>) { for n in par(N) {
        let (s, w) = merge(0..4, (1.0, 2.0), |c| (1.0, map(c + 1, |i| x[n][i])), |(s, w), (p, q)| {
            let (u, v) = merge(0..2, (q, 1.0), |d| (x[n][d], 1.0), |(u, v), (a, b)| (u, v + a));
            (s + u[0], w * v) });
        y[n] = s + w; } }";
    wrong(within, &|s| s.parts = Some("c".into()), "only the part knows");
    let on_cpu = Schedule { team: 2, threads: 2, ..Schedule::plain(&["n"]) };
    let refused = Target::Cpu(kgen::cpu::Isa::Scalar).lower(&compile(MATVEC), &on_cpu).unwrap_err();
    assert!(refused.contains("leave `team` out of the schedule"), "{refused}");
}

/// Lowered kernels without one of their barriers or waits.
#[test]
fn barriers_of_a_team_are_needed() {
    fn remove(stmts: &mut Vec<Stmt>, which: usize, seen: &mut usize) {
        stmts.retain(|s| {
            let counts = matches!(s, Stmt::Barrier | Stmt::Await);
            *seen += usize::from(counts);
            !(counts && *seen == which)
        });
        stmts.iter_mut().flat_map(Stmt::lists_mut).for_each(|list| remove(list, which, seen));
    }
    let kernel = compile(MATVEC);
    let buffers = [rows(32), rows(32), vec![9; 16]];
    // A wait and a barrier after the copies, one after the segments and one after their sum; that after the last read of a row
    // has the one before it.
    for (stage, needed, all) in [(vec![], 2, 2), (vec!["x".to_string()], 3, 5)] {
        let most = [("K".to_string(), 32)].into();
        let schedule = Schedule { width: 2, team: 4, threads: 8, stage, most, ..Schedule::plain(&["n"]) };
        let without = |which: usize| {
            let (mut func, mut seen) = (Target::Cuda.lower(&kernel, &schedule).unwrap(), 0);
            remove(&mut func.body, which, &mut seen);
            let (mut out, mut turns) = (buffers.to_vec(), Random::new(3));
            let done = interp::run_at_once(&func, &[2, 2, 32], &[], &mut out, 1, |n| turns.below(n));
            (done.map_err(|fault| fault.reason), seen)
        };
        assert_eq!(without(0), (Ok(()), all));
        for which in 1..=needed {
            let reason = without(which).0.expect_err("something is out of order");
            let expected = ["a race", "never written", "under way"];
            assert!(expected.iter().any(|part| reason.contains(part)), "without {which}: {reason}");
        }
    }
}
