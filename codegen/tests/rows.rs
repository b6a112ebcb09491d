//! Lanes that do a row each, and weights whose rows lie side by side for them.
mod common;

use common::{compile, lowered, meaning};
use kgen::cpu::Isa;
use kgen::cuda;
use kgen::ir::BinOp;
use kgen::layout::{Layout, SideBySide};
use kgen::loop_ir::{Expr, Stmt, interp};
use kgen::nvrtc::Compiler;
use kgen::places::Places;
use kgen::random::Random;
use kgen::schedule::{self, Schedule};
use kgen::target::Target;

const MATVEC: &str = "
    #[format(elements = 32, bytes = 46)]
    struct W { d: f16, scales: [i8; 4], high: [u8; 8], low: [u8; 32] }
    #[format(elements = 32, bytes = 40)]
    struct X { q: [i8<-127, 127>; 32], sums: [i16<-508, 508>; 4] }
    impl W {
        fn q(self, j: int, i: int) -> int { (self.low[j * 8 + i] & 15) | ((self.high[i] >> (2 * j) & 3) << 4) }
        fn dot(self, x: X, acc: f32) -> f32 {
            let s = isum(0..4, |j| self.scales[j] * isum(0..8, |i| self.q(j, i) * x.q[j * 8 + i]));
            let m = isum(0..4, |j| self.scales[j] * x.sums[j]);
            fma(self.d.f32(), (s - 32 * m).f32(), acc)
        }
    }
    #[kernel] fn f<T: Dim, N: Dim, B: Dim>(w: &Ten<W, N, B>, x: &Ten<X, T, B>, y: &mut Ten<f32, T, N>) {
        for n in par(N) { for t in par(T) {
            y[t][n] = sum(0..B, segments(3), |acc, b| w[n][b].dot(x[t][b], acc));
        } } }";

fn buffers(t: usize, n: usize, b: usize) -> Vec<Vec<u8>> {
    let mut random = Random::new(5);
    let mut block = |bytes: usize| (0..bytes).map(|_| random.bits() as u8).collect::<Vec<u8>>();
    let mut w: Vec<Vec<u8>> = (0..n * b).map(|_| block(46)).collect();
    w.iter_mut().for_each(|block| block[1] = 0x20 | block[1] & 0x83);
    let mut x: Vec<Vec<u8>> = (0..t * b).map(|_| block(40)).collect();
    for block in &mut x {
        block[..32].iter_mut().for_each(|q| *q = (*q as i8).max(-127) as u8);
        block[32..].chunks_exact_mut(2).for_each(|sum| sum[1] = if sum[1] & 1 == 0 { 0 } else { 1 });
        block[32..].chunks_exact_mut(2).for_each(|sum| sum[0] &= if sum[1] == 0 { 255 } else { 127 });
    }
    vec![w.concat(), x.concat(), vec![0xa5; 4 * t * n]]
}

/// How integer sums are done: by instructions for dots or not, as loops or written out, side by side or one after the other.
fn sums(target: Target, width: usize) -> Vec<Schedule> {
    let mut all = vec![Schedule { width, ..Schedule::plain(&["n"]) }];
    for dot in target.dots(width) {
        let sums = Schedule { dot: Some(dot.to_string()), ..all[0].clone() };
        if !dot.starts_with("pairs") {
            all.push(sums.clone());
        }
        for dot2 in target.dots2(width) {
            let sums = Schedule { dot2: Some(dot2.to_string()), ..sums.clone() };
            for (rolled, jam) in [(&[][..], 1), (&["i"], 2), (&["i"], 4), (&["j"], 1)] {
                let rolled = rolled.iter().map(|axis: &&str| axis.to_string()).collect();
                all.push(Schedule { rolled, jam, ..sums.clone() });
            }
        }
    }
    all
}

fn pieces(of: &[(&str, usize)], rows: usize) -> SideBySide {
    SideBySide { rows, piece: 0, pieces: of.iter().map(|(name, bytes)| (name.to_string(), *bytes)).collect() }
}

#[test]
fn lanes_do_rows() {
    let kernel = compile(MATVEC);
    let targets = [Target::Cpu(Isa::Avx2), Target::Cpu(Isa::Avx512), Target::Cuda];
    let mut legal = 0;
    for (t, n, b) in [(1, 37, 3), (3, 16, 1)] {
        let ints = [t as i32, n as i32, b as i32];
        let buffers = buffers(t, n, b);
        let expected = meaning(&kernel, &ints, &buffers).unwrap();
        for target in targets {
            for width in target.widths().iter().copied().filter(|w| *w > 1) {
                for (sums, tile) in sums(target, width).into_iter().flat_map(|s| [(s.clone(), 1), (s, 2)]) {
                    for cut in [&[("low", 4), ("high", 4)][..], &[("low", 16), ("scales", 4), ("high", 4)], &[]] {
                        let mut schedule = sums.clone();
                        schedule.unroll = 16;
                        schedule.prefetch = if target == Target::Cuda { 0 } else { 64 * tile };
                        schedule.lanes = Some("n".into());
                        schedule.layout.insert("w".into(), pieces(cut, width));
                        schedule.tile.extend([("n".to_string(), tile), ("t".to_string(), tile)]);
                        let func = match target.lower(&kernel, &schedule) {
                            Ok(func) => func,
                            // Only dots of four bytes ask for pieces of four.
                            Err(e) if cut.is_empty() && e.contains("several pieces") => continue,
                            Err(e) if !sums.rolled.is_empty() && e.contains("no one piece that is known") => continue,
                            Err(e) => panic!("{target}: {e}\n{schedule:?}"),
                        };
                        legal += 1;
                        let given = lowered(&func, &ints, &buffers).unwrap_or_else(|e| panic!("{e}\n{schedule:?}"));
                        assert_eq!(given, expected, "{target} {schedule:?}");
                    }
                }
            }
        }
    }
    assert!(legal > 150, "{legal} schedules are legal");
}

/// How far behind a column of blocks lines are asked for, and how many of them at once: spread over the loads of a column, each line
/// once, and one of four half as far again ahead; the whole column at once where loops stay loops.
#[test]
fn weights_are_asked_for_where_others_are_loaded() {
    let kernel = compile(MATVEC);
    let requests = |rolled: &[&str]| {
        let rolled = rolled.iter().map(|axis| axis.to_string()).collect();
        let mut schedule = Schedule { width: 16, unroll: 16, prefetch: 1024, rolled, ..Schedule::plain(&["n"]) };
        (schedule.dot, schedule.dot2) = (Some("pairs_maddubs".into()), Some("dot2_madd".into()));
        schedule.lanes = Some("n".into());
        schedule.layout.insert("w".into(), pieces(&[("low", 4), ("high", 4)], 16));
        let mut func = Target::Cpu(Isa::Avx512).lower(&kernel, &schedule).unwrap();
        let (mut found, mut most, mut run) = (Vec::new(), 0, 0);
        requested(&mut func.body, &mut |stmt| match stmt {
            Stmt::Prefetch { from, bytes } => {
                let Expr::Binary(BinOp::Add, _, behind) = &*from.addr else { panic!("{:?}", from.addr) };
                let Expr::Long(behind) = **behind else { panic!("{behind:?}") };
                (run, most) = (run + 1, most.max(run + 1));
                found.push((behind, *bytes));
            }
            _ => run = 0,
        });
        (found, most)
    };
    let (mut found, most) = requests(&[]);
    found.sort_unstable();
    // A column has 16 * 46 bytes, 11.5 lines.
    let lines = (0..12).map(|line| 1024 + 64 * line);
    let mut expected: Vec<(i64, usize)> =
        lines.chain([0, 4, 8].map(|line| 1536 + 64 * line)).map(|at| (at, 64)).collect();
    expected.sort_unstable();
    assert_eq!(found, expected);
    assert!(most <= 3, "{most} requests side by side");
    assert_eq!(requests(&["i"]), (vec![(1024, 16 * 46)], 1));
}

/// Each statement, with the value of a request's address in place of its name.
fn requested(stmts: &mut [Stmt], f: &mut dyn FnMut(&Stmt)) {
    let mut values = std::collections::HashMap::new();
    for s in stmts {
        match s {
            Stmt::Let { var, value } => drop(values.insert(*var, value.clone())),
            Stmt::Prefetch { from, .. } => {
                if let Expr::Var(v) = *from.addr {
                    *from.addr = values[&v].clone();
                }
            }
            _ => {}
        }
        // Arithmetic on addresses is no work in between.
        if !matches!(s, Stmt::Let { value: Expr::Binary(..), .. }) {
            f(s);
        }
        s.lists_mut().into_iter().for_each(|list| requested(list, f));
    }
}

/// Each member of a team does some segments of as many rows as there are lanes.
#[test]
fn lanes_of_a_team_do_rows() {
    let kernel = compile(MATVEC);
    for (t, n, b) in [(1, 37, 7), (3, 16, 2)] {
        let ints = [t as i32, n as i32, b as i32];
        let buffers = buffers(t, n, b);
        let expected = meaning(&kernel, &ints, &buffers).unwrap();
        for width in [2, 4, 8, 16, 32] {
            for (team, tile, stage) in [(2, 1, None), (3, 2, None), (3, 1, Some("x")), (2, 2, Some("x"))] {
                let mut schedule = Schedule { width, team, threads: width * team, ..Schedule::plain(&["n"]) };
                schedule.lanes = Some("n".into());
                schedule.layout.insert("w".into(), pieces(&[], width));
                schedule.tile.extend([("n".to_string(), tile), ("t".to_string(), tile)]);
                schedule.most.insert("B".into(), 7);
                schedule.stage = stage.into_iter().map(String::from).collect();
                let func = Target::Cuda.lower(&kernel, &schedule).unwrap_or_else(|e| panic!("{e}\n{schedule:?}"));
                let given = lowered(&func, &ints, &buffers).unwrap_or_else(|e| panic!("{e}\n{schedule:?}"));
                assert_eq!(given, expected, "{schedule:?}");
            }
        }
    }
    let mut schedule = Schedule { width: 4, team: 2, threads: 8, stage: vec!["w".into()], ..Schedule::plain(&["n"]) };
    schedule.layout.insert("w".into(), pieces(&[], 4));
    schedule.most.insert("B".into(), 7);
    let refused = Target::Cuda.lower(&kernel, &schedule).unwrap_err();
    assert!(refused.contains("rows of `w` that lie side by side"), "{refused}");
}

/// Weights that are asked for early are those of the first item, with and without a team, and the code compiles.
#[test]
fn rows_are_asked_for_early() {
    fn prefetches<'s>(stmts: &'s mut [Stmt], f: &mut dyn FnMut(&mut Expr)) {
        for s in stmts {
            if let Stmt::Prefetch { from, .. } = s {
                f(&mut from.addr);
            }
            s.lists_mut().into_iter().for_each(|list| prefetches(list, f));
        }
    }
    let kernel = compile(MATVEC);
    let (ints, buffers) = ([3, 37, 7], buffers(3, 37, 7));
    let expected = meaning(&kernel, &ints, &buffers).unwrap();
    let compiler = Compiler::with_cache(None);
    let missing = compiler.nvrtc().err();
    for (width, team) in [(4, 1), (32, 1), (2, 2), (8, 4), (32, 3)] {
        let threads = if team == 1 { 64 } else { width * team };
        let mut schedule = Schedule { width, team, threads, early: true, ..Schedule::plain(&["n"]) };
        schedule.lanes = Some("n".into());
        schedule.layout.insert("w".into(), pieces(&[], width));
        let func = Target::Cuda.lower(&kernel, &schedule).unwrap_or_else(|e| panic!("{e}\n{schedule:?}"));
        assert_eq!(lowered(&func, &ints, &buffers).as_ref(), Ok(&expected), "{schedule:?}");
        // The last tile and what is after it; where the first begins and what is before it.
        for (bytes, leaves) in [(1, true), (-1, true), (0, false)] {
            let (mut moved, mut count) = (func.clone(), 0);
            prefetches(&mut moved.body, &mut |addr| {
                *addr = Expr::Binary(BinOp::Add, Box::new(addr.clone()), Box::new(Expr::Long(bytes)));
                count += 1;
            });
            assert_eq!(count, 1);
            let mut turns = Random::new(7);
            let mut out = buffers.clone();
            let done = moved.with_layouts(&ints, &mut out, |out| {
                interp::run_at_once(&moved, &ints, &[], out, 40, |n| turns.below(n)).map_err(|fault| fault.reason)
            });
            assert_eq!(done.as_ref().is_err_and(|reason| reason.contains(" leave the ")), leaves, "{done:?}");
        }
        let source = cuda::emit(&func, threads, &Places::default()).unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(source.text().matches("ask_for(").count(), cuda::PRELUDE.matches("ask_for(").count() + 1);
        let members = source.body.matches("member").count();
        assert_eq!(members > 0, team > 1, "{}", source.body);
        if missing.is_none() {
            let arch = "sm_90".parse().expect("an architecture");
            let compiled = compiler.compile(&source.text(), &source.entry, &arch, &[]);
            let compiled = compiled.unwrap_or_else(|e| panic!("{e}\n{schedule:?}"));
            assert!(compiled.ptx.contains("prefetch.global.L2"), "{schedule:?}");
        }
    }
    if let Some(missing) = missing {
        eprintln!("weights that are asked for early, through NVRTC: skipped: {missing}");
    }
}

#[test]
fn a_layout_without_lanes_moves_bytes_and_no_bits() {
    let kernel = compile(MATVEC);
    let mut random = Random::new(3);
    let (ints, buffers) = ([2, 19, 3], buffers(2, 19, 3));
    let expected = meaning(&kernel, &ints, &buffers).unwrap();
    let mut with_layout = [0, 0];
    for _ in 0..1500 {
        let target = Target::ALL[random.below(Target::ALL.len())];
        let schedule = schedule::draw(&kernel, target, |n| random.below(n));
        if schedule.layout.is_empty() {
            continue;
        }
        let Ok(func) = target.lower(&kernel, &schedule) else { continue };
        with_layout[schedule.lanes.is_some() as usize] += 1;
        assert_eq!(lowered(&func, &ints, &buffers).as_ref(), Ok(&expected), "{target} {schedule:?}");
    }
    assert!(with_layout.iter().all(|n| *n > 8), "{with_layout:?}");
}

#[test]
fn what_cannot_be_is_refused() {
    let kernel = compile(MATVEC);
    let refused = |change: &dyn Fn(&mut Schedule)| {
        let mut schedule = Schedule { width: 8, unroll: 16, lanes: Some("n".into()), ..Schedule::plain(&["n"]) };
        schedule.layout.insert("w".into(), pieces(&[("low", 4), ("high", 4)], 8));
        change(&mut schedule);
        Target::Cpu(Isa::Avx512).lower(&kernel, &schedule).unwrap_err()
    };
    let wrong = |change: &dyn Fn(&mut Schedule), part: &str| {
        let reason = refused(change);
        assert!(reason.contains(part), "{reason}");
    };
    wrong(&|s| s.layout.clear(), "neighbours");
    wrong(&|s| s.width = 4, "do not do the rows");
    wrong(&|s| s.lanes = Some("t".into()), "not split");
    wrong(&|s| s.split = vec!["t".into()], "not split");
    wrong(&|s| s.layout = [("v".to_string(), pieces(&[], 8))].into(), "no buffer `v`");
    wrong(&|s| s.layout = [("y".to_string(), pieces(&[], 8))].into(), "no weight");
    wrong(&|s| s.layout = [("w".to_string(), pieces(&[("middle", 4)], 8))].into(), "no field `middle`");
    wrong(&|s| s.layout = [("w".to_string(), pieces(&[("low", 3)], 8))].into(), "cannot be cut");
    wrong(&|s| s.layout = [("w".to_string(), pieces(&[("low", 0)], 8))].into(), "cannot be cut");
    wrong(&|s| s.layout = [("w".to_string(), pieces(&[], 0))].into(), "1 to 64");
}

#[test]
fn a_tile_has_the_rows_side_by_side() {
    let kernel = compile(MATVEC);
    let layout = Layout::of(&kernel.buffers[0], &pieces(&[("low", 8), ("scales", 2)], 2)).unwrap();
    let row = |first: u8| (0..46).map(|i| first + i).collect::<Vec<u8>>();
    let mut tile = vec![0xff; layout.tile_bytes(1)];
    layout.pack(&[row(0), row(100)].concat(), 1, &mut tile);
    let expected = [
        [0, 1, 100, 101].as_slice(),
        &[2, 3, 102, 103, 4, 5, 104, 105],
        &(6..14).flat_map(|i| [i, 100 + i]).collect::<Vec<u8>>(),
        &(14..46).step_by(8).flat_map(|i| (i..i + 8).chain(100 + i..108 + i)).collect::<Vec<u8>>(),
    ];
    assert_eq!(tile, expected.concat());
    // A row that is not there is zeros.
    layout.pack(&row(0), 1, &mut tile);
    assert_eq!(tile[..12], [0, 1, 0, 0, 2, 3, 0, 0, 4, 5, 0, 0]);
    assert_eq!(layout.bytes(3, 5), 2 * 2 * 5 * 46);
}
