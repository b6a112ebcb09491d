//! What workers share while they run: buffers, scratch memory, counters and the arrays of teams, with a record of who touched
//! which byte when.
//!
//! Each worker counts its own steps from meeting to meeting; its clock says how far it has heard of the others. A byte may be
//! touched if all earlier touches that matter have been heard of (as FastTrack does; Flanagan and Freund, 2009).
use super::{Func, Mem, Owner, Stmt, Var};
use std::ops::Range;

/// How far a worker has heard of each worker.
type Clock = Vec<u32>;

/// What every byte is before it is written.
pub const POISON: u8 = 0xa5;

/// Memory and counters.
pub struct Shared<'a> {
    func: &'a Func,
    buffers: &'a mut [Vec<u8>],
    /// Scratch memory, then the arrays of the first team, of the second, and so on.
    own: Vec<Vec<u8>>,
    /// The arrays that each team has.
    arrays: Vec<Var>,
    counters: Vec<(u32, Clock)>,
    clocks: Vec<Clock>,
    /// Of the bytes of each buffer, then of all others; empty where nothing can race.
    touches: Vec<Vec<Touch>>,
    copies: Vec<Copy>,
    /// The buffers that workers read after others have written them.
    handed_on: Vec<bool>,
}

/// The last touches of a byte.
#[derive(Clone, Default)]
struct Touch {
    /// Who wrote it last, and that worker's step then.
    written: Option<(usize, u32)>,
    /// Who has read it since, and when; a reader that a later one has heard of is left out.
    read: Vec<(usize, u32)>,
}

impl Touch {
    fn read_by(&mut self, worker: usize, clock: &[u32]) {
        self.read.retain(|(by, step)| clock[*by] < *step);
        self.read.push((worker, clock[worker]));
    }

    fn written_by(&mut self, worker: usize, clock: &[u32]) {
        *self = Touch { written: Some((worker, clock[worker])), read: Vec::new() };
    }

    /// Another worker that has touched it (or written it, where only that matters), and has not been heard of.
    fn unheard(&self, clock: &[u32], reads: bool) -> Option<usize> {
        let reads = self.read.iter().filter(|_| reads);
        self.written.iter().chain(reads).find(|(by, step)| clock[*by] < *step).map(|(by, _)| *by)
    }
}

/// Bytes of a memory, by its number: the buffers come first.
#[derive(Clone, PartialEq)]
struct Place {
    memory: usize,
    bytes: Range<usize>,
}

impl Place {
    fn meets(&self, other: &Place) -> bool {
        self.memory == other.memory && self.bytes.start < other.bytes.end && other.bytes.start < self.bytes.end
    }
}

/// A copy under way.
struct Copy {
    worker: usize,
    to: Place,
    from: Place,
}

impl<'a> Shared<'a> {
    /// Scratch memory for the given sizes, counters at 0, and the arrays of so many teams.
    pub fn new(func: &'a Func, ints: &[i32], buffers: &'a mut [Vec<u8>], teams: usize) -> Result<Self, String> {
        let workers = teams * func.team;
        let items = func.work_items(ints).ok_or("the number of work items is no i32")?;
        let counters = func.counters(ints).ok_or("the number of counters is no i32")?.max(0) as usize;
        let scratch = func.scratch.as_ref().map_or(0, |scratch| scratch.item_bytes * items.max(0) as usize);
        let (arrays, sizes): (Vec<Var>, Vec<usize>) = func.body.iter().filter_map(team_array).unzip();
        let sizes = std::iter::once(scratch).chain(sizes.iter().cycle().take(teams * sizes.len()).copied());
        let own: Vec<Vec<u8>> = sizes.map(|size| vec![POISON; size]).collect();
        let handed_on: Vec<bool> = (0..func.buffers.len()).map(|buffer| func.hands_on(buffer)).collect();
        let can_race = |i: usize| handed_on[i] || func.buffers[i].written && workers > 1;
        let racing = buffers.iter().enumerate().map(|(i, bytes)| if can_race(i) { bytes.len() } else { 0 });
        let touches = racing.chain(own.iter().map(Vec::len)).map(|len| vec![Touch::default(); len]).collect();
        let mut clocks = vec![vec![0; workers]; workers];
        clocks.iter_mut().enumerate().for_each(|(worker, clock)| clock[worker] = 1);
        let counters = vec![(0, vec![0; workers]); counters];
        Ok(Shared { func, buffers, own, arrays, counters, clocks, touches, copies: Vec::new(), handed_on })
    }

    /// The number of a memory, as this worker sees it.
    fn number(&self, worker: usize, mem: Mem) -> Option<usize> {
        let buffers = self.buffers.len();
        match mem {
            Mem::Buffer(index) => (index < buffers).then_some(index),
            Mem::Scratch => Some(buffers),
            Mem::Shared(var) => {
                let array = self.arrays.iter().position(|array| *array == var)?;
                Some(buffers + 1 + worker / self.func.team * self.arrays.len() + array)
            }
            Mem::Local(_) => None,
        }
    }

    /// The bytes of a memory that is not the worker's alone.
    pub fn bytes(&self, worker: usize, mem: Mem) -> Option<&[u8]> {
        let number = self.number(worker, mem)?;
        Some(self.buffers.get(number).unwrap_or_else(|| &self.own[number - self.buffers.len()]))
    }

    fn place(&self, worker: usize, mem: Mem, at: usize, size: usize) -> Result<Place, String> {
        Ok(Place { memory: self.number(worker, mem).ok_or("no such memory")?, bytes: at..at + size })
    }

    fn memory(&mut self, number: usize) -> &mut [u8] {
        let buffers = self.buffers.len();
        if number < buffers { &mut self.buffers[number] } else { &mut self.own[number - buffers] }
    }

    /// The record of some bytes, where one is kept.
    fn touched(&mut self, place: &Place) -> impl Iterator<Item = &mut Touch> {
        self.touches[place.memory].iter_mut().skip(place.bytes.start).take(place.bytes.len())
    }

    /// Notes that a worker reads `size` bytes.
    pub fn read(&mut self, worker: usize, mem: Mem, at: usize, size: usize) -> Result<(), String> {
        let place = self.place(worker, mem, at, size)?;
        if self.copies.iter().any(|copy| copy.to.meets(&place)) {
            return Err(format!("worker {worker} reads byte {at}, to which a copy is under way"));
        }
        let func = self.func;
        let unwritten = match mem {
            Mem::Buffer(index) => self.handed_on[index].then(|| func.buffers[index].name.as_str()),
            Mem::Scratch => Some("scratch memory"),
            _ => Some("an array of the team"),
        };
        let clock = std::mem::take(&mut self.clocks[worker]);
        let result = self.touched(&place).try_for_each(|touch| {
            if let (None, Some(name)) = (touch.written, unwritten) {
                return Err(format!("byte {at} of {name} was never written"));
            }
            if let Some(by) = touch.unheard(&clock, false) {
                return Err(format!("a race: worker {worker} reads byte {at}, which worker {by} writes"));
            }
            touch.read_by(worker, &clock);
            Ok(())
        });
        self.clocks[worker] = clock;
        result
    }

    /// Notes that a worker writes `size` bytes, and gives them.
    pub fn write(&mut self, worker: usize, mem: Mem, at: usize, size: usize) -> Result<&mut [u8], String> {
        let place = self.place(worker, mem, at, size)?;
        if self.func.buffers.get(place.memory).is_some_and(|buffer| !buffer.written) {
            return Err("the buffer is only read".into());
        }
        if self.copies.iter().any(|copy| copy.to.meets(&place) || copy.from.meets(&place)) {
            return Err(format!("worker {worker} writes byte {at}, of which a copy is under way"));
        }
        let clock = std::mem::take(&mut self.clocks[worker]);
        let result = self.touched(&place).try_for_each(|touch| match touch.unheard(&clock, true) {
            Some(by) => Err(format!("a race: worker {worker} writes byte {at}, which worker {by} touches")),
            None => {
                touch.written_by(worker, &clock);
                Ok(())
            }
        });
        self.clocks[worker] = clock;
        result.map(|()| &mut self.memory(place.memory)[place.bytes])
    }

    /// A worker begins to copy `size` bytes. It touches both ends now, and again when the copy is done: what happens to
    /// them in between is a fault whenever it happens.
    pub fn copy(&mut self, worker: usize, to: (Mem, usize), from: (Mem, usize), size: usize) -> Result<(), String> {
        if !matches!((to.0, from.0), (Mem::Shared(_), Mem::Buffer(_))) {
            return Err("a copy goes from a buffer to an array of the team".into());
        }
        self.read(worker, from.0, from.1, size)?;
        self.write(worker, to.0, to.1, size)?;
        let (to, from) = (self.place(worker, to.0, to.1, size)?, self.place(worker, from.0, from.1, size)?);
        self.copies.push(Copy { worker, to, from });
        Ok(())
    }

    /// The copies that a worker has begun are done.
    pub fn land(&mut self, worker: usize) {
        let (done, under_way) = std::mem::take(&mut self.copies).into_iter().partition(|copy| copy.worker == worker);
        self.copies = under_way;
        let clock = self.clocks[worker].clone();
        for Copy { to, from, .. } in Vec::from_iter::<Vec<Copy>>(done) {
            self.touched(&from).for_each(|touch| touch.read_by(worker, &clock));
            self.touched(&to).for_each(|touch| touch.written_by(worker, &clock));
            let bytes = self.memory(from.memory)[from.bytes].to_vec();
            self.memory(to.memory)[to.bytes].copy_from_slice(&bytes);
        }
    }

    /// Whether so many have arrived at a counter.
    pub fn has_arrived(&self, counter: i32, arrivals: i32) -> bool {
        let place = usize::try_from(counter).ok().and_then(|i| self.counters.get(i));
        place.is_none_or(|(arrived, _)| *arrived as i64 >= i64::from(arrivals))
    }

    /// A worker arrives; whether it is the last of `of`. One of one hears of nobody.
    pub fn arrive(&mut self, worker: usize, counter: i32, of: i32) -> Result<bool, String> {
        let count = self.counters.len();
        let place = usize::try_from(counter).ok().and_then(|i| self.counters.get_mut(i));
        let (arrived, heard) = place.ok_or_else(|| format!("counter {counter} of {count}"))?;
        if of < 1 || *arrived >= of as u32 {
            return Err(format!("arrival {arrived} of {of}"));
        }
        if of == 1 {
            return Ok(true);
        }
        let own = &mut self.clocks[worker];
        for (heard, own) in heard.iter_mut().zip(own.iter_mut()) {
            *heard = (*heard).max(*own);
            *own = *heard;
        }
        own[worker] += 1;
        let last = *arrived + 1 == of as u32;
        *arrived = if last { 0 } else { *arrived + 1 };
        Ok(last)
    }

    /// All members of a team meet, and hear of each other.
    pub fn meet(&mut self, team: usize) {
        let members = team * self.func.team..(team + 1) * self.func.team;
        let heard = |worker: usize| self.clocks[members.clone()].iter().map(|clock| clock[worker]).max();
        let all: Clock = (0..self.clocks.len()).map(|worker| heard(worker).unwrap_or(0)).collect();
        for member in members {
            self.clocks[member].copy_from_slice(&all);
            self.clocks[member][member] += 1;
        }
    }

    /// What must hold at the end.
    pub fn finish(&self) -> Result<(), String> {
        if let Some(copy) = self.copies.first() {
            return Err(format!("at the end worker {} has not waited for a copy", copy.worker));
        }
        match self.counters.iter().position(|(arrived, _)| *arrived != 0) {
            Some(i) => Err(format!("at the end counter {i} waits for more than {} arrivals", self.counters[i].0)),
            None => Ok(()),
        }
    }
}

/// An array that teams have, and its bytes.
fn team_array(s: &Stmt) -> Option<(Var, usize)> {
    match s {
        Stmt::Array { var, scalar, len, of: Owner::Team } => Some((*var, len * scalar.bytes())),
        _ => None,
    }
}
