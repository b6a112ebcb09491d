//! The least time that a kernel can take on a GPU: that of its bytes at the memory's rate, or that of its arithmetic at the rate
//! of the instructions that do it, whichever is more.
use super::counts::Counts;
use crate::audit::Operation;
use serde::Serialize;

/// A GPU as its maker describes it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Gpu {
    /// What `--gpu` calls it.
    pub name: &'static str,
    /// Which product that is.
    pub product: &'static str,
    /// Number of its architecture, as 90.
    pub arch: u32,
    /// Gigabytes (10^9) a second that its memory moves.
    pub memory_gb_s: f64,
    /// SMs.
    pub sms: u32,
    /// Highest clock, in MHz.
    pub clock_mhz: u32,
    /// Results of float additions, multiplications and `fma` a clock and SM.
    pub float_a_clock: u32,
    /// Results of `dp4a` and of products of 32-bit integers a clock and SM.
    pub integer_a_clock: u32,
}

/// Every GPU that is known.
///
/// Memory rates, SMs and clocks are those of NVIDIA's data sheets and architecture white papers (A100 80GB SXM, H100 SXM, H200 SXM,
/// L40S, Ada); nothing reaches the memory's rate in full. Results a clock are those of "Throughput of Native Arithmetic
/// Instructions" in the CUDA Programming Guide; it has no row for `dp4a`, which counts like a 32-bit integer multiply-add.
pub const GPUS: [Gpu; 5] = [
    Gpu {
        name: "a100",
        product: "A100 80GB SXM",
        arch: 80,
        memory_gb_s: 2039.0,
        sms: 108,
        clock_mhz: 1410,
        float_a_clock: 64,
        integer_a_clock: 64,
    },
    Gpu {
        name: "h100",
        product: "H100 SXM",
        arch: 90,
        memory_gb_s: 3350.0,
        sms: 132,
        clock_mhz: 1980,
        float_a_clock: 128,
        integer_a_clock: 64,
    },
    Gpu {
        name: "h200",
        product: "H200 SXM",
        arch: 90,
        memory_gb_s: 4800.0,
        sms: 132,
        clock_mhz: 1980,
        float_a_clock: 128,
        integer_a_clock: 64,
    },
    Gpu {
        name: "l40s",
        product: "L40S",
        arch: 89,
        memory_gb_s: 864.0,
        sms: 142,
        clock_mhz: 2520,
        float_a_clock: 128,
        integer_a_clock: 64,
    },
    Gpu {
        name: "rtx4090",
        product: "GeForce RTX 4090",
        arch: 89,
        memory_gb_s: 1008.0,
        sms: 128,
        clock_mhz: 2520,
        float_a_clock: 128,
        integer_a_clock: 64,
    },
];

/// Least times in microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Bound {
    /// Of all bytes.
    pub memory_us: f64,
    /// Of all products of integers, four of bytes at once, without matrix units.
    pub integer_us: f64,
    /// Of all operations on floats; divisions and square roots count as one, conversions as none.
    pub float_us: f64,
    /// The most of these.
    pub least_us: f64,
    /// Which of these that is: `memory`, `integer` or `float`.
    pub by: &'static str,
}

impl Gpu {
    /// The one of this name; an error names all.
    pub fn named(name: &str) -> Result<Gpu, String> {
        GPUS.into_iter().find(|gpu| gpu.name == name).ok_or_else(|| {
            let known = GPUS.map(|gpu| gpu.name).join(", ");
            format!("no GPU `{name}` is known; there are {known}")
        })
    }

    /// Results a microsecond, where an SM gives so many a clock.
    fn results(&self, a_clock: u32) -> f64 {
        f64::from(self.sms) * f64::from(self.clock_mhz) * f64::from(a_clock)
    }

    /// The least time for what a kernel asks for.
    pub fn bound(&self, counts: &Counts) -> Bound {
        let bytes = counts.buffers.iter().fold(0.0, |sum, buffer| sum + buffer.bytes as f64);
        let operations = &counts.operations;
        let integers = operations.byte_products as f64 / 4.0 + operations.products as f64;
        let arithmetic = [Operation::Add, Operation::Mul, Operation::Fma, Operation::Div, Operation::Sqrt];
        let floats = arithmetic.iter().fold(0.0, |sum, operation| sum + operations.float(*operation) as f64);
        // 10^9 bytes a second are 10^3 a microsecond.
        let memory_us = bytes / (self.memory_gb_s * 1e3);
        let integer_us = integers / self.results(self.integer_a_clock);
        let float_us = floats / self.results(self.float_a_clock);
        let times = [(memory_us, "memory"), (integer_us, "integer"), (float_us, "float")];
        let (least_us, by) = times.into_iter().fold(times[0], |most, time| if time.0 > most.0 { time } else { most });
        Bound { memory_us, integer_us, float_us, least_us, by }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The float rates of the data sheets, in 10^12 operations a second, where an `fma` is two.
    #[test]
    fn the_table_gives_the_float_rates_that_are_published() {
        for (name, published) in [("a100", 19.5), ("h100", 67.0), ("h200", 67.0), ("l40s", 91.6), ("rtx4090", 82.6)] {
            let gpu = Gpu::named(name).unwrap();
            let rate = gpu.results(gpu.float_a_clock) * 2.0 / 1e6;
            assert!((rate - published).abs() < 0.1, "{name}: {rate}");
        }
        assert!(Gpu::named("h300").unwrap_err().ends_with("there are a100, h100, h200, l40s, rtx4090"));
    }
}
