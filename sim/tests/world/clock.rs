//! A host's clocks. The monotonic one never goes back, but it runs fast or slow, and jumps ahead.

use freshet_types::{Millis, Now, Timestamp};

/// See the module. `u64` are milliseconds of the world's own time.
#[derive(Debug, Clone)]
pub(crate) struct Clock {
    /// When the rate last changed, in the world's time and in this clock's.
    base: (u64, u64),
    /// Milliseconds that pass here in 1000 of the world.
    rate: u64,
    /// What the wall clock says beside that: it goes either way.
    wall: i64,
}

impl Clock {
    pub(crate) fn new(start: u64) -> Self {
        Self {
            base: (0, start),
            rate: 1000,
            wall: 0,
        }
    }

    pub(crate) fn read(&self, now: u64) -> Millis {
        Millis(self.base.1 + (now - self.base.0) * self.rate / 1000)
    }

    pub(crate) fn now(&self, now: u64) -> Now {
        let monotonic = self.read(now);
        let since = i64::try_from(monotonic.0).unwrap();
        Now {
            monotonic,
            wall: Timestamp(1_700_000_000_000 + since + self.wall),
        }
    }

    /// When, in the world's time, this clock will show `at`.
    pub(crate) fn when(&self, now: u64, at: Millis) -> u64 {
        let left = (at - self.read(now)).min(1_000_000);
        now + left * 1000 / self.rate + u64::from(left > 0)
    }

    /// Runs at another rate from now on, and jumps ahead first.
    pub(crate) fn disturb(&mut self, now: u64, rate: u64, ahead_ms: u64) {
        self.base = (now, self.read(now).0 + ahead_ms);
        self.rate = rate;
    }

    pub(crate) fn set_wall(&mut self, offset: i64) {
        self.wall = offset;
    }
}
