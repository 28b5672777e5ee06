//! Randomness that a seed repeats.

use std::sync::atomic::{AtomicU64, Ordering};

use freshet_env::Rng;

use crate::Dice;

/// Gives the same bytes in the same order for the same seed.
#[derive(Debug)]
pub struct FakeRng {
    dice: Dice,
    taken: AtomicU64,
}

impl FakeRng {
    /// The stream of a seed.
    pub fn new(seed: u64) -> Self {
        Self {
            dice: Dice::new(seed),
            taken: AtomicU64::new(0),
        }
    }
}

impl Rng for FakeRng {
    fn fill(&self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            let word = self.dice.roll(self.taken.fetch_add(1, Ordering::Relaxed));
            chunk.copy_from_slice(&word.to_le_bytes()[..chunk.len()]);
        }
    }
}
