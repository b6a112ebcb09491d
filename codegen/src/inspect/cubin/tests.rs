//! Against what the assembler says of the same code.
use super::*;
use crate::inspect::spills::Spills;
use crate::nvrtc::tests::nvrtc;
use crate::nvrtc::{Arch, REPORT};

/// A kernel with what a cubin tells: shared memory, an array in local memory, spills, constants, a bound of the threads.
const SOURCE: &str = r#"
__constant__ float table[16];
extern "C" __global__ void shared(float *x) {
    __shared__ float a[100];
    a[threadIdx.x] = x[threadIdx.x];
    __syncthreads();
    x[threadIdx.x] = a[99 - threadIdx.x];
}
extern "C" __global__ void local(float *x, int n) {
    float v[64];
    for (int i = 0; i < 64; i++) v[i] = x[i];
    for (int k = 0; k < n; k++) v[(k * 7) & 63] += v[(int)x[k] & 63];
    x[0] = v[n & 63] * table[n];
}
extern "C" __global__ void __launch_bounds__(1024) spilling(float *x, int n) {
    float v[128];
#pragma unroll
    for (int i = 0; i < 128; i++) v[i] = x[i * 1024 + threadIdx.x];
    for (int k = 0; k < n; k++) {
#pragma unroll
        for (int i = 0; i < 128; i++) v[i] = v[i] * v[(i + 7) % 128] + x[i];
    }
#pragma unroll
    for (int i = 0; i < 128; i++) x[i * 1024 + threadIdx.x] = v[i];
}
"#;

/// The number before some words of the log, in the part of a kernel.
fn said(log: &str, entry: &str, words: &str) -> Option<u64> {
    let part = log.split("Function properties for ").find(|part| part.lines().next() == Some(entry)).unwrap();
    part.split_once(words)?.0.split_whitespace().next_back()?.parse().ok()
}

#[test]
fn a_cubin_says_what_the_assembler_said() {
    let Some(nvrtc) = nvrtc() else { return };
    for number in nvrtc.archs() {
        let arch: Arch = format!("sm_{number}").parse().unwrap();
        let options = [format!("--gpu-architecture={arch}"), "-default-device".into(), REPORT.into()];
        let compiled = nvrtc.compile(SOURCE, "k", &arch, &options).unwrap();
        let log = &compiled.log;
        for (entry, parameters, bound) in [("shared", 8, None), ("local", 12, None), ("spilling", 12, Some(1024))] {
            let found = Resources::read(&compiled.cubin, entry).unwrap();
            assert_eq!(Some(u64::from(found.registers)), said(log, entry, " registers"), "{arch} {entry}:\n{log}");
            assert_eq!(Some(u64::from(found.stack)), said(log, entry, " bytes stack frame"), "{arch} {entry}:\n{log}");
            let shared = said(log, entry, " bytes smem").unwrap_or(0);
            assert_eq!(found.shared, shared, "{arch} {entry}:\n{log}");
            assert_eq!(shared, if entry == "shared" { 400 } else { 0 });
            assert_eq!((found.parameters, found.max_threads), (Some(parameters), bound), "{arch} {entry}");
            assert_eq!(found.constant[&3], 64, "{arch} {entry}: the table");
            if let Some(bank) = said(log, entry, " bytes cmem[0]") {
                assert_eq!(found.constant[&0], bank, "{arch} {entry}:\n{log}");
            }
            let spills = Spills::of(log, entry).unwrap();
            assert_eq!(spills.stores > 0 && spills.loads > 0, entry == "spilling", "{arch} {entry}:\n{log}");
        }
        let error = Resources::read(&compiled.cubin, "another").unwrap_err();
        assert_eq!(error.to_string(), "the cubin of `another`: it has no such kernel");
    }
}

#[test]
fn what_is_no_cubin_is_an_error() {
    assert!(Resources::read(b"", "k").is_err());
    assert!(Resources::read(b"\x7fELF and nothing else", "k").is_err());
    let Some(nvrtc) = nvrtc() else { return };
    let arch = Arch::of_capability(9, 0);
    let options = [format!("--gpu-architecture={arch}"), "-default-device".into()];
    let good = nvrtc.compile(SOURCE, "k", &arch, &options).unwrap().cubin;
    // Whatever is damaged, reading ends with numbers or an error.
    for at in (0..good.len()).step_by(7) {
        let mut bad = good.clone();
        bad[at] ^= 0x55;
        let _ = Resources::read(&bad, "local");
        let _ = Resources::read(&good[..at], "local");
    }
}
