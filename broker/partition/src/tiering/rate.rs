//! No faster to the bucket, and from it, than the operator allows.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use freshet_env::objects::{Listing, ObjectBody, ObjectHead, ObjectWait};
use freshet_env::{Clock, Objects};
use parking_lot::Mutex;

use crate::replication::Throttle;

/// Bytes a second, as of now; `u64::MAX` for no bound.
pub type BytesPerSecond = Arc<dyn Fn() -> u64 + Send + Sync>;

/// One bound for all that goes one way.
pub struct Rate {
    throttle: Mutex<Throttle>,
    clock: Arc<dyn Clock>,
    wanted: BytesPerSecond,
}

impl fmt::Debug for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Rate({})", (self.wanted)())
    }
}

impl Rate {
    /// A rate that is asked for each time.
    pub fn new(clock: Arc<dyn Clock>, wanted: BytesPerSecond) -> Self {
        Self {
            throttle: Mutex::new(Throttle::new(u64::MAX)),
            clock,
            wanted,
        }
    }

    /// Waits until so many bytes may go.
    pub(super) async fn pass(&self, bytes: u64) {
        loop {
            let now = self.clock.monotonic();
            let free_at = {
                let mut throttle = self.throttle.lock();
                throttle.set_rate((self.wanted)(), now);
                if throttle.may_copy(now) {
                    throttle.copied(bytes, now);
                    return;
                }
                throttle.free_at()
            };
            // Not much longer: the rate may become another one.
            let wait = free_at.0.saturating_sub(now.0).clamp(1, 1000);
            tokio::time::sleep(Duration::from_millis(wait)).await;
        }
    }
}

/// A store that is read from no faster than that.
#[derive(Debug)]
pub struct PacedReads {
    objects: Arc<dyn Objects>,
    rate: Rate,
}

impl PacedReads {
    /// The same store, at that rate.
    pub fn new(objects: Arc<dyn Objects>, rate: Rate) -> Self {
        Self { objects, rate }
    }
}

impl Objects for PacedReads {
    fn put_new<'a>(&'a self, key: &'a str, body: &'a mut dyn ObjectBody) -> ObjectWait<'a, ()> {
        self.objects.put_new(key, body)
    }

    fn get_range<'a>(&'a self, key: &'a str, range: Range<u64>) -> ObjectWait<'a, Bytes> {
        Box::pin(async move {
            let bytes = range.end.saturating_sub(range.start);
            self.rate.pass(bytes).await;
            self.objects.get_range(key, range).await
        })
    }

    fn get_pieces<'a>(
        &'a self,
        key: &'a str,
        range: Range<u64>,
        piece: usize,
    ) -> ObjectWait<'a, Vec<Bytes>> {
        Box::pin(async move {
            let bytes = range.end.saturating_sub(range.start);
            self.rate.pass(bytes).await;
            self.objects.get_pieces(key, range, piece).await
        })
    }

    fn head<'a>(&'a self, key: &'a str) -> ObjectWait<'a, ObjectHead> {
        self.objects.head(key)
    }

    fn list<'a>(
        &'a self,
        prefix: &'a str,
        after: Option<&'a str>,
        at_most: usize,
    ) -> ObjectWait<'a, Listing> {
        self.objects.list(prefix, after, at_most)
    }

    fn delete<'a>(&'a self, key: &'a str) -> ObjectWait<'a, ()> {
        self.objects.delete(key)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use freshet_env::SystemClock;
    use freshet_env::objects::MemoryObjects;

    use super::*;

    #[tokio::test]
    async fn reads_are_as_fast_as_the_rate_of_the_moment() {
        let objects = Arc::new(MemoryObjects::default());
        let bytes = Bytes::from(vec![7; 5000]);
        let put = objects.put_new("a", &mut bytes.clone()).await;
        put.expect("room");
        let wanted = Arc::new(AtomicU64::new(10_000));
        let asked = Arc::clone(&wanted);
        let clock = Arc::new(SystemClock::new());
        let rate = Rate::new(
            Arc::clone(&clock) as Arc<dyn Clock>,
            Arc::new(move || asked.load(Ordering::Relaxed)),
        );
        let paced = PacedReads::new(objects, rate);
        let read = async || assert_eq!(paced.get_range("a", 0..5000).await, Ok(bytes.clone()));
        let from = clock.monotonic().0;
        for _ in 0..3 {
            read().await;
        }
        let took = clock.monotonic().0 - from;
        assert!((800..5000).contains(&took), "{took} ms");
        // The next one would wait for an hour.
        wanted.store(1, Ordering::Relaxed);
        read().await;
        wanted.store(u64::MAX, Ordering::Relaxed);
        read().await;
        let took = clock.monotonic().0 - from;
        assert!(took < 10_000, "{took} ms");
    }
}
