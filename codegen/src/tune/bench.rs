//! Judges candidates of a task on a device: bits first, then time.
use super::cases::{self, Case, at_sizes};
use super::device::{Candidate, Device};
use super::journal::{self, Entry, Journal, Verdict};
use super::plant::Plant;
use super::search::Judge;
use super::task::Task;
use super::timing::Timing;
use crate::data::{self, Filler};
use crate::fused::Pair;
use crate::library::Library;
use crate::places::Places;
use crate::schedule::Schedule;
use crate::target::Target;
use std::time::{Duration, Instant};

/// Cases that the loop IR's interpreter runs before a candidate is compiled: the smallest ones.
const INTERPRETED: usize = 2;
/// How often two schedules are measured by turns.
const TURNS: usize = 3;

/// Why a task cannot be judged.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    /// The shipped schedule gives other bits: nothing can be compared with it.
    #[error("{task}: the shipped schedule gives other bits: {difference}")]
    Shipped {
        /// Name of the task.
        task: String,
        /// Which.
        difference: String,
    },
    /// The device or the journal fails.
    #[error("{0}")]
    Failed(String),
}

/// What a bench has done.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tally {
    /// Candidates with equal bits that were timed.
    pub timed: usize,
    /// Candidates without code.
    pub refused: usize,
    /// Candidates with other bits, with what differs. Each is a fault of the compiler.
    pub differing: Vec<(Schedule, String)>,
    /// Verdicts that came from the journal.
    pub remembered: usize,
}

/// How far a bench is.
pub struct Progress<'a> {
    /// The task.
    pub task: &'a Task<'a>,
    /// What was done.
    pub tally: &'a Tally,
    /// The best time of all sizes so far, in microseconds.
    pub best_us: f64,
}

/// A task on a device.
pub struct Bench<'t, D: Device> {
    library: &'t Library,
    task: &'t Task<'t>,
    device: &'t D,
    journal: &'t mut Journal,
    plant: Option<Plant>,
    /// Pairs that the task's schedule is a part of.
    pairs: Vec<Pair>,
    places: Places,
    cases: Vec<(Case, D::Placed)>,
    /// For each of the task's sizes: how often, where the inputs are, and the outputs of the shipped schedule.
    sizes: Vec<(f64, D::Placed, Vec<Vec<u8>>)>,
    shipped: D::Code,
    until: Instant,
    tally: Tally,
    best_us: f64,
    watch: &'t mut dyn FnMut(Progress),
}

/// What a bench works with.
pub struct Setting<'t, D: Device> {
    /// The folder of the task's kernel.
    pub library: &'t Library,
    /// What is tuned.
    pub task: &'t Task<'t>,
    /// Where.
    pub device: &'t D,
    /// What is known already.
    pub journal: &'t mut Journal,
    /// A fault to plant into candidates.
    pub plant: Option<Plant>,
    /// How long candidates are judged.
    pub budget: Duration,
    /// Hears of progress.
    pub watch: &'t mut dyn FnMut(Progress),
}

impl<'t, D: Device> Bench<'t, D> {
    /// Brings the inputs to the device, and compares the shipped schedule's bits with the interpreter's.
    pub fn new(setting: Setting<'t, D>) -> Result<Bench<'t, D>, BenchError> {
        let Setting { library, task, device, journal, plant, budget, watch } = setting;
        let name = task.name();
        let failed = |e: String| BenchError::Failed(format!("{name}: {e}"));
        let differs = |difference: String| BenchError::Shipped { task: name.clone(), difference };
        let kernel = task.kernel;
        let func = task.target.lower(kernel, &task.shipped).map_err(failed)?;
        let shipped = Candidate { schedule: task.shipped.clone(), func };
        let filler = Filler::new(&library.sources);
        let small = cases::small(&filler, kernel, &task.shipped).map_err(failed)?;
        small
            .iter()
            .take(INTERPRETED)
            .try_for_each(|case| cases::interpreted(kernel, task.target, &shipped.func, case))
            .map_err(differs)?;
        let code = device.compile(kernel, &[&shipped]).pop().unwrap_or_else(|| Err("it was not compiled".into()));
        let code = code.map_err(failed)?;
        let place = |case: Case| {
            let placed = device.place(kernel, &shipped.func, &case.inputs, false)?;
            Ok((case, placed))
        };
        let cases = small.into_iter().map(place).collect::<Result<Vec<_>, String>>().map_err(failed)?;
        for (case, placed) in &cases {
            let given = device.run(&code, placed).map_err(differs)?;
            let same = data::compare(kernel, &case.expected, &given);
            at_sizes(&case.inputs.ints, same).map_err(differs)?;
        }
        let mut sizes = Vec::new();
        for (number, (ints, times)) in task.sizes.iter().enumerate() {
            let inputs = cases::inputs(&filler, kernel, ints, false, number as u64).map_err(failed)?;
            let placed = device.place(kernel, &shipped.func, &inputs, true).map_err(failed)?;
            let outputs = device.run(&code, &placed).map_err(differs)?;
            sizes.push((*times, placed, outputs));
        }
        let pairs = if task.target == Target::Cuda { library.pairs() } else { Ok(Vec::new()) };
        let mut pairs = pairs.map_err(|e| failed(e.to_string()))?;
        pairs.retain(|pair| pair.producer == kernel.name && pair.most == task.shipped.most);
        let until = Instant::now() + budget;
        let (tally, best_us) = (Tally::default(), f64::INFINITY);
        Ok(Bench {
            library,
            task,
            device,
            journal,
            plant,
            pairs,
            places: Places::new(&library.sources),
            cases,
            sizes,
            shipped: code,
            until,
            tally,
            best_us,
            watch,
        })
    }

    /// What was done.
    pub fn tally(&self) -> &Tally {
        &self.tally
    }

    /// The time of the shipped schedule.
    pub fn first(&mut self) -> Result<Timing, BenchError> {
        let time = self.time(&self.shipped)?;
        self.best_us = time.us;
        Ok(time)
    }

    /// The times of the shipped schedule and of another one, measured by turns. The other one's bits are compared again.
    pub fn duel(&mut self, other: &Schedule) -> Result<[Timing; 2], BenchError> {
        let failed = |e: String| BenchError::Failed(format!("{}: {e}", self.task.name()));
        let candidate = candidate(self.task, self.plant.as_ref(), other).map_err(failed)?;
        let mut code = self.device.compile(self.task.kernel, &[&candidate]);
        let code = code.pop().unwrap_or_else(|| Err("it was not compiled".into())).map_err(failed)?;
        self.bits(&code).map_err(failed)?;
        let mut turns = [Vec::new(), Vec::new()];
        for _ in 0..TURNS {
            turns[0].push(self.time(&self.shipped)?);
            turns[1].push(self.time(&code)?);
        }
        Ok(turns.map(|mut times| {
            times.sort_by(|a, b| a.us.total_cmp(&b.us));
            times[TURNS / 2]
        }))
    }

    /// Whether code gives the bits that it must, at small sizes and at those of the task.
    fn bits(&self, code: &D::Code) -> Result<(), String> {
        let kernel = self.task.kernel;
        for (case, placed) in &self.cases {
            let given = self.device.run(code, placed)?;
            at_sizes(&case.inputs.ints, data::compare(kernel, &case.expected, &given))?;
        }
        for ((_, placed, expected), (ints, _)) in self.sizes.iter().zip(&self.task.sizes) {
            let given = self.device.run(code, placed)?;
            at_sizes(ints, data::compare(kernel, expected, &given))?;
        }
        Ok(())
    }

    /// The time of all sizes, each as often as a token needs it.
    fn time(&self, code: &D::Code) -> Result<Timing, BenchError> {
        let mut all = Timing::default();
        for (times, placed, _) in &self.sizes {
            let samples = self.device.samples(code, placed);
            let time = samples.and_then(|s| Timing::of(&s).ok_or_else(|| "nothing was measured".into()));
            all += time.map_err(|e| BenchError::Failed(format!("{}: {e}", self.task.name())))?.times(*times);
        }
        Ok(all)
    }

    /// Notes a verdict, and tells of it.
    fn note(&mut self, schedule: &Schedule, verdict: &Verdict) {
        match verdict {
            Verdict::Timed(time) => {
                self.tally.timed += 1;
                self.best_us = self.best_us.min(time.us);
            }
            Verdict::Refused(_) => self.tally.refused += 1,
            Verdict::Differs(how) => self.tally.differing.push((schedule.clone(), how.clone())),
        }
        (self.watch)(Progress { task: self.task, tally: &self.tally, best_us: self.best_us });
    }

    /// What is known of a candidate without the device.
    fn looked_up(&self, schedule: &Schedule) -> Looked {
        let (task, (device, compiler)) = (self.task, self.device.names());
        let both = candidate(task, self.plant.as_ref(), schedule);
        let both = both.and_then(|c| Ok((c.text(task.target, &self.places)?, c)));
        let (text, candidate) = match both {
            Ok(both) => both,
            Err(reason) => return Looked::Illegal(reason),
        };
        let key = journal::key(&text, &task.sizes, device, compiler);
        if let Some(verdict) = self.journal.get(&key) {
            return Looked::Remembered(verdict.clone());
        }
        let interpreted = |(case, _): &(Case, _)| cases::interpreted(task.kernel, task.target, &candidate.func, case);
        match self.cases.iter().take(INTERPRETED).try_for_each(interpreted) {
            Ok(()) => Looked::New(key, candidate),
            Err(difference) => Looked::Differs(key, difference),
        }
    }

    fn remember(&mut self, key: String, schedule: &Schedule, verdict: &Verdict) -> Result<(), BenchError> {
        let (device, compiler) = self.device.names();
        let entry = Entry {
            key,
            kernel: self.task.kernel.name.clone(),
            schedule: schedule.clone(),
            sizes: self.task.sizes.clone(),
            device: device.into(),
            compiler: compiler.into(),
            verdict: verdict.clone(),
        };
        let path = self.journal.path().display().to_string();
        self.journal.put(entry).map_err(|e| BenchError::Failed(format!("{path}: {e}")))
    }

    /// The verdict of compiled code: its time only where its bits are equal.
    fn verdict(&self, code: Result<D::Code, String>) -> Result<Verdict, BenchError> {
        let code = match code {
            Ok(code) => code,
            Err(reason) => return Ok(Verdict::Refused(reason)),
        };
        if let Err(difference) = self.bits(&code) {
            return Ok(Verdict::Differs(difference));
        }
        self.time(&code).map(Verdict::Timed)
    }
}

/// A schedule of a task, lowered, and with the fault that is to be planted.
fn candidate(task: &Task, plant: Option<&Plant>, schedule: &Schedule) -> Result<Candidate, String> {
    let mut func = task.target.lower(task.kernel, schedule)?;
    if let Some(plant) = plant {
        plant.into(&task.shipped, schedule, &mut func);
    }
    Ok(Candidate { schedule: schedule.clone(), func })
}

/// What is known of a candidate before it is compiled.
enum Looked {
    /// There is no code.
    Illegal(String),
    /// The journal has its verdict.
    Remembered(Verdict),
    /// The loop IR's interpreter finds other bits.
    Differs(String, String),
    /// Nothing, or nothing bad.
    New(String, Candidate),
}

impl<D: Device> Judge for Bench<'_, D> {
    type Error = BenchError;

    fn legal(&self, schedule: &Schedule) -> bool {
        let alone = self.task.target.legal(self.task.kernel, schedule).is_ok();
        alone && self.pairs.iter().all(|pair| self.library.fuse_under(pair.clone(), schedule).is_ok())
    }

    fn judge(&mut self, schedules: &[Schedule]) -> Result<Vec<Verdict>, BenchError> {
        let looked: Vec<Looked> = schedules.iter().map(|schedule| self.looked_up(schedule)).collect();
        let new = looked.iter().filter_map(|l| if let Looked::New(_, candidate) = l { Some(candidate) } else { None });
        // Where the budget has ended, only what is known already is told.
        let over = Instant::now() >= self.until;
        let new: Vec<&Candidate> = if over { Vec::new() } else { new.collect() };
        let mut codes = self.device.compile(self.task.kernel, &new).into_iter();
        let mut verdicts = Vec::new();
        for (schedule, looked) in schedules.iter().zip(looked) {
            let (key, verdict) = match looked {
                Looked::Illegal(reason) => (None, Verdict::Refused(reason)),
                Looked::Remembered(verdict) => {
                    self.tally.remembered += 1;
                    (None, verdict)
                }
                Looked::Differs(key, difference) => (Some(key), Verdict::Differs(difference)),
                Looked::New(key, _) => {
                    let Some(code) = codes.next().filter(|_| Instant::now() < self.until) else { break };
                    (Some(key), self.verdict(code)?)
                }
            };
            if let Some(key) = key {
                self.remember(key, schedule, &verdict)?;
            }
            self.note(schedule, &verdict);
            verdicts.push(verdict);
        }
        Ok(verdicts)
    }
}
