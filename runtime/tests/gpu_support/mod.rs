//! The GPU of the tests that need one.
use apr::exec::cuda::{self, Gpu};

/// The first GPU, or a line that says why a test does nothing.
pub fn gpu() -> Option<Gpu> {
    match cuda::list() {
        Ok(_) => Some(Gpu::open(0).unwrap()),
        Err(error) => {
            eprintln!("skipped: {error}");
            None
        }
    }
}
