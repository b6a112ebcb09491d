//! PTX and cubins of kernels, by all threads of the machine, each audited.
use super::folder::Files;
use crate::commands::Failure;
use crate::commands::units::Unit;
use kgen::nvrtc::{Arch, Compiled, Compiler, by_all_threads};
use std::io::{self, IsTerminal, Write};
use std::sync::atomic::{AtomicUsize, Ordering};

/// Compiles every kernel for every architecture. The first failure, in this order, is told, once the others have ended.
pub fn compile(compiler: &Compiler, units: &[Unit], archs: &[Arch], files: &mut Files) -> Result<(), Failure> {
    let work: Vec<(&Unit, &Arch)> = archs.iter().flat_map(|arch| units.iter().map(move |unit| (unit, arch))).collect();
    let done = AtomicUsize::new(0);
    let results = by_all_threads(&work, |(unit, arch)| {
        let result = unit.compile(compiler, arch, &[]);
        progress(done.fetch_add(1, Ordering::Relaxed) + 1, work.len(), unit, arch);
        result
    });
    for ((unit, arch), result) in work.into_iter().zip(results) {
        let Compiled { ptx, cubin, .. } = result?;
        files.add(format!("ptx/{arch}/{}.ptx", unit.source.entry), ptx);
        files.add(format!("cubin/{arch}/{}.cubin", unit.source.entry), cubin);
    }
    Ok(())
}

/// A line that writes over itself, for people who watch.
fn progress(done: usize, all: usize, unit: &Unit, arch: &Arch) {
    let mut err = io::stderr();
    if err.is_terminal() {
        let end = if done == all { "\n" } else { "" };
        // Nothing can be done where standard error is closed.
        let _ = write!(err, "\r\x1b[Kcompiled {done} of {all}: {} for {arch}{end}", unit.source.entry);
        let _ = err.flush();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kgen::audit::Allowed;
    use kgen::cuda::Source;
    use std::collections::BTreeMap;

    #[test]
    fn a_kernel_that_the_audit_refuses_fails_the_build() {
        let compiler = Compiler::with_cache(None);
        if let Err(error) = compiler.nvrtc() {
            eprintln!("skipped: {error}");
            return;
        }
        let unit = |name: &str, value: &str| {
            let (parameters, body) = (vec![("float*".into(), "x".into())], format!("    x[0] = {value};\n"));
            let entry = name.to_string();
            let source = Source {
                entry,
                parameters,
                body,
                threads: 32,
                resident: 0,
                at_once: 32,
                shared: 0,
                scratch_per_item: 0,
            };
            Unit { source, allowed: Allowed::default(), of: name.into(), most: BTreeMap::new(), threads: 32 }
        };
        let (archs, mut files) = ([Arch::of_capability(9, 0)], Files::default());
        let compiled = compile(&compiler, &[unit("fine", "x[1]")], &archs, &mut files);
        assert!(compiled.is_ok() && files.iter().count() == 2);
        let units = [unit("fine", "x[1]"), unit("approximate", "expf(x[1])")];
        let Err(Failure::Failed(message)) = compile(&compiler, &units, &archs, &mut files) else {
            panic!("the approximation was not refused");
        };
        let words = ["the audit refuses", "approximate at approximate.cu:5: an approximation: `ex2.approx"];
        assert!(words.iter().all(|word| message.contains(word)), "{message}");
    }
}
