//! A planted fault on the GPU: edits on the stream, between the stages.
use super::{
    CudaError, Gpu,
    compile::not_compiled,
    driver::{DeviceMemory, Module, Stream},
};
use crate::{
    exec::{
        Planted,
        fault::{Edit, HIGH},
    },
    plan::Step,
};
use kgen::nvrtc::Compiler;

/// Name of the kernel that flips a bit.
const FLIP: &str = "flip";

/// A fault, and what it takes to make it.
pub struct Faulty {
    fault: Planted,
    flip: Module,
}

impl Faulty {
    /// Compiles the kernel that flips a bit.
    pub fn new(gpu: &Gpu, fault: Planted) -> Result<Faulty, CudaError> {
        let compiled = Compiler::new().compile(&source(), FLIP, &gpu.arch(), &[]).map_err(not_compiled)?;
        Ok(Faulty { fault, flip: Module::load(gpu, &compiled.cubin, FLIP)? })
    }

    /// Whether something happens after a stage, before the next one reads.
    pub fn follows(&self, stage: usize, step: &Step) -> bool {
        self.fault.after(stage, step).is_some()
    }

    /// Puts on the stream what happens after a stage.
    pub fn after(&self, stage: usize, step: &Step, memory: &[DeviceMemory], stream: &Stream) -> Result<(), CudaError> {
        let Some((buffer, edits)) = self.fault.after(stage, step) else { return Ok(()) };
        let base = memory[buffer.0].address();
        for edit in edits {
            match edit {
                Edit::Flip { at } => {
                    // SAFETY: the byte is one that the stage has written; the memory lives as long as the stream.
                    let flipped = unsafe { stream.launch(self.flip.function, (1, 1, 0), &mut [base + at as u64]) };
                    flipped.map_err(|error| CudaError::call("flipping a bit", error))?;
                }
                // SAFETY: both parts are of what the stage has written, and do not overlap.
                Edit::Copy { from, to, len } => unsafe { stream.copy(base + to as u64, base + from as u64, len)? },
            }
        }
        Ok(())
    }
}

/// The kernel that does what [`crate::exec::fault::flip`] does.
fn source() -> String {
    let low = HIGH >> 1;
    format!("extern \"C\" __global__ void {FLIP}(unsigned char* at) {{ *at ^= *at & {HIGH} ? {low} : {HIGH}; }}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_that_flips_a_bit_compiles() {
        let compiler = Compiler::with_cache(None);
        if let Err(error) = compiler.nvrtc() {
            eprintln!("skipped: {error}");
            return;
        }
        let compiled = compiler.compile(&source(), FLIP, &"sm_90".parse().unwrap(), &[]).unwrap();
        assert!(compiled.cubin.starts_with(b"\x7fELF") && compiled.ptx.contains("xor"), "{}", compiled.ptx);
    }
}
