//! Judges candidates of a task on a device: bits first, then time.
use super::device::{Candidate, Device};
use super::journal::{self, Entry, Journal, Verdict};
use super::plant::Plant;
use super::reference::{self, Reference};
use super::search::Judge;
use super::task::Task;
use super::timing::Timing;
use crate::fused::Pair;
use crate::library::Library;
use crate::places::Places;
use crate::recomputed::Spec;
use crate::schedule::Schedule;
use crate::target::Target;
use std::num::NonZero;
use std::thread;
use std::time::{Duration, Instant};

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
    /// Pairs that the task's schedule is a part of, and kernels that compute their rows under it.
    pairs: Vec<Pair>,
    recomputed: Vec<Spec>,
    places: Places,
    reference: Reference<'t, D>,
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
        let reference = Reference::new(library, task, device)?;
        let (mut pairs, mut recomputed) = match task.target {
            Target::Cuda => {
                let listed = library.pairs().and_then(|pairs| Ok((pairs, library.recomputed_specs()?)));
                listed.map_err(|e| BenchError::Failed(e.to_string()))?
            }
            Target::Cpu(_) => Default::default(),
        };
        pairs.retain(|pair| pair.producer == task.kernel.name && pair.most == task.shipped.most);
        recomputed.retain(|spec| spec.consumer == task.kernel.name && spec.most == task.shipped.most);
        let (places, until) = (Places::new(&library.sources), Instant::now() + budget);
        let (tally, best_us) = (Tally::default(), f64::INFINITY);
        Ok(Bench {
            library,
            task,
            device,
            journal,
            plant,
            pairs,
            recomputed,
            places,
            reference,
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

    /// The time of the shipped schedule, as it was when it was first measured: a walk that goes on has to begin where it began.
    pub fn first(&mut self) -> Result<Timing, BenchError> {
        let time = match self.journal.get(&self.reference.key) {
            Some(Verdict::Timed(time)) => *time,
            _ => {
                let time = self.reference.time(&self.reference.shipped)?;
                self.remember(self.reference.key.clone(), &self.task.shipped, &Verdict::Timed(time))?;
                time
            }
        };
        self.best_us = time.us;
        Ok(time)
    }

    /// The times of the shipped schedule and of another one, measured by turns. The other one's bits are compared again.
    pub fn duel(&mut self, other: &Schedule) -> Result<[Timing; 2], BenchError> {
        let failed = |e: String| BenchError::Failed(format!("{}: {e}", self.task.name()));
        let candidate = candidate(self.task, self.plant.as_ref(), other).map_err(failed)?;
        let code = reference::compile(self.device, self.task.kernel, &candidate).map_err(failed)?;
        self.reference.bits(&code).map_err(failed)?;
        let mut turns = [Vec::new(), Vec::new()];
        for _ in 0..TURNS {
            turns[0].push(self.reference.time(&self.reference.shipped)?);
            turns[1].push(self.reference.time(&code)?);
        }
        Ok(turns.map(|mut times| {
            times.sort_by(|a, b| a.us.total_cmp(&b.us));
            times[TURNS / 2]
        }))
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
        match self.reference.interpreted(&candidate.func) {
            Ok(()) => Looked::New(key, Box::new(candidate)),
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
        match self.reference.bits(&code) {
            Err(difference) => Ok(Verdict::Differs(difference)),
            Ok(()) => self.reference.time(&code).map(Verdict::Timed),
        }
    }

    /// Refuses to go on where a candidate has broken the device: what came next would look wrong, too.
    fn check_device(&self, verdict: &Verdict) -> Result<(), BenchError> {
        let Verdict::Differs(difference) = verdict else { return Ok(()) };
        self.reference.is_alive().map_err(|e| {
            let help = "start again: the candidate is noted in the journal, and the search goes on behind it";
            let name = self.task.name();
            BenchError::Failed(format!("{name}: a candidate broke the device ({difference}): {e}\n  help: {help}"))
        })
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
    /// The loop IR's interpreter finds other bits. First the key.
    Differs(String, String),
    /// One that is judged just before it has the same code, and this key.
    Twin(String),
    /// Nothing, or nothing bad. First the key.
    New(String, Box<Candidate>),
}

impl Looked {
    /// The key of a verdict that is still to be noted.
    fn key(&self) -> Option<&String> {
        match self {
            Looked::Differs(key, _) | Looked::New(key, _) => Some(key),
            _ => None,
        }
    }
}

impl<D: Device> Judge for Bench<'_, D> {
    type Error = BenchError;

    fn legal(&self, schedule: &Schedule) -> bool {
        let alone = self.task.target.legal(self.task.kernel, schedule).is_ok();
        let in_pairs = || self.pairs.iter().all(|pair| self.library.fuse_under(pair.clone(), schedule).is_ok());
        let with_rows = |spec: &Spec| self.library.recompute_under(spec.clone(), schedule.clone()).is_ok();
        alone && in_pairs() && self.recomputed.iter().all(with_rows)
    }

    fn judge(&mut self, schedules: &[Schedule]) -> Result<Vec<Verdict>, BenchError> {
        let mut verdicts = Vec::new();
        // As many at once as compile side by side, so that the budget is looked at often.
        for few in schedules.chunks(thread::available_parallelism().map_or(1, NonZero::get)) {
            let before = verdicts.len();
            self.judge_few(few, &mut verdicts)?;
            if verdicts.len() - before < few.len() {
                break;
            }
        }
        Ok(verdicts)
    }
}

impl<D: Device> Bench<'_, D> {
    /// Judges schedules that are compiled together, up to the end of the budget: then, only what is known already is told.
    fn judge_few(&mut self, schedules: &[Schedule], verdicts: &mut Vec<Verdict>) -> Result<(), BenchError> {
        let mut looked: Vec<Looked> = Vec::new();
        for schedule in schedules {
            let next = self.looked_up(schedule);
            let twin = looked.iter().any(|before| before.key().is_some() && before.key() == next.key());
            looked.push(match next {
                Looked::New(key, _) | Looked::Differs(key, _) if twin => Looked::Twin(key),
                next => next,
            });
        }
        let new =
            looked.iter().filter_map(|l| if let Looked::New(_, candidate) = l { Some(&**candidate) } else { None });
        let over = Instant::now() >= self.until;
        let new: Vec<&Candidate> = if over { Vec::new() } else { new.collect() };
        let mut codes = self.device.compile(self.task.kernel, &new).into_iter();
        for (schedule, looked) in schedules.iter().zip(looked) {
            let looked = match looked {
                Looked::Twin(key) => {
                    self.journal.get(&key).map_or(Looked::Twin(key), |v| Looked::Remembered(v.clone()))
                }
                looked => looked,
            };
            let (key, verdict) = match looked {
                // The one before it has no verdict.
                Looked::Twin(_) => break,
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
                self.check_device(&verdict)?;
            }
            self.note(schedule, &verdict);
            verdicts.push(verdict);
        }
        Ok(())
    }
}
