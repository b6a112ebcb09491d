//! Workers that run at once: whatever the turns, the last to arrive sees what all have left, and what is not ordered is a race.
use crate::build::*;
use kgen::ir::{BinOp, Scalar};
use kgen::loop_ir::{Bind, Expr, Func, Mem, Owner, Scratch, Stmt, Ty, Var, interp};
use kgen::random::Random;

/// Items in a sum.
const ITEMS: i32 = 6;

/// How the function below is wrong.
#[derive(Clone, Copy, PartialEq)]
enum Wrong {
    Nothing,
    /// Every worker reads what all have left, not only the last.
    NotLast,
    /// What a worker leaves comes after its arrival.
    LateStore,
    /// One item leaves nothing.
    MissingStore,
    /// Arrivals that never come are waited for.
    OneMore,
    /// The last stands alone, so that two are last.
    OneLess,
    /// All items leave their numbers in one place.
    OnePlace,
}

/// `y[0] = x[0] + .. + x[n - 1]`, in this order, by whoever arrives last; `x[item]` goes by way of scratch memory.
fn sum(wrong: Wrong) -> Func {
    let mut b = Build::new("sum", 1);
    b.func.scratch = Some(Scratch { item_bytes: 4, counters: int(1) });
    let (x, y) = (b.buffer("x", Scalar::F32, false), b.buffer("y", Scalar::F32, true));
    let (item, last) = (b.one("item", Ty::I32), b.one("last", Ty::Bool));
    let (total, i) = (b.one("total", Ty::F32), b.one("i", Ty::I32));
    let n = || var(Var(0));
    let place = if wrong == Wrong::OnePlace { int(0) } else { var(item) };
    let load = Expr::Load(at(x, offset(var(item), 4, 0), 0, Scalar::F32));
    let leave = store(at(Mem::Scratch, offset(place, 4, 0), 0, Scalar::F32), load);
    let leave = match wrong {
        Wrong::MissingStore => {
            Stmt::If { cond: bin(BinOp::Lt, int(0), var(item)), then: vec![leave], other: Vec::new() }
        }
        _ => leave,
    };
    let of = match wrong {
        Wrong::OneMore => bin(BinOp::Add, n(), int(1)),
        Wrong::OneLess => bin(BinOp::Sub, n(), int(1)),
        _ => n(),
    };
    let arrive = Stmt::Arrive { last, counter: int(0), of, by: Owner::Worker };
    let part = Expr::Load(at(Mem::Scratch, offset(var(i), 4, 0), 0, Scalar::F32));
    let add = Stmt::Set { var: total, value: bin(BinOp::Add, var(total), part) };
    let merge = vec![
        Stmt::Reg { var: total, init: Expr::Float(0.0) },
        for_(Bind::Serial, i, int(0), n(), vec![add]),
        store(at(y, Expr::Long(0), 0, Scalar::F32), var(total)),
    ];
    let cond = if wrong == Wrong::NotLast { Expr::Bool(true) } else { var(last) };
    let merge = Stmt::If { cond, then: merge, other: Vec::new() };
    let body = if wrong == Wrong::LateStore { vec![arrive, leave, merge] } else { vec![leave, arrive, merge] };
    b.items(item, body)
}

/// The result, with as many workers as given and turns by a seed.
fn run(wrong: Wrong, workers: usize, seed: u64) -> Result<f32, String> {
    let x: Vec<f32> = (0..ITEMS).map(|i| 0.1 + 1e7f32.powi(i % 3) * i as f32).collect();
    let mut buffers = vec![f32s(&x), f32s(&[-1.0])];
    let mut turns = Random::new(seed);
    let done = interp::run_at_once(&sum(wrong), &[ITEMS], &[], &mut buffers, workers, |n| turns.below(n));
    done.map(|()| f32::from_bits(bits(&buffers[1])[0])).map_err(|fault| fault.reason)
}

#[test]
fn any_turns_give_the_same_bits() {
    let expected = run(Wrong::Nothing, 1, 0).unwrap();
    for workers in 1..=8 {
        for seed in 0..50 {
            assert_eq!(run(Wrong::Nothing, workers, seed).unwrap().to_bits(), expected.to_bits());
        }
    }
}

/// What every run with several workers says.
#[track_caller]
fn always(wrong: Wrong, reasons: &[&str]) {
    for workers in 2..=6 {
        for seed in 0..20 {
            let reason = run(wrong, workers, seed).map_or_else(|e| e, |y| format!("no fault: {y}"));
            assert!(reasons.iter().any(|r| reason.contains(r)), "{workers} workers, seed {seed}: {reason}");
        }
    }
}

#[test]
fn what_no_meeting_orders_is_a_race() {
    always(Wrong::NotLast, &["never written", "a race"]);
    always(Wrong::LateStore, &["never written", "a race"]);
    always(Wrong::OnePlace, &["a race"]);
}

#[test]
fn numbers_that_nobody_left_are_noticed() {
    always(Wrong::MissingStore, &["byte 0 of scratch memory was never written"]);
}

#[test]
fn counters_that_do_not_come_out_even_are_noticed() {
    always(Wrong::OneMore, &["waits for more than"]);
    always(Wrong::OneLess, &["never written", "a race", "waits for more than"]);
}

#[test]
fn items_of_workers_that_meet_are_run_all_or_none() {
    let mut buffers = vec![f32s(&[1.0; 2]), f32s(&[0.0])];
    let fault = interp::run(&sum(Wrong::Nothing), &[2], &[], &mut buffers, 0, 1).unwrap_err();
    assert!(fault.reason.contains("items 0..1"), "{fault}");
    interp::run(&sum(Wrong::Nothing), &[2], &[], &mut buffers, 0, 2).unwrap();
    assert_eq!(bits(&buffers[1]), [2f32.to_bits()]);
}

#[test]
fn two_workers_may_not_write_one_number() {
    let mut b = Build::new("clash", 1);
    let y = b.buffer("y", Scalar::F32, true);
    let item = b.one("item", Ty::I32);
    let func = b.items(item, vec![store(at(y, Expr::Long(0), 0, Scalar::F32), Expr::Float(1.0))]);
    let mut buffers = vec![vec![0; 4]];
    interp::run_at_once(&func, &[2], &[], &mut buffers, 1, |_| 0).unwrap();
    let fault = interp::run_at_once(&func, &[2], &[], &mut buffers, 2, |_| 0).unwrap_err();
    assert_eq!(fault.reason, "a race: worker 1 writes byte 0, which worker 0 touches");
}
