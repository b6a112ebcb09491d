//! Random numbers that are the same everywhere, for data and for tests.

/// Random numbers (SplitMix64): the same sequence for a seed everywhere.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// The sequence of a seed.
    pub fn new(seed: u64) -> Random {
        Random(seed)
    }

    /// The next 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// An integer in `lo..=hi`; `lo` where there is none.
    pub fn int(&mut self, lo: i64, hi: i64) -> i64 {
        let count = hi.saturating_sub(lo).saturating_add(1).max(1) as u64;
        lo + (self.bits() % count) as i64
    }

    /// A number below `n`, which is at least 1.
    pub fn below(&mut self, n: usize) -> usize {
        (self.bits() % n as u64) as usize
    }

    /// A float in -1.0..1.0, a multiple of 2^-23.
    pub fn float(&mut self) -> f32 {
        self.int(-(1 << 23), (1 << 23) - 1) as f32 / (1 << 23) as f32
    }
}
