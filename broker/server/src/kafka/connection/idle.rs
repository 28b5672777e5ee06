//! How long a connection has been silent.

use std::time::Duration;

use tokio::time::Instant;

use crate::kafka::alarm::Alarm;

/// Counts from the last thing that came.
#[derive(Debug)]
pub(super) struct Idle {
    limit: Duration,
    since: Instant,
    alarm: Alarm,
}

impl Idle {
    pub(super) fn new(limit: Duration) -> Self {
        Self {
            limit,
            since: Instant::now(),
            alarm: Alarm::new(),
        }
    }

    /// Something came.
    pub(super) fn active(&mut self) {
        self.since = Instant::now();
    }

    /// Ends once nothing has come for the limit. May be cancelled and called again.
    pub(super) async fn over(&self) {
        self.alarm.at(self.since + self.limit).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(60);

    #[tokio::test(start_paused = true)]
    async fn silence_is_counted_from_the_last_request() {
        let start = Instant::now();
        let mut idle = Idle::new(LIMIT);
        for _ in 0..3 {
            let early = tokio::time::timeout(LIMIT / 2, idle.over()).await;
            assert!(early.is_err());
            idle.active();
        }
        idle.over().await;
        assert_eq!(start.elapsed().as_secs(), 150);
    }
}
