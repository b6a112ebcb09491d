//! Q2_K weights: 256 elements in 16 sub-blocks of 16, each with a 4-bit scale and a 4-bit minimum.
//! Layout: `block_q2_K` of ggml. An element is `d * scale * q - dmin * min`.

#[format(elements = 256, bytes = 84)]
struct Q2K {
    /// The low nibble is the scale of a sub-block, the high one its minimum.
    packed: [u8; 16],
    /// In each half of 32 bytes, bits 2k and 2k + 1 belong to run k of the half's four runs of 32 elements.
    low: [u8; 64],
    d: f16,
    dmin: f16,
}

impl Q2K {
    type Activations = Q8K;

    /// Element `at` of a run in a half.
    fn q(self, half: int, run: int, at: int) -> int {
        (self.low[half * 32 + at] >> (2 * run)) & 3
    }

    /// One leaf of a matvec: exact integer dots, then two rounded steps.
    fn dot(self, x: Q8K, acc: f32) -> f32 {
        let m = isum(0..16, |j| (self.packed[j] >> 4) * x.sums[j]);
        let s = isum(0..16, |j| {
            let half = j / 8;
            let run = j / 2 % 4;
            let at = j % 2 * 16;
            (self.packed[j] & 15) * isum(0..16, |i| self.q(half, run, at + i) * x.q[j * 16 + i])
        });
        let t = fma(self.d.f32(), s.f32(), -(self.dmin.f32() * m.f32()));
        fma(x.d, t, acc)
    }

    fn value(self, e: int) -> f32 {
        let scale = self.d.f32() * (self.packed[e / 16] & 15).f32();
        let min = self.dmin.f32() * (self.packed[e / 16] >> 4).f32();
        fma(scale, self.q(e / 128, e / 32 % 4, e % 32).f32(), -min)
    }
}
