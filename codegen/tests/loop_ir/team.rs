//! Members of a team: in any turns they give the same bits, and what they do too early, never, or apart is a fault.
use crate::build::*;
use kgen::cpu::{self, Isa};
use kgen::cuda;
use kgen::ir::{BinOp, Scalar};
use kgen::loop_ir::{Bind, Expr, Func, Mem, Owner, Stmt, Ty, Var, interp};
use kgen::random::Random;

/// Members, lanes, and numbers that a lane copies at once.
const TEAM: usize = 4;
const WIDTH: usize = 2;
const PIECE: usize = 4;
/// Numbers of a row, and those that each member copies and adds up.
const ROW: usize = TEAM * PART;
const PART: usize = WIDTH * PIECE;
const ITEMS: usize = 5;

/// How the function below is wrong.
#[derive(Clone, Copy, PartialEq)]
enum Wrong {
    Nothing,
    /// No `Await`.
    NoAwait,
    /// Copies are waited for after the barrier.
    LateAwait,
    /// There is no barrier of this number.
    NoBarrier(usize),
    /// Half of the members have a barrier of their own in place of barrier 1.
    TwoBarriers,
    /// The first member comes to one more barrier.
    OneAlone,
    /// Every member stores the result.
    AllStore,
    /// A number of the row is written while it is copied.
    SourceWritten,
}

/// `y[item] = p0 + p1 + ..` over the members' sums of the row `x[item]`, each of a part that another member has copied.
fn sum(wrong: Wrong) -> Func {
    let mut b = Build::new("sum", WIDTH);
    b.func.team = TEAM;
    // What workers write, they may read only after that.
    let (x, y) = (b.buffer("x", Scalar::F32, wrong == Wrong::SourceWritten), b.buffer("y", Scalar::F32, true));
    let [item, member, i, k] = ["item", "member", "i", "k"].map(|name| b.one(name, Ty::I32));
    let [row, slots] = ["row", "slots"].map(|name| b.one(name, Ty::F32));
    let [part, total] = ["part", "total"].map(|name| b.one(name, Ty::F32));
    let array = |var, len| Stmt::Array { var, scalar: Scalar::F32, len, of: Owner::Team };
    b.func.body = vec![array(row, ROW), array(slots, TEAM)];
    let bytes = |addr, mem, stride| at(mem, addr, 4 * stride as i32, Scalar::F32);
    let number = |mem, index: Expr| bytes(offset(index, 4, 0), mem, 0);
    let mine = || offset(var(member), 4 * PART as i64, 0);
    let begin = || bin(BinOp::Add, offset(var(item), 4 * ROW as i64, 0), mine());
    let copy = Stmt::Copy {
        to: bytes(mine(), Mem::Shared(row), PIECE),
        from: bytes(begin(), x, PIECE),
        len: PIECE,
        only: None,
    };
    let next = bin(BinOp::Rem, bin(BinOp::Add, var(member), int(1)), int(TEAM as i32));
    let add = |to: Var, index: Expr, mem| {
        let value = bin(BinOp::Add, var(to), Expr::Load(number(mem, index)));
        vec![Stmt::Set { var: to, value }]
    };
    let all = for_(Bind::Serial, k, int(0), int(TEAM as i32), add(total, var(k), Mem::Shared(slots)));
    let result = store(number(y, var(item)), var(total));
    let if_ = |cond, then| Stmt::If { cond, then, other: Vec::new() };
    let by_first = if_(bin(BinOp::Eq, var(member), int(0)), vec![result.clone()]);
    let alone = if_(bin(BinOp::Eq, var(member), int(0)), vec![Stmt::Barrier]);
    let barrier = |i| match wrong {
        Wrong::NoBarrier(none) if none == i => Vec::new(),
        Wrong::TwoBarriers if i == 1 => {
            let cond = bin(BinOp::Lt, var(member), int(2));
            vec![Stmt::If { cond, then: vec![Stmt::Barrier], other: vec![Stmt::Barrier] }]
        }
        _ => vec![Stmt::Barrier],
    };
    let landed = match wrong {
        Wrong::NoAwait => barrier(0),
        Wrong::LateAwait => [barrier(0), vec![Stmt::Await]].concat(),
        _ => [vec![Stmt::Await], barrier(0)].concat(),
    };
    let first = bin(BinOp::Mul, next, int(PART as i32));
    let elements = add(part, bin(BinOp::Add, first, var(i)), Mem::Shared(row));
    let index = bin(BinOp::Add, begin(), offset(var(i), 4, 0));
    let fill = for_(Bind::Serial, i, int(0), int(PART as i32), vec![store(bytes(index, x, 0), Expr::Float(0.5))]);
    let spoil = store(bytes(begin(), x, 0), Expr::Float(1.0));
    let body = [
        if wrong == Wrong::SourceWritten { vec![fill, copy, spoil] } else { vec![copy] },
        landed,
        vec![Stmt::Reg { var: part, init: Expr::Float(0.0) }],
        vec![for_(Bind::Serial, i, int(0), int(PART as i32), elements)],
        vec![store(number(Mem::Shared(slots), var(member)), var(part))],
        barrier(1),
        vec![Stmt::Reg { var: total, init: Expr::Float(0.0) }, all],
        vec![if wrong == Wrong::AllStore { result } else { by_first }],
        if wrong == Wrong::OneAlone { vec![alone] } else { Vec::new() },
    ];
    let mut func = b.items(item, body.concat());
    let Some(Stmt::For { body, .. }) = func.body.last_mut() else { unreachable!("the work loop") };
    let lanes = std::mem::take(body);
    *body = vec![for_(Bind::Team, member, int(0), int(TEAM as i32), lanes)];
    func
}

/// The results, with as many teams as given and turns by a seed.
fn run(func: &Func, teams: usize, seed: u64) -> Result<Vec<u32>, String> {
    let x: Vec<f32> = (0..ITEMS * ROW).map(|i| 0.1 + 1e5f32.powi(i as i32 % 3) * i as f32).collect();
    let mut buffers = vec![f32s(&x), f32s(&[-1.0; ITEMS])];
    let mut turns = Random::new(seed);
    let done = interp::run_at_once(func, &[ITEMS as i32], &[], &mut buffers, teams, |n| turns.below(n));
    done.map(|()| bits(&buffers[1])).map_err(|fault| fault.to_string())
}

#[test]
fn any_turns_of_a_team_give_the_same_bits() {
    let x = |i: usize| 0.1 + 1e5f32.powi(i as i32 % 3) * i as f32;
    let part =
        |item: usize, member: usize| (0..PART).fold(0.0, |acc, i| acc + x(item * ROW + (member + 1) % TEAM * PART + i));
    let expected = (0..ITEMS).map(|item| (0..TEAM).fold(0.0, |acc, m| acc + part(item, m)).to_bits());
    let expected: Vec<u32> = expected.collect();
    let func = sum(Wrong::Nothing);
    for teams in 1..=ITEMS + 1 {
        for seed in 0..30 {
            assert_eq!(run(&func, teams, seed).as_ref(), Ok(&expected), "{teams} teams, seed {seed}");
        }
    }
}

/// What every run says, of fewer teams than there are items.
#[track_caller]
fn always(wrong: Wrong, reasons: &[&str]) {
    let func = sum(wrong);
    for teams in 1..ITEMS {
        for seed in 0..20 {
            let reason = run(&func, teams, seed).map_or_else(|e| e, |y| format!("no fault: {y:?}"));
            assert!(reasons.iter().any(|r| reason.contains(r)), "{teams} teams, seed {seed}: {reason}");
        }
    }
}

#[test]
fn what_no_barrier_orders_is_a_race() {
    // The row is read before it was copied, the slots before they were written.
    always(Wrong::NoBarrier(0), &["never written", "a race", "under way"]);
    always(Wrong::NoBarrier(1), &["never written", "a race"]);
    always(Wrong::AllStore, &["a race"]);
}

#[test]
fn the_next_item_may_not_begin_too_early() {
    // With one barrier in an item, a fast member writes its slot for the next while a slow one still adds up this one's.
    let mut func = sum(Wrong::NoBarrier(0));
    let early = |func: &Func| {
        (0..20).map(|seed| run(func, 1, seed).map_or_else(|e| e, |y| format!("{y:?}"))).collect::<Vec<_>>()
    };
    each_list(&mut func.body, &mut |list| list.retain(|s| !matches!(s, Stmt::Copy { .. } | Stmt::Await)));
    each_list(&mut func.body, &mut |list| list.iter_mut().for_each(own_number));
    for reason in early(&func) {
        assert!(reason.contains("a race: worker"), "{reason}");
    }
    let mut last = false;
    each_list(&mut func.body, &mut |list| {
        if !last && list.iter().any(|s| matches!(s, Stmt::Barrier)) {
            list.push(Stmt::Barrier);
            last = true;
        }
    });
    for result in early(&func) {
        assert!(!result.contains("a race"), "{result}");
    }
}

/// Without copies, a member adds up the number 1 instead of its part of the row.
fn own_number(s: &mut Stmt) {
    if let Stmt::Set { value: Expr::Binary(_, _, number), .. } = s
        && matches!(&**number, Expr::Load(from) if matches!(from.mem, Mem::Shared(row) if row == Var(5)))
    {
        **number = Expr::Float(1.0);
    }
}

fn each_list(stmts: &mut Vec<Stmt>, f: &mut impl FnMut(&mut Vec<Stmt>)) {
    stmts.iter_mut().flat_map(Stmt::lists_mut).for_each(|list| each_list(list, f));
    f(stmts);
}

#[test]
fn copies_under_way_are_left_alone() {
    always(Wrong::NoAwait, &["to which a copy is under way"]);
    always(Wrong::LateAwait, &["to which a copy is under way", "a race"]);
    always(Wrong::SourceWritten, &["of which a copy is under way"]);
}

#[test]
fn a_barrier_that_some_never_reach_is_a_deadlock() {
    always(Wrong::TwoBarriers, &["a deadlock: member"]);
    let reason = run(&sum(Wrong::TwoBarriers), 1, 3).unwrap_err();
    let told = ["waits at `barrier 1` in item 0", ", and member", "waits at `barrier 2` in item 0"];
    assert!(told.iter().all(|told| reason.contains(told)), "{reason}");
    always(Wrong::OneAlone, &["member 0 waits at `barrier 2`"]);
    let mut reasons = (0..20).map(|seed| run(&sum(Wrong::OneAlone), ITEMS, seed).unwrap_err());
    assert!(
        reasons.all(|reason| reason.contains("a deadlock: member 0 waits") && reason.contains("has left `fn sum`"))
    );
}

#[test]
fn one_barrier_in_two_items_is_a_deadlock() {
    let mut func = sum(Wrong::Nothing);
    each_list(&mut func.body, &mut |list| {
        if list.iter().any(|s| matches!(s, Stmt::Copy { .. })) {
            let alike = bin(BinOp::Rem, bin(BinOp::Add, var(Var(1)), var(Var(2))), int(2));
            let cond = bin(BinOp::Eq, alike, int(0));
            *list = vec![Stmt::If { cond, then: vec![Stmt::Barrier], other: Vec::new() }];
        }
    });
    let reason = run(&func, 1, 0).unwrap_err();
    assert!(reason.contains("`barrier 0` in item 0") && reason.contains("`barrier 0` in item 1"), "{reason}");
}

#[test]
fn a_copy_that_nobody_waits_for_is_noticed() {
    let mut func = sum(Wrong::Nothing);
    each_list(&mut func.body, &mut |list| {
        if list.iter().any(|s| matches!(s, Stmt::Copy { .. })) {
            list.truncate(1);
        }
    });
    func.work = int(1);
    let reason = run(&func, ITEMS, 0).unwrap_err();
    assert!(reason.contains("has not waited for a copy"), "{reason}");
}

/// What the interpreter says of another copy.
fn copied(change: impl Fn(&mut Stmt)) -> String {
    let mut func = sum(Wrong::Nothing);
    each_list(&mut func.body, &mut |list| list.iter_mut().filter(|s| matches!(s, Stmt::Copy { .. })).for_each(&change));
    run(&func, 2, 1).map_or_else(|e| e, |_| "no fault".into())
}

#[test]
fn copies_are_aligned_pieces_from_a_buffer_to_the_team() {
    assert_eq!(copied(|_| ()), "no fault");
    let said = |change: &dyn Fn(&mut kgen::loop_ir::Access, &mut kgen::loop_ir::Access, &mut usize), reason: &str| {
        let said = copied(|s| {
            if let Stmt::Copy { to, from, len, .. } = s {
                change(to, from, len)
            }
        });
        assert!(said.contains(reason), "{said}");
    };
    said(&|_, _, len| *len = 3, "12 bytes are no piece");
    said(&|to, _, _| to.scalar = Scalar::I32, "are no piece");
    said(&|_, from, _| *from.addr = Expr::Long(4), "from 4 are not aligned");
    said(&|to, _, _| to.lane_stride = 8, "copy to the same byte");
    said(&|_, from, _| from.lane_stride = 0, "some of them nothing");
    said(&|to, _, _| to.mem = Mem::Buffer(0), "from a buffer to an array of the team");
    said(&|_, from, _| *from.addr = Expr::Long(1 << 20), "leave the");
}

#[test]
fn teams_are_as_the_function_says() {
    let fault = |func: &Func| run(func, 1, 0).unwrap_err();
    let mut func = sum(Wrong::Nothing);
    func.team = 3;
    assert!(fault(&func).contains("a team loop over 0..4 step 1 with 3 members"), "{}", fault(&func));
    func.team = 0;
    assert!(fault(&func).contains("teams of 0"));
    let mut func = sum(Wrong::Nothing);
    let Some(Stmt::For { body, .. }) = func.body.pop() else { unreachable!("the work loop") };
    func.body.extend(body);
    assert!(fault(&func).contains("a team loop over"), "{}", fault(&func));
    let func = sum(Wrong::Nothing);
    let mut buffers = vec![vec![0; 4 * ITEMS * ROW], vec![0; 4 * ITEMS]];
    let alone = interp::run(&func, &[ITEMS as i32], &[], &mut buffers, 0, ITEMS as i32).unwrap_err();
    assert_eq!(alone.reason, "one worker, where 4 do each item together");
}

#[test]
fn printers_refuse_what_they_cannot_do() {
    let func = sum(Wrong::Nothing);
    let refused = cpu::emit(&func, Isa::Scalar).map(drop).unwrap_err().to_string();
    assert!(refused.contains("no registers of 2 lanes"), "{refused}");
    let mut plain = func.clone();
    plain.width = 1;
    let refused = cpu::emit(&plain, Isa::Scalar).map(drop).unwrap_err().to_string();
    assert!(refused.contains("workers on a CPU form no teams"), "{refused}");
    for threads in [4, 16, 32] {
        let refused = cuda::emit(&func, threads, &Default::default()).unwrap_err();
        assert!(refused.reason.contains("one team of 4"), "{refused}");
    }
    // A buffer of f32 may begin at any multiple of 4.
    let refused = cuda::emit(&func, TEAM * WIDTH, &Default::default()).unwrap_err();
    assert!(refused.reason.contains("pieces of 16 bytes are not known to be aligned"), "{refused}");
    let mut aligned = func;
    aligned.buffers[0].elem_bytes = 16;
    let source = cuda::emit(&aligned, TEAM * WIDTH, &Default::default()).unwrap();
    assert_eq!((source.at_once, source.shared), (1, 4 * ROW + 16));
    assert!(source.text().contains("copy_16(") && source.text().contains("__syncthreads();"));
}
