//! Random kernels, written as text: what they mean, what a schedule made of them, and what a machine makes of that are the
//! same bits.
//!
//! A kernel that fails is made as small as it can be, and shown with its seed, its schedule and the first number that differs.
//! How much is done can be set in the environment:
//!
//! - `KGEN_FUZZ`: kernels through both interpreters, and at most so many for each planted fault; 1000 otherwise
//! - `KGEN_FUZZ_CPU`: kernels through emitted code for the CPU; 60 otherwise
//! - `KGEN_FUZZ_CUDA`: kernels through CUDA; otherwise 200 on a GPU, and 20 that are only compiled without one
//! - `KGEN_FUZZ_SEED`: the first seed, 0 otherwise; the others follow it
//!
//! For CUDA, the test's binary needs nothing but a driver and NVRTC: `fuzz --nocapture cuda_agrees` runs on any machine.
mod case;
#[path = "../common/compiled.rs"]
mod compiled;
mod coverage;
mod cuda;
mod emitted;
mod faults;
mod generate;
mod run;
mod shrink;
mod tape;

/// Both interpreters agree under random legal schedules, and the kernels reach every node and every instruction.
#[test]
fn interpreters_agree() {
    let count = run::number("KGEN_FUZZ", 1000);
    let begun = std::time::Instant::now();
    let coverage = run::interpreters(count).unwrap_or_else(|failures| panic!("{failures}"));
    eprintln!("{} in {:.1?}", coverage.table(), begun.elapsed());
    assert!(coverage.unknown().is_empty(), "nodes without a row in the table: {:?}", coverage.unknown());
    assert!(coverage.missing().is_empty(), "nodes that too few kernels have: {:?}", coverage.missing());
}

/// So does the code that is emitted for every instruction set of this machine.
#[test]
fn emitted_code_agrees() {
    let count = run::number("KGEN_FUZZ_CPU", 60);
    let begun = std::time::Instant::now();
    emitted::emitted(count).unwrap_or_else(|failures| panic!("{failures}"));
    eprintln!("{count} kernels through emitted code in {:.1?}", begun.elapsed());
}

/// The comparison is worth something: it finds faults that are planted into the lowered kernels.
#[test]
fn every_planted_fault_is_found() {
    let count = run::number("KGEN_FUZZ", 1000);
    let mut missed = Vec::new();
    for (fault, fared) in faults::look(count) {
        let planted = fared.planted.into_inner();
        match fared.found.into_inner().expect("no panic") {
            Some((seed, how)) => eprintln!("found: {} (seed {seed}, planted {planted} times): {how}", fault.name),
            None => missed.push(format!("{} (planted {planted} times)", fault.name)),
        }
    }
    for fault in faults::text::FAULTS {
        match faults::text::found(fault, count) {
            Some(how) => eprintln!("found: {} (in emitted code): {how}", fault.name),
            None => missed.push(fault.name.to_string()),
        }
    }
    assert!(missed.is_empty(), "not found:\n{}", missed.join("\n"));
}

/// So do the kernels that NVRTC makes, where there is a GPU; without one they are compiled and audited.
#[test]
fn cuda_agrees() {
    let machine = match cuda::Machine::find() {
        Ok(machine) => machine,
        Err(missing) => return eprintln!("random kernels through CUDA: skipped: {missing}"),
    };
    let count = run::number("KGEN_FUZZ_CUDA", if machine.runs() { 200 } else { 20 });
    let begun = std::time::Instant::now();
    machine.kernels(count).unwrap_or_else(|failures| panic!("{failures}"));
    eprintln!("{count} kernels through CUDA, {}, in {:.1?}", machine.name, begun.elapsed());
}
