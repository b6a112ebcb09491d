//! The commands of `apr`, one file each.
mod device;
mod run;
