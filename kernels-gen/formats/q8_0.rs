//! Q8_0 weights: 32 elements of 8 bits with one scale.
//! Layout: `block_q8_0` of ggml. An element is `d * q`.

#[format(elements = 32, bytes = 34)]
struct Q80 {
    d: f16,
    /// In two's complement.
    q: [u8; 32],
}

impl Q80 {
    type Activations = Q8;

    /// An element with an offset of 128, which makes it unsigned.
    fn q(self, i: int) -> int {
        self.q[i] ^ 128
    }

    /// One leaf of a matvec. The offset is taken off through the activation's sum.
    fn dot(self, x: Q8, acc: f32) -> f32 {
        let s = isum(0..32, |i| self.q(i) * x.q[i]) - 128 * x.sum;
        fma(x.d, self.d.f32() * s.f32(), acc)
    }

    fn value(self, e: int) -> f32 {
        self.d.f32() * (self.q(e) - 128).f32()
    }
}
