//! The timer of a connection's waiting request.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::time::{Instant, Sleep};

/// One timer for all requests of a connection that wait, one after the other. Each sets it to a later
/// time than the one before, which costs nothing; a timer for each request would often be the
/// earliest of its thread and wake the poller just to tell it so.
#[derive(Debug, Clone)]
pub(crate) struct Alarm(Arc<Mutex<Pin<Box<Sleep>>>>);

impl Alarm {
    pub(crate) fn new() -> Self {
        let timer = tokio::time::sleep_until(Instant::now());
        Self(Arc::new(Mutex::new(Box::pin(timer))))
    }

    /// Ends at `deadline`. Two waits at once would take each other's deadline; a connection has one.
    pub(crate) async fn at(&self, deadline: Instant) {
        self.0.lock().as_mut().reset(deadline);
        poll_fn(|context| self.0.lock().as_mut().poll(context)).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[tokio::test(start_paused = true)]
    async fn each_wait_has_its_own_deadline() {
        let alarm = Alarm::new();
        let second = Duration::from_secs(1);
        let start = Instant::now();
        let given_up = tokio::time::timeout(second / 2, alarm.at(start + second)).await;
        assert!(given_up.is_err());
        alarm.at(start + 3 * second).await;
        assert_eq!(start.elapsed(), 3 * second, "not at the first one's");
        alarm.at(start + 5 * second).await;
        assert_eq!(start.elapsed(), 5 * second);
        alarm.at(start).await;
        assert_eq!(start.elapsed(), 5 * second, "over already");
    }
}
