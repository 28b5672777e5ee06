//! Time that moves only when told.

use std::sync::atomic::{AtomicU64, Ordering};

use freshet_env::Clock;
use freshet_types::Timestamp;

/// Both hands stand still until [`FakeClock::advance`].
#[derive(Debug)]
pub struct FakeClock {
    start: Timestamp,
    micros: AtomicU64,
}

impl FakeClock {
    /// A clock whose wall hand starts at `start`.
    pub fn new(start: Timestamp) -> Self {
        Self {
            start,
            micros: AtomicU64::new(0),
        }
    }

    /// Moves both hands.
    pub fn advance(&self, millis: u64) {
        self.micros.fetch_add(millis * 1000, Ordering::SeqCst);
    }
}

impl Clock for FakeClock {
    fn micros(&self) -> u64 {
        self.micros.load(Ordering::SeqCst)
    }

    fn wall(&self) -> Timestamp {
        let millis = self.micros() / 1000;
        Timestamp(self.start.0.saturating_add_unsigned(millis))
    }
}
