//! Which of the placements that a plan allows are taken. Every choice gives equal bits; they differ in speed alone.
use super::BoundStage;
use crate::text::philox;
use serde::Serialize;
use std::fmt;

/// A choice among the placements of a plan: all of them, as they serve, or a random part of them, so that a check
/// reaches what never serves.
///
/// # Example
/// ```
/// use apr::plan::PlanSchedule;
/// assert!(PlanSchedule::ALL.inlines(3, 0));
/// assert_eq!(PlanSchedule::random(7).chunk(512), PlanSchedule::random(7).chunk(512));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlanSchedule {
    seed: Option<u64>,
}

/// What is chosen, so that no two choices share a draw.
#[derive(Clone, Copy)]
enum Choice {
    Inlined,
    Pair,
    Beside,
    Turn,
    Chunk,
}

impl PlanSchedule {
    /// Everything that is possible, as it serves.
    pub const ALL: PlanSchedule = PlanSchedule { seed: None };

    /// The one of a seed, the same on every machine. Each choice is made by itself.
    pub fn random(seed: u64) -> PlanSchedule {
        PlanSchedule { seed: Some(seed) }
    }

    /// Whether a stage is done with others computed in it, where kernel `way` of those that have others in them can do it.
    pub fn inlines(&self, stage: usize, way: usize) -> bool {
        self.draw(Choice::Inlined, stage, way).is_none_or(|draw| draw.is_multiple_of(2))
    }

    /// Whether a stage and the next one are one launch, where they can be.
    pub fn joins(&self, stage: usize) -> bool {
        self.draw(Choice::Pair, stage, 0).is_none_or(|draw| draw.is_multiple_of(2))
    }

    /// The most launches side by side that begin with this stage: 1 to `most`.
    pub fn beside(&self, stage: usize, most: usize) -> usize {
        self.draw(Choice::Beside, stage, 0).map_or(most, |draw| 1 + draw % most.max(1))
    }

    /// The most tokens of a prompt to be fed at a time: 1 to `most`, or to a half, a quarter or an eighth of it.
    pub fn chunk(&self, most: usize) -> usize {
        let size = |draw: usize| most >> (draw % 4);
        self.draw(Choice::Chunk, 0, 0).map_or(most, |draw| 1 + draw / 4 % size(draw).max(1))
    }

    /// Gives stages the code that is chosen for each, of those that fit.
    pub fn choose_codes(&self, stages: &mut [BoundStage]) {
        for (number, stage) in stages.iter_mut().enumerate() {
            stage.turn = self.draw(Choice::Turn, number, 0).unwrap_or(0);
        }
    }

    /// A number of 24 bits for a choice; none where everything is taken.
    fn draw(&self, choice: Choice, stage: usize, way: usize) -> Option<usize> {
        let seed = self.seed?;
        let words = philox([stage as u32, way as u32, choice as u32, 0], [seed as u32, (seed >> 32) as u32]);
        Some((words[0] >> 8) as usize)
    }
}

/// What an executor has taken of a plan's placements in a step of one token.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Placements {
    /// Stages that are computed in the kernel of another one.
    pub inlined: usize,
    /// Launches that do two stages, one after the other.
    pub pairs: usize,
    /// Launches that do several side by side.
    pub beside: usize,
    /// Stages with another code than the first that fits.
    pub other_codes: usize,
}

impl fmt::Display for Placements {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let Placements { inlined, pairs, beside, other_codes } = self;
        write!(f, "{inlined} inlined, {pairs} in pairs, {beside} side by side, {other_codes} other codes")
    }
}
