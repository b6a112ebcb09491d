//! Q5_0 weights: 32 elements of 5 bits with one scale.
//! Layout: `block_q5_0` of ggml. An element is `d * (q - 16)`.

#[format(elements = 32, bytes = 22)]
struct Q50 {
    d: f16,
    high: [u8; 4],
    /// Elements 0..16 are the low nibbles, 16..32 the high ones.
    nibbles: [u8; 16],
}

impl Q50 {
    type Activations = Q8;

    fn low(self, half: int, i: int) -> int {
        (self.nibbles[i] >> (4 * half)) & 15
    }

    /// The upper bit of an element: bit e % 8 of byte e / 8.
    fn high(self, e: int) -> int {
        (self.high[e / 8] >> (e % 8)) & 1
    }

    /// One leaf of a matvec. The offset is taken off through the activation's sum.
    fn dot(self, x: Q8, acc: f32) -> f32 {
        let s = isum(0..2, |half| isum(0..16, |i| self.low(half, i) * x.q[half * 16 + i])) + 16 * isum(0..32, |e| self.high(e) * x.q[e]) - 16 * x.sum;
        fma(x.d, self.d.f32() * s.f32(), acc)
    }

    fn value(self, e: int) -> f32 {
        self.d.f32() * (self.low(e / 16, e % 16) + 16 * self.high(e) - 16).f32()
    }
}
