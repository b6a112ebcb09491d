//! Launches side by side: units of a plan that have nothing to do with each other, one after the other in its order, are one launch,
//! of which each does a part of the CTAs. So it is for a token at a time, where no launch by itself fills a GPU.
use super::{
    CudaError, Gpu,
    compile::{Job, compile},
    driver::Module,
    kernels::allow_shared,
};
use crate::{
    exec::step::ints,
    plan::{BoundStage, Step, Unit},
};
use cudarc::driver::sys::CUfunction;
use kernels_gen::Cuda;
use kgen::{nvrtc::Compiler, text::hex};
use sha2::{Digest, Sha256};
use std::{ops::Range, rc::Rc};

/// The most units of a launch.
const MOST: usize = 4;

/// Units that are one launch.
pub struct Beside {
    /// Their numbers.
    pub units: Range<usize>,
    code: Rc<Code>,
}

/// The code of such a launch.
struct Code {
    entries: Vec<&'static str>,
    module: Module,
    hash: String,
}

impl Beside {
    /// What is started.
    pub fn function(&self) -> CUfunction {
        self.code.module.function
    }

    /// The SHA-256 of its machine code, in hexadecimal.
    pub fn hash(&self) -> &str {
        &self.code.hash
    }
}

/// The launches side by side among units, in a step of one token; `alone` says which units are launches by themselves in it.
pub fn load(gpu: &Gpu, units: &[Unit], step: &Step, alone: impl Fn(usize) -> bool) -> Result<Vec<Beside>, CudaError> {
    let code = |unit: &Unit| unit.bound.kernel.cuda(&ints(&unit.bound.ints, step));
    let (mut found, mut first) = (Vec::new(), 0);
    while first < units.len() {
        let fits = |next: usize| {
            let own =
                (code(&units[first]).threads, 0) == (code(&units[next]).threads, code(&units[next]).scratch_per_item);
            own && alone(next) && (first..next).all(|before| apart(&units[before].bound, &units[next].bound))
        };
        let end =
            (first..units.len().min(first + MOST)).find(|next| !fits(*next)).unwrap_or(units.len().min(first + MOST));
        if end > first + 1 {
            found.push(first..end);
        }
        first = end.max(first + 1);
    }
    let codes: Vec<Vec<&'static Cuda>> =
        found.iter().map(|range| units[range.clone()].iter().map(code).collect()).collect();
    let mut distinct: Vec<&Vec<&'static Cuda>> = Vec::new();
    for own in &codes {
        if !distinct.iter().any(|other| entries(other) == entries(own)) {
            distinct.push(own);
        }
    }
    let jobs = distinct.iter().map(|codes| Job::new(codes)).collect::<Result<Vec<_>, _>>()?;
    let cubins = compile(&Compiler::new(), &jobs, &gpu.arch())?;
    let load = |((codes, job), cubin): ((&&Vec<&'static Cuda>, &Job), &Vec<u8>)| {
        let module = Module::load(gpu, cubin, &job.entry)?;
        allow_shared(&module, codes.iter().map(|code| code.shared).max().unwrap_or(0))?;
        Ok(Rc::new(Code { entries: entries(codes), module, hash: hex(&Sha256::digest(cubin)) }))
    };
    let loaded = distinct.iter().zip(&jobs).zip(&cubins).map(load).collect::<Result<Vec<_>, CudaError>>()?;
    let of = |own: &[&'static Cuda]| loaded.iter().find(|code| code.entries == entries(own)).cloned();
    Ok(found.into_iter().zip(&codes).filter_map(|(units, own)| Some(Beside { units, code: of(own)? })).collect())
}

fn entries(codes: &[&'static Cuda]) -> Vec<&'static str> {
    codes.iter().map(|code| code.entry).collect()
}

/// Whether neither writes what the other one touches.
fn apart(a: &BoundStage, b: &BoundStage) -> bool {
    let writes = |a: &BoundStage, b: &BoundStage| {
        a.writes().any(|written| b.args.iter().any(|touched| touched.buffer == written.buffer))
    };
    !writes(a, b) && !writes(b, a)
}
