//! Members of a team that wait for each other, at a barrier or to arrive as one. One that waits where another can never come is
//! a deadlock.
use super::interp::Fault;
use super::shared::Shared;
use super::worker::Worker;
use super::{Func, Stmt, print};

/// The members of a team that cannot go on by themselves.
#[derive(Default)]
pub struct Team<'a> {
    waiting: Vec<Worker<'a>>,
    done: Vec<Worker<'a>>,
}

impl<'a> Team<'a> {
    /// A member waits for the others.
    pub fn wait(&mut self, member: Worker<'a>) {
        self.waiting.push(member);
    }

    /// A member has done all its items.
    pub fn done(&mut self, member: Worker<'a>) {
        self.done.push(member);
    }

    /// Those that wait, where all members do, at the same statement: now they have heard of each other. A fault where some wait
    /// in vain.
    pub fn released(&mut self, func: &Func, shared: &mut Shared) -> Result<Vec<Worker<'a>>, Fault> {
        if self.waiting.len() + self.done.len() < func.team || self.waiting.is_empty() {
            return Ok(Vec::new());
        }
        let first = &self.waiting[0];
        let elsewhere = |other: &&Worker| !same(first.waits_at(), other.waits_at());
        if let Some(other) = self.done.first().or_else(|| self.waiting.iter().find(elsewhere)) {
            return Err(deadlock(func, first, other));
        }
        shared.meet(first.team());
        let Some(last) = self.arrive(func, shared)? else { return Ok(Vec::new()) };
        self.waiting.iter_mut().for_each(|member| member.release(last));
        Ok(std::mem::take(&mut self.waiting))
    }

    /// Where all members wait, and nobody else can go on: nobody will ever arrive that they wait for.
    pub fn stuck(&self, func: &Func) -> Option<Fault> {
        let (stmt, item) = self.waiting.first()?.waits_at()?;
        Some(Fault {
            node: print::head(func, stmt),
            reason: format!("a deadlock: a team waits in item {item} for ever"),
        })
    }

    /// Where the members have come to arrive, counts that once; whether it was the last. Nothing where others must arrive before.
    fn arrive(&mut self, func: &Func, shared: &mut Shared) -> Result<Option<bool>, Fault> {
        let mut arrivals = Vec::new();
        for member in &mut self.waiting {
            arrivals.extend(member.arrival(shared)?);
        }
        let Some((counter, of, before)) = arrivals.first().copied() else { return Ok(Some(false)) };
        let first = &self.waiting[0];
        let fault = |reason| {
            let node = first.waits_at().map_or_else(String::new, |(stmt, _)| print::head(func, stmt));
            Fault { node, reason }
        };
        if arrivals.iter().any(|other| *other != (counter, of, before)) {
            return Err(fault("the members of a team arrive at different counters".into()));
        }
        if !shared.has_arrived(counter, before) {
            return Ok(None);
        }
        let last = shared.arrive(first.id, counter, of).map_err(fault)?;
        shared.meet(first.team());
        Ok(Some(last))
    }
}

/// Whether two members wait at one statement, in one item.
fn same(a: Option<(&Stmt, i32)>, b: Option<(&Stmt, i32)>) -> bool {
    matches!((a, b), (Some((a, item)), Some((b, other))) if std::ptr::eq(a, b) && item == other)
}

fn deadlock(func: &Func, first: &Worker, other: &Worker) -> Fault {
    let place = |member: &Worker| {
        let waits =
            member.waits_at().map(|(stmt, item)| format!("waits at `{}` in item {item}", print::head(func, stmt)));
        format!("member {} {}", member.member(), waits.unwrap_or_else(|| format!("has left `fn {}`", func.name)))
    };
    let node = first.waits_at().map_or_else(String::new, |(stmt, _)| print::head(func, stmt));
    Fault { node, reason: format!("a deadlock: {}, and {}", place(first), place(other)) }
}
