//! How many CTAs of a kernel an SM holds at once, and what keeps it from holding more.
use crate::nvrtc::Arch;
use serde::Serialize;

/// Threads of a warp.
const WARP: u64 = 32;
/// Registers of an SM. They lie in four parts; a warp gets its registers in one, by 256.
const REGISTERS: u64 = 64 << 10;
const PARTS: u64 = 4;
const REGISTERS_AT_ONCE: u64 = 256;
/// Shared memory is given by 128 bytes, and the system takes 1 KiB of each CTA's.
const SHARED_AT_ONCE: u64 = 128;
const SHARED_OF_SYSTEM: u64 = 1 << 10;

/// What an SM holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Sm {
    /// Number of the architecture, as 90.
    #[serde(skip)]
    arch: u32,
    /// CTAs.
    pub ctas: u64,
    /// Warps.
    pub warps: u64,
    /// KiB of shared memory.
    pub shared_kib: u64,
}

/// The source: CUDA Programming Guide 13, "Technical Specifications per Compute Capability". All have 64 Ki registers.
const SMS: [Sm; 10] = [
    Sm { arch: 80, ctas: 32, warps: 64, shared_kib: 164 },
    Sm { arch: 86, ctas: 16, warps: 48, shared_kib: 100 },
    Sm { arch: 87, ctas: 16, warps: 48, shared_kib: 164 },
    Sm { arch: 89, ctas: 24, warps: 48, shared_kib: 100 },
    Sm { arch: 90, ctas: 32, warps: 64, shared_kib: 228 },
    Sm { arch: 100, ctas: 32, warps: 64, shared_kib: 228 },
    Sm { arch: 103, ctas: 32, warps: 64, shared_kib: 228 },
    Sm { arch: 110, ctas: 24, warps: 48, shared_kib: 228 },
    Sm { arch: 120, ctas: 24, warps: 48, shared_kib: 100 },
    Sm { arch: 121, ctas: 24, warps: 48, shared_kib: 100 },
];

impl Sm {
    /// That of an architecture; an error names those that are known.
    pub fn of(arch: &Arch) -> Result<Sm, String> {
        SMS.into_iter().find(|sm| sm.arch == arch.number()).ok_or_else(|| {
            let known: Vec<String> = SMS.iter().map(|sm| format!("sm_{}", sm.arch)).collect();
            format!("the limits of {arch} are not known, only those of {}", known.join(", "))
        })
    }
}

/// What a CTA takes.
#[derive(Clone, Copy, Debug)]
pub struct Cta {
    /// Threads, at least 1.
    pub threads: u64,
    /// Registers a thread.
    pub registers: u64,
    /// Bytes of shared memory, static and dynamic.
    pub shared: u64,
}

/// CTAs that an SM holds at once.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Occupancy {
    /// As far as registers go.
    pub by_registers: u64,
    /// As far as shared memory goes.
    pub by_shared: u64,
    /// As far as warps go.
    pub by_warps: u64,
    /// As far as places for CTAs go.
    pub by_ctas: u64,
    /// The least of these.
    pub ctas: u64,
    /// Warps of all of them.
    pub warps: u64,
    /// These warps, of the warps that an SM holds.
    pub percent: f64,
}

impl Occupancy {
    /// How many CTAs fit.
    pub fn of(cta: Cta, sm: Sm) -> Occupancy {
        let warps = cta.threads.div_ceil(WARP).max(1);
        let registers = (cta.registers * WARP).next_multiple_of(REGISTERS_AT_ONCE).max(REGISTERS_AT_ONCE);
        let by_registers = REGISTERS / PARTS / registers * PARTS / warps;
        let shared = (cta.shared + SHARED_OF_SYSTEM).next_multiple_of(SHARED_AT_ONCE);
        let by_shared = (sm.shared_kib << 10) / shared;
        let by_warps = sm.warps / warps;
        let ctas = by_registers.min(by_shared).min(by_warps).min(sm.ctas);
        let percent = (ctas * warps) as f64 * 100.0 / sm.warps as f64;
        Occupancy { by_registers, by_shared, by_warps, by_ctas: sm.ctas, ctas, warps: ctas * warps, percent }
    }

    /// What there would have to be more of.
    pub fn limits(&self) -> Vec<&'static str> {
        let all = [
            (self.by_registers, "registers"),
            (self.by_shared, "shared memory"),
            (self.by_warps, "warps"),
            (self.by_ctas, "CTAs"),
        ];
        all.into_iter().filter(|(ctas, _)| *ctas == self.ctas).map(|(_, name)| name).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(arch: u32, threads: u64, registers: u64, shared: u64) -> Occupancy {
        Occupancy::of(Cta { threads, registers, shared }, Sm::of(&Arch::of_capability(arch / 10, arch % 10)).unwrap())
    }

    #[test]
    fn each_limit_is_found() {
        // 64 * 32 = 2048 registers a warp, 8 warps a part, 32 in all: 4 CTAs of 8 warps.
        let found = of(90, 256, 64, 0);
        assert_eq!((found.by_registers, found.ctas, found.warps, found.percent), (4, 4, 32, 50.0));
        assert_eq!(found.limits(), ["registers"]);
        // 65 registers are 2080 of a warp, so 2304: 7 warps a part, 28 in all, of which 3 CTAs take 24.
        assert_eq!((of(90, 256, 65, 0).ctas, of(90, 256, 65, 0).percent), (3, 37.5));
        // 40 KiB and one of the system: 5 of 228 KiB, and 2 of 100 KiB.
        let found = of(90, 128, 32, 40 << 10);
        assert_eq!((found.by_shared, found.ctas, found.limits()), (5, 5, vec!["shared memory"]));
        assert_eq!(of(89, 128, 32, 40 << 10).ctas, 2);
        // A byte more than what fits four times into 100 KiB.
        assert_eq!((of(86, 32, 8, 24 << 10).by_shared, of(86, 32, 8, (24 << 10) + 1).by_shared), (4, 3));
        // Warps: 1024 threads fit twice into 64 warps, and once into 48.
        assert_eq!((of(90, 1024, 32, 0).ctas, of(90, 1024, 32, 0).percent), (2, 100.0));
        let found = of(120, 1024, 32, 0);
        assert_eq!((found.ctas, found.warps, found.limits()), (1, 32, vec!["warps"]));
        // One warp a CTA: 16 CTAs of sm_86 are a third of its warps.
        let found = of(86, 32, 8, 0);
        assert_eq!((found.ctas, found.limits()), (16, vec!["CTAs"]));
        assert!((found.percent - 100.0 / 3.0).abs() < 1e-9);
        // Some threads fill a warp.
        assert_eq!((of(80, 33, 16, 0).by_warps, of(80, 1024, 255, 0).ctas), (32, 0));
    }

    #[test]
    fn an_unknown_architecture_names_those_known() {
        let error = Sm::of(&Arch::of_capability(7, 5)).unwrap_err();
        assert!(error.contains("sm_75 are not known") && error.contains("sm_80, sm_86"), "{error}");
        assert_eq!(Sm::of(&"sm_90a".parse().unwrap()), Sm::of(&Arch::of_capability(9, 0)));
    }
}
