//! A persistent thread pool: every job is run once by each thread.
use std::{
    any::Any,
    io,
    ops::Range,
    panic::{AssertUnwindSafe, catch_unwind},
    ptr,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicPtr, AtomicU64, AtomicUsize, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

/// How long a thread looks for a new job (or for the others' end) before it sleeps: longer than the caller needs between two
/// stages or tokens, and short enough to leave the processor to others.
const PATIENCE: Duration = Duration::from_micros(200);
/// How often it looks before it looks at the clock.
const LOOKS: u32 = 64;

/// A share of work is a multiple of this many items, where there is plenty of work: no two threads then write to one cache line.
const GRAIN: usize = 16;

/// The share of thread `index` of `threads`: together they cover `0..work` exactly once, in order.
pub fn share(work: usize, threads: usize, index: usize) -> Range<usize> {
    let grain = if work >= 4 * GRAIN * threads { GRAIN } else { 1 };
    let grains = work.div_ceil(grain);
    let edge = |i: usize| (grains * i / threads * grain).min(work);
    edge(index)..edge(index + 1)
}

/// A thread panicked while it ran a job.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("thread {thread} panicked: {message}")]
pub struct Panicked {
    /// Index of the thread.
    pub thread: usize,
    /// What it said.
    pub message: String,
}

/// A job: called once by each thread with the thread's index.
type Job = dyn Fn(usize) + Sync;

/// What the threads share. A job is announced by `epoch` and is over when `running` is 0. Neither takes a lock nor a call of
/// the system as long as nobody sleeps.
struct Shared {
    epoch: Line<AtomicU64>,
    running: Line<AtomicUsize>,
    /// The job of this epoch, whose lifetime is forgotten; [`Pool::run`] does not return before the last thread is done with it.
    job: AtomicPtr<&'static Job>,
    stop: AtomicBool,
    /// Threads that sleep, or are about to, until the epoch changes.
    sleepers: AtomicUsize,
    /// Whether the caller sleeps, or is about to, until `running` is 0.
    caller_sleeps: AtomicBool,
    panicked: Mutex<Option<Panicked>>,
    /// Held from the last look before sleep, so that whoever wakes the others finds them asleep.
    sleep: Mutex<()>,
    announced: Condvar,
    finished: Condvar,
}

/// A cache line of its own (two, as processors fetch them in pairs), so that those who look at it are not disturbed by its neighbours.
#[repr(align(128))]
#[derive(Default)]
struct Line<T>(T);

/// The pool. The thread that calls [`Pool::run`] is thread 0.
pub struct Pool {
    shared: Arc<Shared>,
    workers: Vec<JoinHandle<()>>,
}

impl Pool {
    /// A pool of `threads` threads (at least 1), this one included.
    pub fn new(threads: usize) -> io::Result<Pool> {
        let shared = Arc::new(Shared {
            epoch: Line::default(),
            running: Line::default(),
            job: AtomicPtr::new(ptr::null_mut()),
            stop: AtomicBool::new(false),
            sleepers: AtomicUsize::new(0),
            caller_sleeps: AtomicBool::new(false),
            panicked: Mutex::default(),
            sleep: Mutex::default(),
            announced: Condvar::new(),
            finished: Condvar::new(),
        });
        let mut pool = Pool { shared, workers: Vec::new() };
        for index in 1..threads {
            let shared = pool.shared.clone();
            let worker = thread::Builder::new().name(format!("apr-{index}")).spawn(move || shared.work(index))?;
            pool.workers.push(worker);
        }
        Ok(pool)
    }

    /// Number of threads, the caller's included.
    pub fn threads(&self) -> usize {
        self.workers.len() + 1
    }

    /// Runs `job` once on each thread, with the thread's index, and waits for all of them.
    pub fn run(&mut self, job: &(dyn Fn(usize) + Sync)) -> Result<(), Panicked> {
        // SAFETY: only the lifetime changes; this function waits for all threads before the job can die.
        let mut forgotten = unsafe { std::mem::transmute::<&(dyn Fn(usize) + Sync + '_), &'static Job>(job) };
        self.shared.job.store(&raw mut forgotten, Ordering::Relaxed);
        self.shared.running.0.store(self.workers.len(), Ordering::Relaxed);
        self.shared.announce();
        self.shared.call(job, 0);
        self.shared.wait_for_all();
        self.outcome()
    }

    /// Runs `job` for thread 0 alone, the caller: for work that is done sooner than others would hear of it.
    pub fn run_alone(&mut self, job: &(dyn Fn(usize) + Sync)) -> Result<(), Panicked> {
        self.shared.call(job, 0);
        self.outcome()
    }

    /// Cuts `all` into groups of `group` (at least 1; the last may be smaller), and gives each thread its share of them with
    /// the index of its first element. A thread without a group gets nothing.
    pub fn share_out<T: Send>(
        &mut self,
        all: &mut [T],
        group: usize,
        job: impl Fn(usize, &mut [T]) + Sync,
    ) -> Result<(), Panicked> {
        let (groups, threads) = (all.len().div_ceil(group), self.threads());
        let (mut parts, mut rest) = (Vec::new(), all);
        for thread in 0..threads {
            let share = share(groups, threads, thread);
            let (part, after) = rest.split_at_mut((share.len() * group).min(rest.len()));
            parts.push(Mutex::new((share.start * group, part)));
            rest = after;
        }
        self.run(&|thread| {
            let (start, part) = &mut *lock(&parts[thread]);
            if !part.is_empty() {
                job(*start, part);
            }
        })
    }

    fn outcome(&self) -> Result<(), Panicked> {
        lock(&self.shared.panicked).take().map_or(Ok(()), Err)
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        self.shared.announce();
        for worker in self.workers.drain(..) {
            // A worker's panics are caught inside; there is nothing left to report here.
            let _ = worker.join();
        }
    }
}

impl Shared {
    /// Begins a new epoch. Whoever goes to sleep counts itself first and then looks at the epoch once more, and here it is the
    /// other way round; in the one order of these four, one of the two sees the other.
    fn announce(&self) {
        self.epoch.0.fetch_add(1, Ordering::SeqCst);
        if self.sleepers.load(Ordering::SeqCst) > 0 {
            drop(lock(&self.sleep));
            self.announced.notify_all();
        }
    }

    /// The life of a worker.
    fn work(&self, index: usize) {
        let mut seen = 0;
        loop {
            seen = self.wait_for_job(seen);
            if self.stop.load(Ordering::Relaxed) {
                return;
            }
            // SAFETY: `Pool::run` has set it before it began this epoch, and waits for this thread before the job dies.
            let job = unsafe { *self.job.load(Ordering::Relaxed) };
            self.call(job, index);
            if self.running.0.fetch_sub(1, Ordering::SeqCst) == 1 && self.caller_sleeps.load(Ordering::SeqCst) {
                drop(lock(&self.sleep));
                self.finished.notify_one();
            }
        }
    }

    fn call(&self, job: &(dyn Fn(usize) + Sync), thread: usize) {
        if let Err(payload) = catch_unwind(AssertUnwindSafe(|| job(thread))) {
            lock(&self.panicked).get_or_insert(Panicked { thread, message: message(payload.as_ref()) });
        }
    }

    /// Waits until the epoch is another than `seen`, and returns it.
    fn wait_for_job(&self, seen: u64) -> u64 {
        let epoch = || Some(self.epoch.0.load(Ordering::SeqCst)).filter(|&e| e != seen);
        if let Some(epoch) = spin(epoch) {
            return epoch;
        }
        let mut guard = lock(&self.sleep);
        self.sleepers.fetch_add(1, Ordering::SeqCst);
        let epoch = loop {
            match epoch() {
                Some(epoch) => break epoch,
                None => guard = self.announced.wait(guard).unwrap_or_else(PoisonError::into_inner),
            }
        };
        self.sleepers.fetch_sub(1, Ordering::SeqCst);
        epoch
    }

    fn wait_for_all(&self) {
        let done = || (self.running.0.load(Ordering::SeqCst) == 0).then_some(());
        if spin(done).is_some() {
            return;
        }
        let mut guard = lock(&self.sleep);
        self.caller_sleeps.store(true, Ordering::SeqCst);
        while done().is_none() {
            guard = self.finished.wait(guard).unwrap_or_else(PoisonError::into_inner);
        }
        self.caller_sleeps.store(false, Ordering::SeqCst);
    }
}

/// What is locked here is never left half done.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Looks until it is ready, or patience ends.
fn spin<T>(ready: impl Fn() -> Option<T>) -> Option<T> {
    let look = || {
        (0..LOOKS).find_map(|_| {
            let found = ready();
            if found.is_none() {
                std::hint::spin_loop();
            }
            found
        })
    };
    if let Some(found) = look() {
        return Some(found);
    }
    let start = Instant::now();
    while start.elapsed() < PATIENCE {
        if let Some(found) = look() {
            return Some(found);
        }
    }
    None
}

fn message(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<String>().map(String::as_str).or(payload.downcast_ref::<&str>().copied());
    text.unwrap_or("no message").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_cover_the_work_exactly_once() {
        for work in (0..300).chain([1000, 4097, 152_064]) {
            for threads in 1..20 {
                let mut next = 0;
                for i in 0..threads {
                    let share = share(work, threads, i);
                    assert_eq!(share.start, next, "work {work}, thread {i} of {threads}");
                    next = share.end;
                }
                assert_eq!(next, work);
            }
        }
        assert_eq!(share(1000, 2, 0), 0..496);
    }

    #[test]
    fn every_thread_runs_every_job_once() {
        for threads in [1, 2, 5] {
            let mut pool = Pool::new(threads).unwrap();
            assert_eq!(pool.threads(), threads);
            let calls: Vec<_> = (0..threads).map(|_| AtomicUsize::new(0)).collect();
            for round in 1..=200 {
                pool.run(&|i| {
                    calls[i].fetch_add(1, Ordering::Relaxed);
                })
                .unwrap();
                assert!(calls.iter().all(|c| c.load(Ordering::Relaxed) == round));
            }
        }
    }

    #[test]
    fn everything_is_shared_out_once_in_whole_groups() {
        for threads in [1, 2, 5] {
            let mut pool = Pool::new(threads).unwrap();
            for (len, group) in [(0, 1), (1, 7), (6, 7), (8, 7), (35, 7), (1000, 1), (5003, 4)] {
                let mut all = vec![(0, usize::MAX); len];
                pool.share_out(&mut all, group, |start, part| {
                    assert!(start % group == 0 && (part.len() % group == 0 || start + part.len() == len));
                    for (i, (calls, index)) in part.iter_mut().enumerate() {
                        (*calls, *index) = (*calls + 1, start + i);
                    }
                })
                .unwrap();
                assert!(all.into_iter().eq((0..len).map(|i| (1, i))), "{len} by {group}, {threads} threads");
            }
        }
    }

    #[test]
    fn threads_that_sleep_are_woken() {
        let mut pool = Pool::new(3).unwrap();
        for _ in 0..3 {
            thread::sleep(std::time::Duration::from_millis(20));
            let calls = AtomicUsize::new(0);
            pool.run(&|i| {
                thread::sleep(std::time::Duration::from_millis(5 * i as u64));
                calls.fetch_add(1, Ordering::Relaxed);
            })
            .unwrap();
            assert_eq!(calls.into_inner(), 3);
        }
    }

    #[test]
    fn the_caller_can_work_alone_while_the_others_wait() {
        let mut pool = Pool::new(3).unwrap();
        let calls = Mutex::new(Vec::new());
        pool.run_alone(&|i| calls.lock().unwrap().push((i, thread::current().id()))).unwrap();
        assert_eq!(calls.into_inner().unwrap(), [(0, thread::current().id())]);
        let refused = pool.run_alone(&|_| panic!("no luck"));
        assert_eq!(refused, Err(Panicked { thread: 0, message: "no luck".into() }));
        assert_eq!(pool.run(&|_| ()), Ok(()));
    }

    /// Jobs that come when patience just ends: nobody may miss one.
    #[test]
    fn a_job_at_the_moment_of_falling_asleep_is_not_missed() {
        let mut pool = Pool::new(3).unwrap();
        let calls = AtomicUsize::new(0);
        for round in 0..300 {
            let pause = PATIENCE.mul_f64(0.7 + 0.002 * f64::from(round));
            let start = Instant::now();
            while start.elapsed() < pause {
                std::hint::spin_loop();
            }
            pool.run(&|_| {
                calls.fetch_add(1, Ordering::Relaxed);
            })
            .unwrap();
        }
        assert_eq!(calls.into_inner(), 900);
    }

    #[test]
    fn a_panic_is_an_error_and_the_pool_goes_on() {
        let mut pool = Pool::new(3).unwrap();
        for bad in 0..3 {
            let result = pool.run(&|i| assert!(i != bad, "no luck with {i}"));
            assert_eq!(result, Err(Panicked { thread: bad, message: format!("no luck with {bad}") }));
            assert_eq!(pool.run(&|_| ()), Ok(()));
        }
    }
}
