//! Q6_K weights: 256 elements in 16 sub-blocks of 16, each with an 8-bit signed scale.
//! Layout: `block_q6_K` of ggml. An element is `d * scale * (q - 32)`.

#[format(elements = 256, bytes = 210)]
struct Q6K {
    /// Lower 4 bits: in each half of 64 bytes, runs of 32 elements 0, 1 are the low and 2, 3 the high nibbles.
    low: [u8; 128],
    /// Upper 2 bits: in each half of 32 bytes, bits 2k and 2k + 1 belong to run k.
    high: [u8; 64],
    scales: [i8; 16],
    d: f16,
}

impl Q6K {
    type Activations = Q8K;

    /// Element `at` of a run of 32 in a half, still offset by 32.
    fn q(self, half: int, run: int, at: int) -> int {
        let low = (self.low[half * 64 + run % 2 * 32 + at] >> (run / 2 * 4)) & 15;
        let high = (self.high[half * 32 + at] >> (run * 2)) & 3;
        low | (high << 4)
    }

    /// One leaf of a matvec. The offset of 32 is taken off through the activation's sums, so that the dot has unsigned weights.
    fn dot(self, x: Q8K, acc: f32) -> f32 {
        let m = isum(0..16, |j| self.scales[j] * x.sums[j]);
        // The four runs of a half share bytes, so these come one after the other.
        let s = isum(0..4, |part| {
            let half = part / 2;
            let at = part % 2 * 16;
            isum(0..4, |run| {
                let sub = isum(0..16, |i| self.q(half, run, at + i) * x.q[half * 128 + run * 32 + at + i]);
                self.scales[half * 8 + run * 2 + part % 2] * sub
            })
        });
        let t = self.d.f32() * (s - 32 * m).f32();
        fma(x.d, t, acc)
    }

    fn value(self, e: int) -> f32 {
        let scale = self.d.f32() * self.scales[e / 16].f32();
        scale * (self.q(e / 128, e % 128 / 32, e % 32) - 32).f32()
    }
}
