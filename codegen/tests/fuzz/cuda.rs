//! Random kernels through CUDA: many in one translation unit, compiled by NVRTC, audited, and where there is a GPU run and
//! compared with the interpreter. This needs no source tree, so that the test's binary can be taken to a machine with a GPU.
use crate::case::{Case, Checked};
use crate::run::{first_seed, guarded, on_all_cores};
use crate::shrink::shrink;
use kgen::audit::{Allowed, audit};
use kgen::cuda::{self, Source};
use kgen::gpu::{self, Gpu, Module};
use kgen::loop_ir::Func;
use kgen::nvrtc::{Arch, Compiler};
use kgen::target::Target;
use std::sync::Mutex;

/// Kernels in a translation unit.
const BATCH: u64 = 20;

/// Failures that are shown before a run gives up.
const SHOWN: usize = 3;

/// CTAs of a launch: few, so that groups take several work items in turn.
const MOST_CTAS: usize = 2;

/// What is compiled for where there is no GPU.
const ARCH: &str = "sm_90";

/// What compiles kernels, and what runs them.
pub struct Machine {
    compiler: Compiler,
    gpu: Option<Gpu>,
    arch: Arch,
    /// What it is, in words.
    pub name: String,
}

/// A kernel with a schedule for CUDA, as CUDA C++.
struct Written {
    func: Func,
    source: Source,
}

impl Machine {
    /// NVRTC, and a GPU where there is one; else what is missing.
    pub fn find() -> Checked<Machine> {
        let compiler = Compiler::with_cache(None);
        compiler.nvrtc().map_err(|e| e.to_string())?;
        Ok(match Gpu::open(0) {
            Ok(gpu) => Machine { compiler, arch: gpu.arch.clone(), name: gpu.name.clone(), gpu: Some(gpu) },
            Err(e) => {
                let arch = ARCH.parse().map_err(|e: kgen::nvrtc::UnknownArch| e.to_string())?;
                Machine { compiler, arch, name: format!("no GPU ({e}): compiled for {ARCH}, not run"), gpu: None }
            }
        })
    }

    /// Whether kernels are run.
    pub fn runs(&self) -> bool {
        self.gpu.is_some()
    }

    /// `count` kernels, or what failed.
    pub fn kernels(&self, count: u64) -> Checked<()> {
        let failures = Mutex::new(Vec::new());
        on_all_cores(count.div_ceil(BATCH), |batch| {
            if failures.lock().expect("no panic inside").len() >= SHOWN {
                return;
            }
            let seeds = batch * BATCH..count.min((batch + 1) * BATCH);
            if let Err(failure) = guarded(|| self.batch(seeds.map(|i| first_seed() + i).collect())) {
                failures.lock().expect("no panic inside").push(failure);
            }
        });
        let failures = failures.into_inner().expect("no panic inside");
        if failures.is_empty() { Ok(()) } else { Err(failures.join("\n")) }
    }

    fn batch(&self, seeds: Vec<u64>) -> Checked<()> {
        let mut cases = Vec::new();
        for seed in &seeds {
            let case = Case::drawn(&format!("f{seed}"), *seed, &[Target::Cuda]);
            cases.push((*seed, case.map_err(|e| format!("seed {seed}: {e}"))?));
        }
        self.unit(cases)
    }

    fn unit(&self, cases: Vec<(u64, Case)>) -> Checked<()> {
        let all: Vec<&Case> = cases.iter().map(|(_, case)| case).collect();
        let Err(together) = self.check(&all) else { return Ok(()) };
        let fails = |case: &Case| guarded(|| self.check(&[case])).err();
        for (seed, case) in cases {
            if let Some(reason) = fails(&case) {
                let (small, reason) = shrink(case, reason, &[Target::Cuda], fails);
                return Err(format!("seed {seed}: {reason}\n{}", small.describe()));
            }
        }
        Err(format!("only together: {together}"))
    }

    /// Compiles the cases together, and runs each where there is a GPU.
    fn check(&self, cases: &[&Case]) -> Checked<()> {
        if cases.is_empty() {
            return Ok(());
        }
        let written = cases.iter().map(|case| write(case)).collect::<Checked<Vec<Written>>>()?;
        let text = together(&written);
        let compiled = self.compiler.compile(&text, "random.cu", &self.arch, &[]).map_err(|e| e.to_string())?;
        let allowed = cases.iter().map(|case| Allowed::of(&case.kernel, &case.places)).reduce(Allowed::and);
        audit(&compiled.ptx, &allowed.unwrap_or_default().at_any_line()).map_err(|violations| {
            let shown: Vec<String> = violations.iter().take(SHOWN).map(|v| v.to_string()).collect();
            format!("the audit refuses the code: {}", shown.join("; "))
        })?;
        let Some(gpu) = &self.gpu else { return Ok(()) };
        gpu.enter().map_err(|e| e.to_string())?;
        let module = Module::load(&compiled.cubin).map_err(|e| e.to_string())?;
        for (case, written) in cases.iter().zip(&written) {
            let (kernel, scalars) = ((&written.source, &written.func), (&case.ints[..], &case.floats[..]));
            let given = gpu::run(gpu, &module, kernel, scalars, &case.packed(&written.func), MOST_CTAS);
            let given = given.map_err(|e| e.to_string())?;
            case.compare(&case.meaning()?, &given).map_err(|e| format!("on the GPU: {e}"))?;
        }
        Ok(())
    }
}

fn write(case: &Case) -> Checked<Written> {
    let [(_, schedule)] = &case.schedules[..] else { return Err("a case for CUDA has one schedule".into()) };
    let func = case.lowered(schedule)?;
    let source = cuda::emit(&func, schedule.threads, &case.places).map_err(|e| e.to_string())?;
    Ok(Written { func, source })
}

/// One translation unit: what all begin with, once, and the kernels.
fn together(written: &[Written]) -> String {
    // With the `#line` that says where the lines before its first statement are.
    let begin = |text: &str| {
        let kernel = text.find("extern \"C\" __global__").expect("a kernel");
        text[..kernel].rfind("#line").expect("the name of the generated file")
    };
    let first = written[0].source.text();
    let kernels = written.iter().map(|w| w.source.text()).map(|text| text[begin(&text)..].to_string());
    std::iter::once(first[..begin(&first)].to_string()).chain(kernels).collect()
}
