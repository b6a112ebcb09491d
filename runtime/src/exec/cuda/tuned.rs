//! The schedules that `kgen tune --keep` has left for a GPU.
use super::CudaError;
use kgen::{nvrtc::Arch, tune::keep};
use std::{fs, io, sync::Mutex};

/// Whether they were looked for: all launches of a process have the same.
static LOOKED: Mutex<bool> = Mutex::new(false);

/// Takes those for an architecture, once in a process.
pub fn take(arch: &Arch) -> Result<(), CudaError> {
    let mut looked = LOOKED.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let Some(path) = keep::path(arch).filter(|_| !*looked) else { return Ok(()) };
    let failed = |why: String| {
        let file = path.display();
        CudaError::new(format!("{file}: {why}"), format!("remove {file}, or tune again: kgen tune --keep"))
    };
    match fs::read_to_string(&path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => {}
        text => kernels_gen::tuned::take(&text.map_err(|e| failed(e.to_string()))?).map_err(failed)?,
    }
    *looked = true;
    Ok(())
}
