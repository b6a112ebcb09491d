//! The CPU executor: generated kernels on a persistent thread pool, weights straight from the memory map.
mod cores;
mod executor;
mod memory;
mod pool;
mod read_rate;
mod resident;

pub use cores::usable_cores;
pub use executor::{Cpu, Setup};
pub use pool::{Panicked, Pool, share};
