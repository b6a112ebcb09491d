//! Two kernels in one function give what one after the other gives, whatever their items are and whoever is the last to arrive;
//! and arrivals that are wrong are found.
mod common;

use kgen::diagnostic::{Source, render};
use kgen::ir::{BinOp, Kernel, Kind, interp};
use kgen::layout::SideBySide;
use kgen::library::Library;
use kgen::loop_ir::{Expr, Func, Owner, Stmt, interp::run_at_once};
use kgen::lower::{Scheduled, fuse};
use kgen::places::Places;
use kgen::random::Random;
use kgen::schedule::Schedule;
use std::fs;

/// A producer with a merge and one without, by groups of `d`, some by rows, and a consumer by blocks of `r`.
fn text(d: usize, r: usize) -> String {
    format!(
        "#[format(elements = 4, bytes = 16)] struct F {{ v: [f32; 4] }}
        #[kernel] fn merged<T: Dim, H: Dim>(x: &Ten<f32, T, H, 8, {d}>, n: i32<0, 8>, y: &mut Ten<f32, T, H, {d}>) {{
            for h in par(H) {{ for t in par(T) {{
                let (s, o) = merge(0..min(n, t + 2), (1.0, map({d}, |i| 0.5)), |c| (x[t][h][c][0], map({d}, |i| x[t][h][c][i])),
                    |(s, o), (p, q)| (s * 0.5 + p, map({d}, |i| o[i] * 0.25 + q[i])));
                for i in par({d}) {{ y[t][h][i] = o[i] / s; }}
            }} }}
        }}
        #[kernel] fn plain<T: Dim, H: Dim>(x: &Ten<f32, T, H, {d}>, y: &mut Ten<f32, T, H, {d}>) {{
            for t in par(T) {{ for h in par(H) {{ for i in par({d}) {{ y[t][h][i] = x[t][h][i] * 3.0; }} }} }}
        }}
        #[kernel] fn wide<T: Dim, K: Dim>(x: &Ten<f32, T, K>, y: &mut Ten<f32, T, K>) {{
            for t in par(T) {{ for k in par(K) {{ y[t][k] = x[t][k] * 3.0; }} }}
        }}
        #[kernel] fn scaled<T: Dim, K: Dim>(x: &Ten<f32, T, K>, y: &mut Ten<f32, T, K>) {{
            for t in par(T) {{
                let s = sum(0..K, segments(3), |acc, k| acc + x[t][k]);
                for k in par(K) {{ y[t][k] = x[t][k] * s; }}
            }}
        }}
        #[kernel] fn across<T: Dim, N: Dim, B: Dim>(w: &Ten<F, N, B>, y: &mut Ten<f32, T, N>) {{
            for n in par(N) {{ for t in par(T) {{
                y[t][n] = sum(0..B, segments(4), |acc, b| fma(w[n][b].v[1], w[n][b].v[2], acc));
            }} }}
        }}
        #[kernel] fn blocks<T: Dim, B: Dim>(x: &Ten<f32, T, B, {r}>, scale: f32, y: &mut Ten<f32, T, B, {r}>,
            top: &mut Ten<f32, T, B>) {{
            for t in par(T) {{ for b in par(B) {{
                let most = max_of(0..{r}, |i| abs(x[t][b][i]));
                for i in par({r}) {{ y[t][b][i] = x[t][b][i] * scale / most; }}
                top[t][b] = most;
            }} }}
        }}"
    )
}

fn kernels(d: usize, r: usize) -> Vec<Kernel> {
    let text = text(d, r);
    let sources = [Source { name: "test.rs".into(), text: text.clone() }];
    kgen::compile(&sources).unwrap_or_else(|e| panic!("{}\n{text}", render(&e, &sources, false)))
}

fn kernel<'k>(kernels: &'k [Kernel], name: &str) -> &'k Kernel {
    kernels.iter().find(|k| k.name == name).expect("it is there")
}

/// A kernel under a schedule, on the way to being fused.
fn fused(kernels: &[Kernel], producer: (&str, &Schedule), consumer: (&str, &Schedule)) -> Result<Func, String> {
    let scheduled = |(name, schedule)| Scheduled { kernel: kernel(kernels, name), schedule };
    let edge = kernel(kernels, producer.0).buffers.iter().position(|b| b.written).expect("it writes");
    fuse("fused", scheduled(producer), scheduled(consumer), (edge, 0)).map_err(|e| e.to_string())
}

fn by_items(width: usize, parts: Option<&str>) -> Schedule {
    Schedule { width, parts: parts.map(String::from), ..Schedule::plain(&["t", "h"]) }
}

fn blocks(width: usize) -> Schedule {
    Schedule { width, ..Schedule::plain(&["t", "b"]) }
}

fn floats(count: usize) -> Vec<u8> {
    (0..count).flat_map(|i| (1.0 + 0.37 * (i % 101) as f32).to_le_bytes()).collect()
}

/// The integers and buffers of a fused call, and the buffers after one kernel has run after the other.
struct Call {
    ints: Vec<i32>,
    given: Vec<Vec<u8>>,
    expected: Vec<Vec<u8>>,
}

/// Items of `d` elements for `t` tokens and `h` heads, read in blocks of `r`; with `n`, of merges with at most so many parts.
fn call(kernels: &[Kernel], name: &str, [t, h, d, r]: [usize; 4], n: Option<i32>) -> Call {
    let elements = t * h * d;
    assert!(elements.is_multiple_of(r), "blocks have to cover the items");
    let x = floats(if n.is_some() { 8 * elements } else { elements });
    let own: Vec<i32> = [t as i32, h as i32].into_iter().chain(n).collect();
    followed(kernels, name, &own, &mut [x, vec![0xa5; 4 * elements]])
}

/// A kernel with these integers and buffers, of which the second is the edge, and then the consumer.
fn followed(kernels: &[Kernel], name: &str, own: &[i32], first: &mut [Vec<u8>]) -> Call {
    let (producer, consumer) = (kernel(kernels, name), kernel(kernels, "blocks"));
    let (x, empty) = (first[0].clone(), first[1].clone());
    interp::run(producer, own, &[], first).unwrap_or_else(|e| panic!("{e}"));
    let Kind::Int(r) = consumer.buffers[0].shape[2].kind else { panic!("blocks are of a constant length") };
    let blocks = empty.len() / 4 / r as usize;
    let mut then = vec![first[1].clone(), empty.clone(), vec![0xa5; 4 * blocks]];
    interp::run(consumer, &[1, blocks as i32], &[0.7], &mut then).unwrap_or_else(|e| panic!("{e}"));
    let (dims, scalars) = own.split_at(producer.dims.len());
    let ints = [dims, &[1, blocks as i32], scalars].concat();
    let given = vec![x.clone(), empty.clone(), empty, vec![0xa5; 4 * blocks]];
    Call { ints, given, expected: [x].into_iter().chain(then).collect() }
}

impl Call {
    fn run(&self, func: &Func, workers: usize, seed: u64) -> Result<(), String> {
        let (mut buffers, mut turns) = (self.given.clone(), Random::new(seed));
        func.with_layouts(&self.ints, &mut buffers, |buffers| {
            run_at_once(func, &self.ints, &[0.7], buffers, workers, |n| turns.below(n))
        })
        .map_err(|e| e.to_string())?;
        if buffers == self.expected { Ok(()) } else { Err("other bits".into()) }
    }
}

/// Tokens, heads, elements of an item and of a block: 1, 2, 3 and 4 items to a block, items that lie in two blocks, more blocks
/// to an item, and neither a multiple of the other.
const SHAPES: [[usize; 4]; 8] = [
    [3, 2, 8, 8],
    [2, 3, 16, 32],
    [4, 7, 8, 32],
    [2, 4, 12, 32],
    [1, 6, 24, 16],
    [3, 2, 32, 8],
    [2, 5, 12, 20],
    [1, 1, 32, 32],
];

#[test]
fn fused_kernels_give_what_one_after_the_other_gives() {
    for [t, h, d, r] in SHAPES {
        let kernels = kernels(d, r);
        for width in [1, 4, 16] {
            let merged = fused(&kernels, ("merged", &by_items(width, Some("c"))), ("blocks", &blocks(width))).unwrap();
            let plain = fused(&kernels, ("plain", &by_items(width, None)), ("blocks", &blocks(width))).unwrap();
            let calls = [0, 1, 3, 8].map(|n| (&merged, call(&kernels, "merged", [t, h, d, r], Some(n))));
            for (func, call) in calls.iter().chain(&[(&plain, call(&kernels, "plain", [t, h, d, r], None))]) {
                for (workers, seed) in [(1, 0), (2, 1), (3, 2), (5, 3), (64, 4), (64, 5)] {
                    let done = call.run(func, workers, seed);
                    done.unwrap_or_else(|e| panic!("{t} {h} {d} {r}, {width} lanes, {workers} workers: {e}"));
                }
            }
        }
    }
}

#[test]
fn heads_of_every_size_fill_blocks_of_256() {
    for (h, d) in [(28, 64), (8, 96), (4, 128)] {
        let kernels = kernels(d, 256);
        let func = fused(&kernels, ("merged", &by_items(16, Some("c"))), ("blocks", &blocks(16))).unwrap();
        let call = call(&kernels, "merged", [1, h, d, 256], Some(5));
        (1..6).for_each(|seed| call.run(&func, 40, seed).unwrap_or_else(|e| panic!("{h} heads of {d}: {e}")));
    }
}

#[test]
fn an_item_can_be_as_long_as_a_dim_says() {
    let kernels = kernels(8, 12);
    let producer = Schedule { width: 4, ..Schedule::plain(&["t"]) };
    let func = fused(&kernels, ("wide", &producer), ("blocks", &blocks(4))).unwrap();
    for (t, k) in [(6, 8), (3, 12), (3, 20), (1, 36)] {
        let call = call(&kernels, "wide", [t, k, 1, 12], None);
        (1..5).for_each(|seed| call.run(&func, 4, seed).unwrap_or_else(|e| panic!("{t} rows of {k}: {e}")));
    }
}

#[test]
fn members_of_a_team_share_the_items_that_theirs_complete_or_do_them_together() {
    for [t, h, d, r] in SHAPES {
        let kernels = kernels(d, r);
        for (width, team, together) in [(1, 3, false), (4, 2, false), (16, 5, false), (1, 3, true), (4, 5, true)] {
            let by_team = |parts| Schedule { team, threads: team * width, ..by_items(width, parts) };
            let alone = blocks(width);
            let read = if together { Schedule { team, threads: team * width, ..alone } } else { alone };
            let of = |name, parts| fused(&kernels, (name, &by_team(parts)), ("blocks", &read)).unwrap();
            let (parts, whole) = (of("merged", Some("c")), of("merged", None));
            let calls = [0, 1, 3, 8].map(|n| call(&kernels, "merged", [t, h, d, r], Some(n)));
            for (func, call) in calls.iter().flat_map(|call| [(&parts, call), (&whole, call)]) {
                for (teams, seed) in [(1, 0), (2, 1), (3, 2), (20, 3)] {
                    let done = call.run(func, teams, seed);
                    done.unwrap_or_else(|e| panic!("{t} {h} {d} {r}, {width} lanes, {teams} teams of {team}: {e}"));
                }
            }
        }
    }
    let kernels = kernels(8, 12);
    let producer = Schedule { width: 4, team: 3, threads: 12, ..Schedule::plain(&["t"]) };
    let func = fused(&kernels, ("scaled", &producer), ("blocks", &blocks(4))).unwrap();
    for (t, k) in [(6, 8), (3, 12), (3, 20), (1, 36)] {
        let call = call(&kernels, "scaled", [t, k, 1, 12], None);
        (1..5).for_each(|seed| call.run(&func, 4, seed).unwrap_or_else(|e| panic!("{t} rows of {k}: {e}")));
    }
}

/// Rows that lanes do, some of them side by side, for one token; the last item is not whole.
fn across(width: usize, tile: usize, team: usize) -> Schedule {
    let piece = SideBySide { rows: width, piece: 0, pieces: [("v".to_string(), 4)].into() };
    Schedule {
        width,
        team,
        threads: if team > 1 { team * width } else { 32 },
        lanes: Some("n".into()),
        layout: [("w".to_string(), piece)].into(),
        tile: [("n".to_string(), tile)].into(),
        most: [("T".to_string(), 1)].into(),
        ..Schedule::plain(&["n"])
    }
}

#[test]
fn an_item_can_be_rows_that_lanes_do() {
    let kernels = kernels(8, 12);
    for (width, tile, team) in [(4, 1, 1), (4, 2, 1), (8, 1, 3), (8, 3, 2), (16, 1, 2)] {
        let func = fused(&kernels, ("across", &across(width, tile, team)), ("blocks", &blocks(width))).unwrap();
        for (n, b) in [(12, 3), (24, 5), (60, 1), (96, 9)] {
            let mut first = vec![floats(4 * n * b), vec![0xa5; 4 * n]];
            let call = followed(&kernels, "across", &[1, n as i32, b as i32], &mut first);
            for (workers, seed) in [(1, 0), (2, 1), (3, 2), (9, 3)] {
                let done = call.run(&func, workers, seed);
                done.unwrap_or_else(|e| panic!("{n} rows by {width} lanes, {tile} a lane, teams of {team}: {e}"));
            }
        }
    }
    // With several tokens, items are not in the order of memory, and rows need not come out even.
    let refused = |schedule: &Schedule, reason: &str| {
        let error = fused(&kernels, ("across", schedule), ("blocks", &blocks(4))).expect_err(reason);
        assert!(error.contains(reason), "{error}");
    };
    let most = [("T".to_string(), 2)].into();
    refused(&Schedule { most, ..across(4, 1, 1) }, "numbered by n, do not touch `y` in this order");
    let split = vec!["t".into(), "n".into()];
    refused(&Schedule { split, most: Default::default(), ..across(4, 1, 1) }, "does several iterations of `n`");
}

/// Changes the loop over the consumer's items.
fn change(stmts: &mut [Stmt], f: &dyn Fn(&mut Stmt)) {
    for s in stmts {
        if matches!(s, Stmt::For { body, .. } if matches!(body[..], [Stmt::Arrive { .. }, Stmt::If { .. }])) {
            f(s);
        }
        s.lists_mut().into_iter().for_each(|list| change(list, f));
    }
}

/// What is said of the changed function, with one to six workers in several turns.
fn said(f: &dyn Fn(&mut Vec<Stmt>)) -> Vec<Result<(), String>> {
    let kernels = kernels(12, 32);
    let call = call(&kernels, "merged", [2, 4, 12, 32], Some(3));
    let mut func = fused(&kernels, ("merged", &by_items(4, Some("c"))), ("blocks", &blocks(4))).unwrap();
    change(&mut func.body, &|s| f(s.lists_mut().remove(0)));
    (0..60).map(|seed| call.run(&func, 1 + seed as usize % 6, seed)).collect()
}

/// Whatever the workers and turns, a change is found.
#[track_caller]
fn found(f: &dyn Fn(&mut Vec<Stmt>), reasons: &[&str]) {
    for said in said(f) {
        let reason = said.expect_err("no fault");
        assert!(reasons.iter().any(|r| reason.contains(r)), "{reason}");
    }
}

#[test]
fn wrong_arrivals_are_found() {
    let arrivals = |by: i32| {
        move |body: &mut Vec<Stmt>| {
            let Stmt::Arrive { of, .. } = &mut body[0] else { panic!("an arrival comes first") };
            *of = Expr::Binary(BinOp::Add, Box::new(of.clone()), Box::new(Expr::Int(by)));
        }
    };
    found(&arrivals(1), &["waits for more than"]);
    found(&arrivals(-1), &["never written", "a race"]);
    let early = |body: &mut Vec<Stmt>| {
        let Stmt::If { cond, .. } = &mut body[1] else { panic!("a choice comes next") };
        *cond = Expr::Bool(true);
    };
    found(&early, &["never written", "a race"]);
    found(&|body: &mut Vec<Stmt>| body.swap(0, 1), &["used before it is set"]);
    // Counters of the producer's own: whether two arrivals are taken for each other is a matter of turns.
    let clash = |body: &mut Vec<Stmt>| {
        let Stmt::Arrive { counter, .. } = &mut body[0] else { panic!("an arrival comes first") };
        *counter = Expr::Int(0);
    };
    assert!(said(&clash).iter().filter(|said| said.is_err()).count() > 10);
}

#[test]
fn what_a_team_does_wrong_is_found() {
    let kernels = kernels(12, 32);
    let call = call(&kernels, "merged", [2, 4, 12, 32], Some(3));
    let schedule = Schedule { team: 3, threads: 12, ..by_items(4, Some("c")) };
    let fused = || fused(&kernels, ("merged", &schedule), ("blocks", &blocks(4))).unwrap();
    fn lists(stmts: &mut Vec<Stmt>, f: &dyn Fn(&mut Vec<Stmt>)) {
        stmts.iter_mut().flat_map(Stmt::lists_mut).for_each(|list| lists(list, f));
        f(stmts);
    }
    let found = |change: &dyn Fn(&mut Vec<Stmt>), reasons: &[&str]| {
        for seed in 0..30 {
            let mut func = fused();
            lists(&mut func.body, change);
            let reason = call.run(&func, 1 + seed as usize % 4, seed).expect_err("no fault");
            assert!(reasons.iter().any(|r| reason.contains(r)), "{reason}");
        }
    };
    // The members do not wait for what the others have written.
    let hasty = |list: &mut Vec<Stmt>| {
        let read = |s: &Stmt| matches!(s, Stmt::For { body, .. } if matches!(body[..], [Stmt::Arrive { .. }, ..]));
        if let Some(at) = list.iter().position(read) {
            assert!(matches!(list.remove(at - 1), Stmt::Barrier));
        }
    };
    found(&hasty, &["never written", "a race"]);
    let each = |by: Owner| {
        move |list: &mut Vec<Stmt>| {
            for s in list {
                if let Stmt::Arrive { by: who, .. } = s {
                    *who = by;
                }
            }
        }
    };
    // Every member counts at the merge, or the whole team at an item of the consumer, to which it does not come as one.
    found(&each(Owner::Worker), &["never written", "a race", "a deadlock", "arrival", "waits for more than"]);
    found(&each(Owner::Team), &["a deadlock", "different counters"]);
}

#[test]
fn what_cannot_be_fused_is_refused_with_a_reason() {
    let kernels = kernels(8, 32);
    let refused = |producer, consumer, reason: &str| {
        let error = fused(&kernels, producer, consumer).expect_err(reason);
        assert!(error.contains(reason), "{error}");
    };
    let (items, plain, read) = (by_items(4, Some("c")), by_items(4, None), blocks(4));
    let wider = blocks(8);
    refused(("merged", &items), ("blocks", &wider), "merged has 4 lanes, blocks has 8");
    let turned = Schedule { split: vec!["h".into(), "t".into()], ..items.clone() };
    refused(("merged", &turned), ("blocks", &read), "numbered by h, t, do not touch `y` in this order");
    let tiled = Schedule { tile: [("b".to_string(), 2)].into(), ..blocks(4) };
    refused(("merged", &items), ("blocks", &tiled), "blocks: a work item does several iterations of `b`");
    let inner = Schedule { split: vec!["b".into()], ..blocks(4) };
    refused(("plain", &plain), ("blocks", &inner), "do not touch `x` in this order");
    refused(("plain", &plain), ("merged", &items), "the workers of merged meet by themselves");
    let team = Schedule { team: 2, threads: 8, ..blocks(4) };
    refused(("plain", &plain), ("blocks", &team), "the teams of blocks have 2 members, those of plain 1");
    let few = Schedule { most: [("T".to_string(), 1)].into(), ..blocks(4) };
    refused(("plain", &plain), ("blocks", &few), "blocks is for all sizes here");
    let scheduled = |name, schedule| Scheduled { kernel: kernel(&kernels, name), schedule };
    let error = fuse("f", scheduled("plain", &plain), scheduled("blocks", &read), (0, 0)).unwrap_err();
    assert!(error.to_string().contains("`x` of plain is not written"), "{error}");
}

#[test]
fn a_buffer_that_is_handed_on_is_read_as_memory_that_others_write() {
    let kernels = kernels(8, 32);
    let func = fused(&kernels, ("merged", &by_items(4, Some("c"))), ("blocks", &blocks(4))).unwrap();
    let text = kgen::cuda::emit(&func, 128, &Places::default()).unwrap().text();
    for parameter in ["const u8* __restrict__ x_,", " u8* y_,", " u8* __restrict__ blocks_y_,"] {
        assert!(text.contains(parameter), "{parameter}\n{text}");
    }
}

#[test]
fn a_list_of_pairs_that_is_wrong_is_refused_with_a_reason() {
    let folder = tempfile::tempdir().expect("a folder");
    for part in ["formats", "kernels", "schedules"] {
        fs::create_dir(folder.path().join(part)).expect("a folder");
    }
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).expect("written");
    write("kernels/all.rs", &text(8, 32));
    write(
        "schedules/sm_90.json",
        r#"{"plain": [{"most": {"T": 1}, "width": 4, "split": ["t", "h"]}, {"width": 4, "split": ["t"]}],
            "blocks": {"width": 4, "split": ["t"]}}"#,
    );
    let library = Library::open(folder.path()).unwrap_or_else(|e| panic!("{e}"));
    assert!(library.fused().unwrap_or_else(|e| panic!("{e}")).is_empty(), "no list, no pairs");
    let pair = |most: &str, consumer: &str, from: &str, schedule: &str| {
        let names =
            format!(r#""producer": "plain", "most": {most}, "consumer": "{consumer}", "edge": ["{from}", "x"]"#);
        write("schedules/fused.json", &format!(r#"[{{{names}, "schedule": {schedule}}}]"#));
        library.fused().map(|fused| fused[0].func.name.clone()).map_err(|e| e.to_string())
    };
    let (one, alike) = (r#"{"T": 1}"#, r#"{"width": 4, "split": ["t", "b"]}"#);
    assert_eq!(pair(one, "blocks", "y", alike), Ok("plain_blocks".into()));
    let wider = r#"{"width": 8, "split": ["t", "b"]}"#;
    let packed = r#"{"width": 4, "split": ["t", "b"], "layout": {"x": {"rows": 4, "pieces": {}}}}"#;
    for (said, reason) in [
        (pair(r#"{"T": 2}"#, "blocks", "y", alike), "no schedule of `plain` for the sizes"),
        (pair(one, "block", "y", alike), "there is no kernel `block`"),
        (pair(one, "blocks", "z", alike), "fused.json: `plain` has no buffer `z`"),
        (pair(one, "blocks", "y", wider), "fused.json: plain_blocks: plain_t1 has 4 lanes, blocks has 8"),
        (pair(one, "blocks", "y", packed), "fused.json: `blocks` has other layouts"),
    ] {
        assert!(said.as_ref().is_err_and(|said| said.contains(reason)), "{said:?}");
    }
    write("schedules/fused.json", "[{}]");
    assert!(library.pairs().is_err_and(|e| e.to_string().contains("missing field `producer`")));
}
