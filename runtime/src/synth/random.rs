//! A counter-based generator: any number of a tensor's stream is had at once, so threads need no order.

/// The finalizer of SplitMix64 (Steele, Lea and Flood, 2014): a bijection that spreads every bit.
fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// The random numbers of one tensor.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stream {
    key: u64,
}

impl Stream {
    pub(crate) fn new(seed: u64, name: &str) -> Self {
        let key = name
            .bytes()
            .fold(mix(seed.wrapping_add(GOLDEN)), |key, byte| mix((key ^ u64::from(byte)).wrapping_add(GOLDEN)));
        Self { key }
    }

    /// Number `counter` of the stream.
    pub(crate) fn at(&self, counter: u64) -> u64 {
        mix(self.key.wrapping_add(counter.wrapping_mul(GOLDEN)))
    }

    /// Number `counter` as a multiple of 2^-23 in -1..1, exact in f32.
    pub(crate) fn symmetric(&self, counter: u64) -> f32 {
        let bits = (self.at(counter) >> 40) as i32;
        (bits - (1 << 23)) as f32 / (1 << 23) as f32
    }
}
