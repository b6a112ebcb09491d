//! Choices: drawn from a seed and written down, or read back. Whatever is drawn, 0 is the simplest, so a shorter or smaller
//! tape is a simpler kernel.
use kgen::random::Random;

/// The choices of one drawing.
pub struct Tape {
    choices: Vec<u32>,
    next: usize,
    random: Option<Random>,
    spans: Vec<(usize, usize)>,
}

impl Tape {
    /// Choices drawn from a seed.
    pub fn drawn(seed: u64) -> Tape {
        Tape { choices: Vec::new(), next: 0, random: Some(Random::new(seed)), spans: Vec::new() }
    }

    /// Given choices; what comes after their end is 0.
    pub fn read(choices: Vec<u32>) -> Tape {
        Tape { choices, next: 0, random: None, spans: Vec::new() }
    }

    /// A choice in `0..n`.
    pub fn below(&mut self, n: usize) -> usize {
        let n = n.max(1) as u32;
        let choice = match &mut self.random {
            Some(random) => {
                let choice = (random.bits() % n as u64) as u32;
                self.choices.push(choice);
                choice
            }
            None => self.choices.get(self.next).map_or(0, |c| c % n),
        };
        self.next += 1;
        choice as usize
    }

    /// Whether something rare happens: once in `n` times.
    pub fn rarely(&mut self, n: usize) -> bool {
        self.below(n) == n - 1
    }

    pub fn pick<T: Copy>(&mut self, options: &[T]) -> T {
        options[self.below(options.len())]
    }

    /// The place of the next choice, for [`Tape::close`].
    pub fn open(&self) -> usize {
        self.next
    }

    /// What was chosen since `from` belongs together.
    pub fn close(&mut self, from: usize) {
        self.spans.push((from, self.next));
    }

    /// The choices, and what of them belongs together.
    pub fn finish(mut self) -> Recording {
        self.choices.truncate(self.next);
        let len = self.choices.len();
        let inside = self.spans.into_iter().map(|(from, to)| (from.min(len), to.min(len)));
        Recording { spans: inside.filter(|(from, to)| from < to).collect(), choices: self.choices }
    }
}

/// What was chosen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recording {
    pub choices: Vec<u32>,
    /// Choices that belong together, as those of one expression: from the first to before the last.
    pub spans: Vec<(usize, usize)>,
}
