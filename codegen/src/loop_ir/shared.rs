//! What workers share while they run: buffers, scratch memory and counters, with a record of who touched which byte when.
//!
//! Each worker counts its own steps from meeting to meeting; its clock says how far it has heard of the others. A byte may be
//! touched if all earlier touches that matter have been heard of (as FastTrack does; Flanagan and Freund, 2009).
use super::{Func, Mem};

/// How far a worker has heard of each worker.
type Clock = Vec<u32>;

/// Memory and counters.
pub struct Shared<'a> {
    func: &'a Func,
    buffers: &'a mut [Vec<u8>],
    scratch: Vec<u8>,
    counters: Vec<(u32, Clock)>,
    clocks: Vec<Clock>,
    /// Of the bytes of each buffer, and of the scratch memory at the end; empty where nothing can race.
    touches: Vec<Vec<Touch>>,
}

/// The last touches of a byte.
#[derive(Clone, Default)]
struct Touch {
    /// Who wrote it last, and that worker's step then.
    written: Option<(usize, u32)>,
    /// The step in which each worker read it last; 0 where it has not.
    read: Vec<u32>,
}

impl<'a> Shared<'a> {
    /// Scratch memory for the given sizes, and counters at 0.
    pub fn new(func: &'a Func, ints: &[i32], buffers: &'a mut [Vec<u8>], workers: usize) -> Result<Self, String> {
        let items = func.work_items(ints).ok_or("the number of work items is no i32")?;
        let counters = func.counters(ints).ok_or("the number of counters is no i32")?.max(0) as usize;
        let bytes = func.scratch.as_ref().map_or(0, |scratch| scratch.item_bytes * items.max(0) as usize);
        let touches = |(buffer, bytes): (&crate::ir::Buffer, &Vec<u8>)| match buffer.written && workers > 1 {
            true => vec![Touch::default(); bytes.len()],
            false => Vec::new(),
        };
        let mut touches: Vec<Vec<Touch>> = func.buffers.iter().zip(buffers.iter()).map(touches).collect();
        touches.push(vec![Touch::default(); bytes]);
        let mut clocks = vec![vec![0; workers]; workers];
        clocks.iter_mut().enumerate().for_each(|(worker, clock)| clock[worker] = 1);
        let counters = vec![(0, vec![0; workers]); counters];
        Ok(Shared { func, buffers, scratch: vec![0xa5; bytes], counters, clocks, touches })
    }

    /// The bytes of a buffer or of the scratch memory.
    pub fn bytes(&self, mem: Mem) -> Option<&[u8]> {
        match mem {
            Mem::Buffer(index) => self.buffers.get(index).map(Vec::as_slice),
            Mem::Scratch => Some(&self.scratch),
            Mem::Local(_) => None,
        }
    }

    fn touches(&mut self, mem: Mem) -> &mut [Touch] {
        let scratch = self.touches.len() - 1;
        match mem {
            Mem::Buffer(index) => &mut self.touches[index],
            _ => &mut self.touches[scratch],
        }
    }

    /// Notes that a worker reads `size` bytes.
    pub fn read(&mut self, worker: usize, mem: Mem, at: usize, size: usize) -> Result<(), String> {
        if self.touches(mem).is_empty() {
            return Ok(());
        }
        let clock = self.clocks[worker].clone();
        for touch in &mut self.touches(mem)[at..at + size] {
            match touch.written {
                None if mem == Mem::Scratch => return Err(format!("byte {at} of scratch memory was never written")),
                Some((by, step)) if clock[by] < step => {
                    return Err(format!("a race: worker {worker} reads byte {at}, which worker {by} writes"));
                }
                _ => {}
            }
            touch.read.resize(clock.len(), 0);
            touch.read[worker] = clock[worker];
        }
        Ok(())
    }

    /// Notes that a worker writes `size` bytes, and gives them.
    pub fn write(&mut self, worker: usize, mem: Mem, at: usize, size: usize) -> Result<&mut [u8], String> {
        if !self.touches(mem).is_empty() {
            let clock = self.clocks[worker].clone();
            for touch in &mut self.touches(mem)[at..at + size] {
                let written = touch.written.filter(|(by, step)| clock[*by] < *step).map(|(by, _)| by);
                let read = touch.read.iter().zip(&clock).position(|(step, heard)| heard < step);
                if let Some(by) = written.or(read) {
                    return Err(format!("a race: worker {worker} writes byte {at}, which worker {by} touches"));
                }
                *touch = Touch { written: Some((worker, clock[worker])), read: Vec::new() };
            }
        }
        match mem {
            Mem::Buffer(index) if !self.func.buffers[index].written => Err("the buffer is only read".into()),
            Mem::Buffer(index) => Ok(&mut self.buffers[index][at..at + size]),
            _ => Ok(&mut self.scratch[at..at + size]),
        }
    }

    /// A worker arrives; whether it is the last of `of`.
    pub fn arrive(&mut self, worker: usize, counter: i32, of: i32) -> Result<bool, String> {
        let count = self.counters.len();
        let place = usize::try_from(counter).ok().and_then(|i| self.counters.get_mut(i));
        let (arrived, heard) = place.ok_or_else(|| format!("counter {counter} of {count}"))?;
        if of < 1 || *arrived >= of as u32 {
            return Err(format!("arrival {arrived} of {of}"));
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

    /// What must hold at the end.
    pub fn finish(&self) -> Result<(), String> {
        match self.counters.iter().position(|(arrived, _)| *arrived != 0) {
            Some(i) => Err(format!("at the end counter {i} waits for more than {} arrivals", self.counters[i].0)),
            None => Ok(()),
        }
    }
}
