//! Runs loop IR with the lanes of a worker in lockstep and workers in random turns, and refuses whatever generated code may
//! not do.
//!
//! A choice by a varying condition computes both sides in every lane, as registers do, so a fault on either side counts.
//! Workers take turns only where they meet (at [`Stmt::Arrive`](super::Stmt::Arrive) and [`Stmt::Barrier`](super::Stmt::Barrier))
//! or wait for copies: between two meetings the order of their steps can only matter if one writes what another reads or
//! writes, and that is a fault in any order.
use super::shared::Shared;
use super::team::Team;
use super::worker::{Pause, Worker};
use super::{Func, lanes::MAX_LANES};

/// Something that a function must never do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}, at `{node}`")]
pub struct Fault {
    /// The statement or expression, as text.
    pub node: String,
    /// What is wrong with it.
    pub reason: String,
}

/// Runs the work items `lo..hi` of `func`, one after the other. `ints` are the dims and integer scalars, `buffers` the bytes of
/// each buffer.
///
/// Faults: reading or writing outside of memory, a variable used before it is set, one value where one a lane is needed or
/// the reverse, an exchange between lanes where only some may be, more in front of the items
/// than asking for memory that is there, mixed types, an integer that leaves its type, a bad shift or divisor, a store to what is only read, a part of
/// the items of a function whose workers meet, a function for teams.
pub fn run(func: &Func, ints: &[i32], floats: &[f32], buffers: &mut [Vec<u8>], lo: i32, hi: i32) -> Result<(), Fault> {
    check(func, ints, floats, buffers)?;
    if func.scratch.is_some() && (lo, Some(hi)) != (0, func.work_items(ints)) {
        return Err(fault(func, format!("items {lo}..{hi}, where workers wait for those of all items")));
    }
    if func.team > 1 {
        return Err(fault(func, format!("one worker, where {} do each item together", func.team)));
    }
    let mut shared = Shared::new(func, ints, buffers, 1).map_err(|reason| fault(func, reason))?;
    let mut worker = Worker::new(func, (ints, floats), 0, (lo, hi), 1);
    loop {
        match worker.go_on(&mut shared)? {
            Pause::Meeting => {}
            Pause::Barrier => return Err(fault(func, "a team meets, where one worker does each item".into())),
            Pause::Done => break,
        }
    }
    shared.finish().map_err(|reason| fault(func, reason))
}

/// Runs all work items by several workers at once, or by several teams: worker or team `w` does items `w`, `w + workers`, and
/// so on. `choose` gives a number below its argument: whose turn is next.
///
/// Faults: those of [`run`] by itself, a race (two workers touch a byte, one of them writes, and no meeting puts them in order),
/// a number in scratch memory, in an array of a team or in a buffer that the function writes, that is read before it is written,
/// a touch of what is being copied, a member that waits where another cannot come, members that arrive as one at different
/// counters, and counters that are not 0 at the end.
pub fn run_at_once(
    func: &Func,
    ints: &[i32],
    floats: &[f32],
    buffers: &mut [Vec<u8>],
    workers: usize,
    mut choose: impl FnMut(usize) -> usize,
) -> Result<(), Fault> {
    check(func, ints, floats, buffers)?;
    let items = func.work_items(ints).ok_or_else(|| fault(func, "the number of work items is no i32".into()))?;
    let mut shared = Shared::new(func, ints, buffers, workers).map_err(|reason| fault(func, reason))?;
    let first = |id: usize| ((id / func.team) as i32, items);
    let worker = |id: usize| Worker::new(func, (ints, floats), id, first(id), workers as i32);
    let mut running: Vec<Worker> = (0..workers * func.team).map(worker).collect();
    let mut teams: Vec<Team> = (0..workers).map(|_| Team::default()).collect();
    while !running.is_empty() {
        let next = choose(running.len());
        let team = running[next].team();
        match running[next].go_on(&mut shared)? {
            Pause::Meeting => continue,
            Pause::Barrier => teams[team].wait(running.swap_remove(next)),
            Pause::Done => teams[team].done(running.swap_remove(next)),
        }
        // Also other teams may have waited for what this one has done.
        for team in &mut teams {
            running.extend(team.released(func, &mut shared)?);
        }
    }
    if let Some(fault) = teams.iter().find_map(|team| team.stuck(func)) {
        return Err(fault);
    }
    shared.finish().map_err(|reason| fault(func, reason))
}

fn fault(func: &Func, reason: String) -> Fault {
    Fault { node: format!("fn {}", func.name), reason }
}

fn check(func: &Func, ints: &[i32], floats: &[f32], buffers: &[Vec<u8>]) -> Result<(), Fault> {
    let given = (ints.len(), floats.len(), buffers.len());
    let wanted = (func.ints, func.floats, func.buffers.len());
    if given != wanted {
        return Err(fault(func, format!("given {given:?} integers, floats and buffers where it takes {wanted:?}")));
    }
    if !(1..=MAX_LANES).contains(&func.width) || func.team == 0 || func.vars.len() < func.ints + func.floats {
        let reason = format!("{} lanes, teams of {}, {} variables", func.width, func.team, func.vars.len());
        return Err(fault(func, reason));
    }
    if let Some(node) = func.misplaced_exchange() {
        return Err(Fault { node, reason: "lanes exchange numbers where only some may be".into() });
    }
    if let Some(node) = func.misplaced_in_front() {
        return Err(Fault { node, reason: "in front of the items, memory is only asked for".into() });
    }
    Ok(())
}
