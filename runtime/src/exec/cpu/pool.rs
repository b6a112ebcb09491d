//! A persistent thread pool: every job is run once by each thread, which takes a fixed share of the work.
use std::{
    any::Any,
    io,
    ops::Range,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    thread::{self, JoinHandle},
};

/// How often a thread looks for a new job (or for the others' end) before it sleeps: some tens of microseconds, which
/// is longer than the caller needs between two stages, and short enough to leave the processor to others.
const SPINS: u32 = 4000;

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

/// What the threads share. A job is announced by `epoch` and is over when `running` is 0.
struct Shared {
    epoch: AtomicU64,
    running: AtomicUsize,
    stop: AtomicBool,
    state: Mutex<State>,
    announced: Condvar,
    finished: Condvar,
}

#[derive(Default)]
struct State {
    job: Option<JobPtr>,
    panicked: Option<Panicked>,
}

/// A job whose lifetime is forgotten; [`Pool::run`] does not return before the last thread is done with it.
#[derive(Clone, Copy)]
struct JobPtr(*const Job);

// SAFETY: the job is `Sync`, and `Pool::run` keeps it alive while threads have the pointer.
unsafe impl Send for JobPtr {}

/// The pool. The thread that calls [`Pool::run`] is thread 0.
pub struct Pool {
    shared: Arc<Shared>,
    workers: Vec<JoinHandle<()>>,
}

impl Pool {
    /// A pool of `threads` threads (at least 1), this one included.
    pub fn new(threads: usize) -> io::Result<Pool> {
        let shared = Arc::new(Shared {
            epoch: AtomicU64::new(0),
            running: AtomicUsize::new(0),
            stop: AtomicBool::new(false),
            state: Mutex::default(),
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
        let forgotten = unsafe { std::mem::transmute::<*const (dyn Fn(usize) + Sync + '_), *const Job>(job) };
        self.shared.running.store(self.workers.len(), Ordering::Relaxed);
        {
            let mut state = self.shared.lock();
            state.job = Some(JobPtr(forgotten));
            self.shared.epoch.fetch_add(1, Ordering::Release);
        }
        self.shared.announced.notify_all();
        self.shared.call(job, 0);
        self.shared.wait_for_all();
        let mut state = self.shared.lock();
        state.job = None;
        state.panicked.take().map_or(Ok(()), Err)
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        {
            let _state = self.shared.lock();
            self.shared.epoch.fetch_add(1, Ordering::Release);
        }
        self.shared.announced.notify_all();
        for worker in self.workers.drain(..) {
            // A worker's panics are caught inside; there is nothing left to report here.
            let _ = worker.join();
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The life of a worker.
    fn work(&self, index: usize) {
        let mut seen = 0;
        loop {
            seen = self.wait_for_job(seen);
            if self.stop.load(Ordering::Relaxed) {
                return;
            }
            let job = self.lock().job;
            if let Some(JobPtr(job)) = job {
                // SAFETY: `Pool::run` waits for this thread before the job dies.
                self.call(unsafe { &*job }, index);
            }
            if self.running.fetch_sub(1, Ordering::Release) == 1 {
                // The lock makes sure that the caller either sees 0 or already sleeps.
                drop(self.lock());
                self.finished.notify_one();
            }
        }
    }

    fn call(&self, job: &(dyn Fn(usize) + Sync), thread: usize) {
        if let Err(payload) = catch_unwind(AssertUnwindSafe(|| job(thread))) {
            self.lock().panicked.get_or_insert(Panicked { thread, message: message(payload.as_ref()) });
        }
    }

    /// Waits until the epoch is another than `seen`, and returns it.
    fn wait_for_job(&self, seen: u64) -> u64 {
        let epoch = || Some(self.epoch.load(Ordering::Acquire)).filter(|&e| e != seen);
        if let Some(epoch) = spin(epoch) {
            return epoch;
        }
        let mut state = self.lock();
        loop {
            match epoch() {
                Some(epoch) => return epoch,
                None => state = self.announced.wait(state).unwrap_or_else(PoisonError::into_inner),
            }
        }
    }

    fn wait_for_all(&self) {
        let done = || (self.running.load(Ordering::Acquire) == 0).then_some(());
        if spin(done).is_some() {
            return;
        }
        let mut state = self.lock();
        while done().is_none() {
            state = self.finished.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

fn spin<T>(ready: impl Fn() -> Option<T>) -> Option<T> {
    (0..SPINS).find_map(|_| {
        std::hint::spin_loop();
        ready()
    })
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
    fn a_panic_is_an_error_and_the_pool_goes_on() {
        let mut pool = Pool::new(3).unwrap();
        for bad in 0..3 {
            let result = pool.run(&|i| assert!(i != bad, "no luck with {i}"));
            assert_eq!(result, Err(Panicked { thread: bad, message: format!("no luck with {bad}") }));
            assert_eq!(pool.run(&|_| ()), Ok(()));
        }
    }
}
