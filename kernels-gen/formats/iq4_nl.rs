//! IQ4_NL weights: 32 elements of 4 bits, each the number of one of 16 values, with one scale.
//! Layout and values: `block_iq4_nl` and `kvalues_iq4nl` of ggml. An element is `d * IQ4_VALUES[q]`.

/// What the 16 numbers stand for.
const IQ4_VALUES: [i8; 16] = [-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113];

#[format(elements = 32, bytes = 18)]
struct IQ4NL {
    d: f16,
    /// Elements 0..16 are the low nibbles, 16..32 the high ones.
    nibbles: [u8; 16],
}

impl IQ4NL {
    type Activations = Q8;

    fn q(self, half: int, i: int) -> int {
        IQ4_VALUES[(self.nibbles[i] >> (4 * half)) & 15]
    }

    /// One leaf of a matvec.
    fn dot(self, x: Q8, acc: f32) -> f32 {
        let s = isum(0..2, |half| isum(0..16, |i| self.q(half, i) * x.q[half * 16 + i]));
        fma(x.d, self.d.f32() * s.f32(), acc)
    }

    fn value(self, e: int) -> f32 {
        self.d.f32() * self.q(e / 16, e % 16).f32()
    }
}
