//! The loop IR by itself: functions built by hand, run by the interpreter and as compiled code.
mod ahead;
mod apart;
mod arrivals;
mod build;
#[path = "../common/compiled.rs"]
mod compiled;
mod early;
mod exec;
mod faults;
mod kernels;
mod meaning;
mod operations;
mod team;
mod workers;
