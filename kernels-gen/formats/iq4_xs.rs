//! IQ4_XS weights: 256 elements in 8 sub-blocks of 32, each with a 6-bit signed scale; an element is 4 bits, the number of one of 16
//! values. Layout: `block_iq4_xs` of ggml. An element is `d * (scale - 32) * IQ4_VALUES[q]`.

#[format(elements = 256, bytes = 136)]
struct IQ4XS {
    d: f16,
    /// Bits 2j and 2j + 1 are the upper bits of scale j.
    high: u16,
    /// The low nibble of byte p is the lower part of scale 2p, the high nibble that of scale 2p + 1.
    low: [u8; 4],
    /// Of 16 bytes for each sub-block, the low nibbles are elements 0..16, the high ones 16..32.
    nibbles: [u8; 128],
}

impl IQ4XS {
    type Activations = Q8K;

    fn scale(self, j: int) -> int {
        let low = (self.low[j / 2] >> (4 * (j % 2))) & 15;
        (low | (((self.high >> (2 * j)) & 3) << 4)) - 32
    }

    fn q(self, j: int, half: int, i: int) -> int {
        IQ4_VALUES[(self.nibbles[j * 16 + i] >> (4 * half)) & 15]
    }

    /// One leaf of a matvec.
    fn dot(self, x: Q8K, acc: f32) -> f32 {
        let s = isum(0..8, |j| {
            let sub = isum(0..2, |half| isum(0..16, |i| self.q(j, half, i) * x.q[j * 32 + half * 16 + i]));
            self.scale(j) * sub
        });
        fma(x.d, self.d.f32() * s.f32(), acc)
    }

    fn value(self, e: int) -> f32 {
        let scale = self.d.f32() * self.scale(e / 32).f32();
        scale * self.q(e / 32, e / 16 % 2, e % 16).f32()
    }
}
