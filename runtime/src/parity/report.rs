//! What a parity check has found: a row a step, the first difference, and whether everything is equal.
use super::Difference;
use serde::Serialize;
use std::fmt;

/// The result of a check.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Report {
    /// Whether every bit that was compared is equal, and nothing failed.
    pub equal: bool,
    /// The steps, as far as they were done.
    pub steps: Vec<Row>,
    /// Whether all bytes of the KV cache are equal in the end.
    pub cache_equal: bool,
    /// The first stage that differs. None where nothing does, or where the difference does not come again when the stages
    /// are run one by one.
    pub difference: Option<Difference>,
    /// What ended the check before its end: an error, or logits that are no numbers.
    pub failure: Option<String>,
}

/// The comparison of one step.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// Number of the step.
    pub step: usize,
    /// Position of its first token.
    pub position: usize,
    /// Tokens fed: more than one is prefill.
    pub tokens: usize,
    /// Whether the logits have the same bits; none where the step has no logits.
    pub logits_equal: Option<bool>,
    /// Whether all bytes of the KV cache that the step could have changed are the same.
    pub cache_equal: bool,
    /// The cosine of the angle between the logits.
    pub cosine: Option<f64>,
    /// The largest difference of two logits; NaN where one is NaN.
    pub largest_difference: Option<f64>,
    /// The most likely tokens.
    pub argmax: Option<Argmax>,
}

/// The most likely token on both sides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Argmax {
    /// Of the reference.
    pub reference: i32,
    /// Of the executor under test.
    pub tested: i32,
}

impl Row {
    /// Whether the step left the same behind on both sides.
    pub fn equal(&self) -> bool {
        self.cache_equal
            && self.logits_equal != Some(false)
            && self.argmax.is_none_or(|argmax| argmax.reference == argmax.tested)
    }

    /// The columns of [`Row`]'s text.
    pub const HEADING: &str = "step  position  tokens  logits  KV      cosine        largest diff  argmax";
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let equal = |is: Option<bool>| is.map_or("-", |is| if is { "equal" } else { "DIFFER" });
        let number = |value: Option<String>| value.unwrap_or("-".into());
        let argmax = |a: Argmax| {
            if a.reference == a.tested { a.reference.to_string() } else { format!("{} / {}", a.reference, a.tested) }
        };
        let (logits, cache) = (equal(self.logits_equal), equal(Some(self.cache_equal)));
        let (cosine, most) =
            (self.cosine.map(|x| format!("{x:.9}")), self.largest_difference.map(|x| format!("{x:.6e}")));
        let (cosine, most, argmax) = (number(cosine), number(most), number(self.argmax.map(argmax)));
        let &Row { step, position, tokens, .. } = self;
        write!(f, "{step:<4}  {position:<8}  {tokens:<6}  {logits:<6}  {cache:<6}  {cosine:<12}  {most:<12}  {argmax}")
    }
}

impl Report {
    /// What is wrong, a sentence a line; nothing where everything is equal.
    pub fn findings(&self) -> Vec<String> {
        let mut found = Vec::new();
        let differs = self.steps.iter().find(|row| !row.equal());
        match (&self.difference, differs) {
            (Some(difference), _) => found.push(format!("first difference: {difference}")),
            (None, Some(row)) => found.push(format!(
                "step {} differs, but not when its stages are run one by one: the difference does not repeat",
                row.step
            )),
            (None, None) => {}
        }
        if let Some(failure) = &self.failure {
            found.push(format!("failed: {failure}"));
        } else if !self.cache_equal && differs.is_none() {
            found.push("the KV caches differ where no step could have changed them".into());
        }
        found
    }
}
