//! Q4_1 weights: 32 elements of 4 bits with one scale and one minimum.
//! Layout: `block_q4_1` of ggml. An element is `d * q + m`.

#[format(elements = 32, bytes = 20)]
struct Q41 {
    d: f16,
    m: f16,
    /// Elements 0..16 are the low nibbles, 16..32 the high ones.
    nibbles: [u8; 16],
}

impl Q41 {
    type Activations = Q8;

    fn low(self, half: int, i: int) -> int {
        (self.nibbles[i] >> (4 * half)) & 15
    }

    /// One leaf of a matvec: exact integer dots, then two rounded steps.
    fn dot(self, x: Q8, acc: f32) -> f32 {
        let s = isum(0..2, |half| isum(0..16, |i| self.low(half, i) * x.q[half * 16 + i]));
        let t = fma(self.d.f32(), s.f32(), self.m.f32() * x.sum.f32());
        fma(x.d, t, acc)
    }

    fn value(self, e: int) -> f32 {
        fma(self.d.f32(), self.low(e / 16, e % 16).f32(), self.m.f32())
    }
}
