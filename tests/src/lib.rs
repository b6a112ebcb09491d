//! Shared helpers of the test ladder: where programs and data are, and logits through the library.
pub mod data;
pub mod logits;
pub mod program;
