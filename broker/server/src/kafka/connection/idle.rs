//! How long a connection has been silent.

use std::pin::Pin;
use std::time::Duration;

use tokio::time::{Instant, Sleep};

/// One timer for the life of a connection. It is set again only when it fires: setting it at each
/// request would wake the poller each time, because a new timer may be its earliest.
#[derive(Debug)]
pub(super) struct Idle {
    limit: Duration,
    since: Instant,
    timer: Pin<Box<Sleep>>,
}

impl Idle {
    pub(super) fn new(limit: Duration) -> Self {
        let since = Instant::now();
        let timer = Box::pin(tokio::time::sleep_until(since + limit));
        Self {
            limit,
            since,
            timer,
        }
    }

    /// Something came.
    pub(super) fn active(&mut self) {
        self.since = Instant::now();
    }

    /// Ends once nothing has come for the limit. May be cancelled and called again.
    pub(super) async fn over(&mut self) {
        loop {
            self.timer.as_mut().await;
            let due = self.since + self.limit;
            if due <= Instant::now() {
                return;
            }
            self.timer.as_mut().reset(due);
        }
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
