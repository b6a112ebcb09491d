//! Q3_K weights: 256 elements in 16 sub-blocks of 16, each with a 6-bit signed scale.
//! Layout: `block_q3_K` of ggml. An element is `d * (scale - 32) * (q - 4)`.

#[format(elements = 256, bytes = 110)]
struct Q3K {
    /// Bit k of byte i is the upper bit of element i of run k, of 8 runs of 32 elements.
    high: [u8; 32],
    /// Lower 2 bits: in each half of 32 bytes, bits 2k and 2k + 1 belong to run k of the half's four.
    low: [u8; 64],
    /// Scale j has its lower 4 bits in byte j % 8, and its upper 2 in byte 8 + j % 4.
    packed: [u8; 12],
    d: f16,
}

impl Q3K {
    type Activations = Q8K;

    fn scale(self, j: int) -> int {
        let low = (self.packed[j % 8] >> (4 * (j / 8))) & 15;
        let high = (self.packed[8 + j % 4] >> (2 * (j / 4))) & 3;
        (low | (high << 4)) - 32
    }

    /// Element `at` of a run in a half, still offset by 4.
    fn q(self, half: int, run: int, at: int) -> int {
        let low = (self.low[half * 32 + at] >> (2 * run)) & 3;
        low | (((self.high[at] >> (half * 4 + run)) & 1) << 2)
    }

    /// One leaf of a matvec. The offset of 4 is taken off through the activation's sums, so that the dot has unsigned weights.
    fn dot(self, x: Q8K, acc: f32) -> f32 {
        let m = isum(0..16, |j| self.scale(j) * x.sums[j]);
        let s = isum(0..16, |j| {
            let half = j / 8;
            let run = j / 2 % 4;
            let at = j % 2 * 16;
            self.scale(j) * isum(0..16, |i| self.q(half, run, at + i) * x.q[j * 16 + i])
        });
        let t = self.d.f32() * (s - 4 * m).f32();
        fma(x.d, t, acc)
    }

    fn value(self, e: int) -> f32 {
        let scale = self.d.f32() * self.scale(e / 16).f32();
        scale * (self.q(e / 128, e / 32 % 4, e % 32) - 4).f32()
    }
}
