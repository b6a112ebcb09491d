//! Q4_0 weights: 32 elements of 4 bits with one scale.
//! Layout: `block_q4_0` of ggml. An element is `d * (q - 8)`.

#[format(elements = 32, bytes = 18)]
struct Q40 {
    d: f16,
    /// Elements 0..16 are the low nibbles, 16..32 the high ones.
    nibbles: [u8; 16],
}

impl Q40 {
    type Activations = Q8;

    fn low(self, half: int, i: int) -> int {
        (self.nibbles[i] >> (4 * half)) & 15
    }

    /// One leaf of a matvec. The offset is taken off through the activation's sum.
    fn dot(self, x: Q8, acc: f32) -> f32 {
        let s = isum(0..2, |half| isum(0..16, |i| self.low(half, i) * x.q[half * 16 + i])) - 8 * x.sum;
        fma(x.d, self.d.f32() * s.f32(), acc)
    }

    fn value(self, e: int) -> f32 {
        self.d.f32() * (self.low(e / 16, e % 16) - 8).f32()
    }
}
