//! Q4_K weights: 256 elements in 8 sub-blocks of 32, each with a 6-bit scale and a 6-bit minimum.
//! Layout: `block_q4_K` of ggml. An element is `d * scale * q - dmin * min`.

#[format(elements = 256, bytes = 144)]
struct Q4K {
    d: f16,
    dmin: f16,
    /// Scales and minima of 6 bits: the first four whole, the upper bits of the last four in the two top bits of the first.
    packed: [u8; 12],
    /// Sub-blocks 2p and 2p + 1 are the low and high nibbles of bytes 32p..32p + 32.
    nibbles: [u8; 128],
}

impl Q4K {
    type Activations = Q8K;

    fn scale(self, j: int) -> int {
        if j < 4 {
            self.packed[j] & 63
        } else {
            (self.packed[j + 4] & 15) | ((self.packed[j - 4] >> 6) << 4)
        }
    }

    fn min(self, j: int) -> int {
        if j < 4 {
            self.packed[j + 4] & 63
        } else {
            (self.packed[j + 4] >> 4) | ((self.packed[j] >> 6) << 4)
        }
    }

    fn q(self, j: int, i: int) -> int {
        (self.nibbles[j / 2 * 32 + i] >> (4 * (j % 2))) & 15
    }

    /// One leaf of a matvec: exact integer dots, then two rounded steps.
    fn dot(self, x: Q8K, acc: f32) -> f32 {
        let s = isum(0..8, |j| self.scale(j) * isum(0..32, |i| self.q(j, i) * x.q[j * 32 + i]));
        let m = isum(0..16, |j| self.min(j / 2) * x.sums[j]);
        let t = fma(self.d.f32(), s.f32(), -(self.dmin.f32() * m.f32()));
        fma(x.d, t, acc)
    }

    fn value(self, e: int) -> f32 {
        let scale = self.d.f32() * self.scale(e / 32).f32();
        let min = self.dmin.f32() * self.min(e / 32).f32();
        fma(scale, self.q(e / 32, e % 32).f32(), -min)
    }
}
