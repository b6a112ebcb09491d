//! The commands of `apr`, one file each: their arguments and what they print.

pub mod inspect;
pub mod synth;
