//! Parity: whether two executors compute the same function, bit for bit, and where they first do not.
mod bisect;
mod check;
mod element;
mod gate;
mod locate;
mod product;
mod report;
mod trace;
mod verdict;

pub use bisect::{Bisection, Distance, bisect, check_bisected};
pub use check::{Feed, check, check_and_trace};
pub use element::Element;
pub use gate::{Case, FailedCase, GATE_POSITIONS, GATE_TOKENS, gate};
pub use locate::Difference;
pub use report::{Argmax, Report, Row};
pub use trace::Trace;
pub use verdict::{Verdicts, key};
