//! Whether the answers that were timed begin with the tokens that the CPU finds.
use crate::Error;
use serde::Serialize;
use std::fmt;

/// What the comparison has found.
#[derive(Debug, Default, PartialEq, Serialize)]
pub struct Ids {
    /// Tokens at the beginning of each answer that were compared.
    pub compared: usize,
    /// How many of them are equal before the first that differs, in the answer where that comes first.
    pub equal: usize,
    /// What they were compared with.
    pub reference: Option<String>,
    /// The first that differs.
    pub difference: Option<Different>,
    /// Why none was compared.
    pub skipped: Option<String>,
}

/// A token of an answer that is not the reference's.
#[derive(Debug, PartialEq, Serialize)]
pub struct Different {
    /// Its number in the answer, from 0 on.
    pub number: usize,
    /// Its id.
    pub tested: u32,
    /// That of the reference.
    pub reference: u32,
}

impl Ids {
    /// None was compared, and why.
    pub fn skipped(why: impl Into<String>) -> Ids {
        Ids { skipped: Some(why.into()), ..Ids::default() }
    }

    /// Compares the beginning of answers, each of which is as long as `expected` at least, with the reference's.
    pub fn compare<'a>(answers: impl Iterator<Item = &'a [u32]>, expected: &[u32], reference: String) -> Ids {
        let first = |answer: &[u32]| {
            let number = answer.iter().zip(expected).position(|(a, b)| a != b)?;
            Some(Different { number, tested: answer[number], reference: expected[number] })
        };
        let difference = answers.filter_map(first).min_by_key(|different| different.number);
        let compared = expected.len();
        let equal = difference.as_ref().map_or(compared, |different| different.number);
        Ids { compared, equal, reference: Some(reference), difference, skipped: None }
    }

    /// The error where one differs.
    pub fn check(&self, device: &str) -> Result<(), Error> {
        let Some(Different { number, tested, reference }) = self.difference else { return Ok(()) };
        let on = self.reference.as_deref().unwrap_or_default();
        Err(Error::Parity(format!(
            "PARITY FAILED: {device} computes a DIFFERENT function than {on}: token {number} of an answer is {tested}, not \
             {reference}\n  help: apr parity names the first stage that differs"
        )))
    }
}

impl fmt::Display for Ids {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let Ids { compared, equal, reference, skipped, .. } = self;
        match (reference, skipped) {
            (Some(on), _) => write!(f, "ids: of the first {compared} of each answer, {equal} are those of {on}"),
            (None, why) => write!(f, "ids: not compared: {}", why.as_deref().unwrap_or_default()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_token_that_differs_in_any_answer_is_named() {
        let compared = |answers: &[[u32; 4]], expected: &[u32]| {
            Ids::compare(answers.iter().map(|answer| &answer[..]), expected, "cpu:avx2".into())
        };
        let equal = compared(&[[1, 2, 3, 4], [1, 2, 3, 5]], &[1, 2, 3]);
        assert_eq!((equal.compared, equal.equal, &equal.difference), (3, 3, &None), "what comes later is not compared");
        assert!(equal.check("cuda:0:sm_90").is_ok());
        assert_eq!(equal.to_string(), "ids: of the first 3 of each answer, 3 are those of cpu:avx2");

        let different = compared(&[[1, 2, 3, 4], [1, 2, 9, 4], [1, 2, 3, 9]], &[1, 2, 3, 4]);
        assert_eq!(
            (different.equal, &different.difference),
            (2, &Some(Different { number: 2, tested: 9, reference: 3 }))
        );
        let error = different.check("cuda:0:sm_90").unwrap_err();
        assert_eq!(error.exit_code(), 4);
        assert!(error.to_string().contains("token 2 of an answer is 9, not 3"), "{error}");
    }

    #[test]
    fn a_comparison_that_was_left_out_says_why() {
        let ids = Ids::skipped("--verify 0");
        assert!(ids.check("cuda:0").is_ok() && ids.to_string() == "ids: not compared: --verify 0");
    }
}
