//! Decisions drawn from a seed and a name.

use std::hash::{Hash, Hasher};

/// Answers the same question always the same way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dice {
    seed: u64,
}

impl Dice {
    /// The dice of a seed.
    pub fn new(seed: u64) -> Self {
        Self { seed }
    }

    /// Dice for everything below a name.
    pub fn of(self, name: impl Hash) -> Self {
        Self {
            seed: self.roll(name),
        }
    }

    /// 64 bits for a name.
    pub fn roll(self, name: impl Hash) -> u64 {
        let mut mixer = Mixer(self.seed);
        name.hash(&mut mixer);
        mixer.finish()
    }

    /// A number below `bound`, which must not be 0.
    pub fn below(self, bound: u64, name: impl Hash) -> u64 {
        self.roll(name) % bound
    }

    /// True in `percent` of 100 cases.
    pub fn chance(self, percent: u64, name: impl Hash) -> bool {
        self.below(100, name) < percent
    }
}

/// The standard library's hashers may change between versions, which would change what seeds do.
struct Mixer(u64);

impl Hasher for Mixer {
    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.write_u64(u64::from(byte));
        }
    }

    fn write_u64(&mut self, value: u64) {
        // One step of SplitMix64 (Steele, Lea, Flood 2014).
        let mut z = (self.0 ^ value).wrapping_add(0x9e37_79b9_7f4a_7c15);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        self.0 = z ^ (z >> 31);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}
