//! Time. One door, two hands: monotonic for deadlines, wall for what is stored or shown.

use std::fmt::Debug;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use freshet_types::{Millis, Now, Timestamp};

/// Tells the time.
pub trait Clock: Debug + Send + Sync + 'static {
    /// Microseconds of the monotonic clock, since this clock was made; for latency figures.
    fn micros(&self) -> u64;

    /// Wall-clock milliseconds since the Unix epoch.
    fn wall(&self) -> Timestamp;

    /// Monotonic milliseconds since this clock was made.
    fn monotonic(&self) -> Millis {
        Millis(self.micros() / 1000)
    }

    /// Both hands at once.
    fn now(&self) -> Now {
        Now {
            monotonic: self.monotonic(),
            wall: self.wall(),
        }
    }
}

/// The operating system's clocks.
#[derive(Debug)]
pub struct SystemClock {
    start: Instant,
}

impl SystemClock {
    /// Starts the monotonic hand at zero.
    #[expect(clippy::disallowed_methods, reason = "this is the door")]
    #[expect(
        clippy::new_without_default,
        reason = "a clock is made once, on purpose"
    )]
    pub fn new() -> Self {
        Self {
            start: Instant::now(),
        }
    }
}

impl Clock for SystemClock {
    fn micros(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    #[expect(clippy::disallowed_methods, reason = "this is the door")]
    fn wall(&self) -> Timestamp {
        let since = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        Timestamp(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
    }
}
