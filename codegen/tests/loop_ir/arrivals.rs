//! Teams that arrive as one: whatever the turns, all members of the last team see what all members of all teams have left; and
//! what a team does otherwise than as one is found.
use crate::build::*;
use kgen::ir::{BinOp, Scalar};
use kgen::loop_ir::{Bind, Expr, Func, Mem, Owner, Scratch, Stmt, Ty, interp};
use kgen::random::Random;

const TEAM: i32 = 3;
const ITEMS: i32 = 4;

/// How the function below is wrong.
#[derive(Clone, Copy, PartialEq)]
enum Wrong {
    Nothing,
    /// Each member counts.
    EachCounts,
    /// The first member does not come.
    OneMissing,
    /// The last member counts at a counter of its own.
    OtherCounter,
    /// What a member leaves comes after the arrival.
    LateStore,
    /// Every team goes on as if it were the last.
    NotLast,
}

/// `y[m] = x[0] + x[1] + ..` by every member `m` of the last team; each number goes by way of scratch memory, left by one member
/// of one team.
fn sum(wrong: Wrong) -> Func {
    let mut b = Build::new("sum", 1);
    b.func.team = TEAM as usize;
    b.func.scratch = Some(Scratch { item_bytes: 4 * TEAM as usize, counters: int(2) });
    let (x, y) = (b.buffer("x", Scalar::F32, false), b.buffer("y", Scalar::F32, true));
    let [item, member, i] = ["item", "member", "i"].map(|name| b.one(name, Ty::I32));
    let (last, total) = (b.one("last", Ty::Bool), b.one("total", Ty::F32));
    let float = |mem, index: Expr| at(mem, offset(index, 4, 0), 0, Scalar::F32);
    let own = bin(BinOp::Add, bin(BinOp::Mul, var(item), int(TEAM)), var(member));
    let leave = store(float(Mem::Scratch, own.clone()), Expr::Load(float(x, own)));
    let counter = match wrong {
        Wrong::OtherCounter => bin(BinOp::Div, var(member), int(TEAM - 1)),
        _ => int(0),
    };
    let by = if wrong == Wrong::EachCounts { Owner::Worker } else { Owner::Team };
    let arrive = Stmt::Arrive { last, counter, of: var(kgen::loop_ir::Var(0)), by };
    let value = bin(BinOp::Add, var(total), Expr::Load(float(Mem::Scratch, var(i))));
    let all = bin(BinOp::Mul, var(kgen::loop_ir::Var(0)), int(TEAM));
    let merge = vec![
        Stmt::Reg { var: total, init: Expr::Float(0.0) },
        for_(Bind::Serial, i, int(0), all, vec![Stmt::Set { var: total, value }]),
        store(float(y, var(member)), var(total)),
    ];
    let cond = if wrong == Wrong::NotLast { Expr::Bool(true) } else { var(last) };
    let merge = Stmt::If { cond, then: merge, other: Vec::new() };
    let body = match wrong {
        Wrong::LateStore => vec![arrive, leave, merge],
        Wrong::OneMissing => {
            let comes = bin(BinOp::Lt, int(0), var(member));
            vec![leave, Stmt::If { cond: comes, then: vec![arrive, merge], other: Vec::new() }]
        }
        _ => vec![leave, arrive, merge],
    };
    let mut func = b.items(item, body);
    let Some(Stmt::For { body, .. }) = func.body.last_mut() else { unreachable!("the work loop") };
    let lanes = std::mem::take(body);
    *body = vec![for_(Bind::Team, member, int(0), int(TEAM), lanes)];
    func
}

/// The results, with as many teams as given and turns by a seed.
fn run(wrong: Wrong, teams: usize, seed: u64) -> Result<Vec<u32>, String> {
    let x: Vec<f32> = (0..ITEMS * TEAM).map(|i| 0.1 + 1e7f32.powi(i % 3) * i as f32).collect();
    let mut buffers = vec![f32s(&x), f32s(&[-1.0; TEAM as usize])];
    let mut turns = Random::new(seed);
    let done = interp::run_at_once(&sum(wrong), &[ITEMS], &[], &mut buffers, teams, |n| turns.below(n));
    done.map(|()| bits(&buffers[1])).map_err(|fault| fault.to_string())
}

#[test]
fn any_turns_of_teams_give_the_same_bits() {
    let total = (0..ITEMS * TEAM).fold(0.0, |acc, i| acc + (0.1 + 1e7f32.powi(i % 3) * i as f32));
    for teams in 1..=ITEMS as usize + 1 {
        for seed in 0..40 {
            assert_eq!(run(Wrong::Nothing, teams, seed), Ok(vec![total.to_bits(); TEAM as usize]), "{teams} teams");
        }
    }
}

/// What every run with several teams says.
#[track_caller]
fn always(wrong: Wrong, reasons: &[&str]) {
    for teams in 2..=ITEMS as usize {
        for seed in 0..20 {
            let reason = run(wrong, teams, seed).map_or_else(|e| e, |y| format!("no fault: {y:?}"));
            assert!(reasons.iter().any(|r| reason.contains(r)), "{teams} teams, seed {seed}: {reason}");
        }
    }
}

#[test]
fn what_a_team_does_not_do_as_one_is_found() {
    always(Wrong::EachCounts, &["never written", "a race"]);
    always(Wrong::OneMissing, &["a deadlock: member"]);
    always(Wrong::OtherCounter, &["the members of a team arrive at different counters, at `let last"]);
    always(Wrong::LateStore, &["never written", "a race"]);
    always(Wrong::NotLast, &["never written", "a race"]);
}

#[test]
fn one_worker_is_no_team_that_meets() {
    let mut func = sum(Wrong::Nothing);
    func.team = 1;
    let mut buffers = vec![f32s(&[1.0; 12]), f32s(&[0.0; 3])];
    let Some(Stmt::For { body, .. }) = func.body.last_mut() else { unreachable!("the work loop") };
    let Some(Stmt::For { hi, .. }) = body.last_mut() else { unreachable!("the loop over members") };
    *hi = int(1);
    let fault = interp::run(&func, &[ITEMS], &[], &mut buffers, 0, ITEMS).unwrap_err();
    assert_eq!(fault.reason, "a team meets, where one worker does each item");
}
