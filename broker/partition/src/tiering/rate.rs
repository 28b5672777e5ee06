//! No faster to the bucket, and from it, than the operator allows.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use freshet_env::objects::{Listing, ObjectBody, ObjectError, ObjectHead, ObjectWait};
use freshet_env::{Clock, Objects};
use parking_lot::Mutex;

use super::CopyCounts;
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

    /// Waits until so many bytes may go; whoever had to is counted among `held_up`.
    pub(super) async fn pass(&self, bytes: u64, held_up: Option<&FetchTimes>) {
        let mut since = None;
        loop {
            let now = self.clock.monotonic();
            let from = *since.get_or_insert(now.0);
            let free_at = {
                let mut throttle = self.throttle.lock();
                throttle.set_rate((self.wanted)(), now);
                if throttle.may_copy(now) {
                    throttle.copied(bytes, now);
                    if let Some(times) = held_up.filter(|_| now.0 > from) {
                        times.observe(now.0 - from);
                    }
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

/// Upper bounds of [`FetchTimes`]' buckets, ms; one more bucket holds the rest.
pub const FETCH_BOUNDS_MS: [u64; 12] = [
    5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 30_000,
];

/// How long requests took.
#[derive(Debug, Default)]
pub struct FetchTimes {
    buckets: [AtomicU64; FETCH_BOUNDS_MS.len() + 1],
    sum_ms: AtomicU64,
}

impl FetchTimes {
    /// Counts one.
    pub fn observe(&self, ms: u64) {
        let bucket = FETCH_BOUNDS_MS.partition_point(|&bound| bound < ms);
        self.buckets[bucket].fetch_add(1, Ordering::Relaxed);
        self.sum_ms.fetch_add(ms, Ordering::Relaxed);
    }

    /// Requests per bucket, not cumulative; the last one is above all bounds.
    pub fn buckets(&self) -> [u64; FETCH_BOUNDS_MS.len() + 1] {
        std::array::from_fn(|i| self.buckets[i].load(Ordering::Relaxed))
    }

    /// All of them together, ms.
    pub fn sum_ms(&self) -> u64 {
        self.sum_ms.load(Ordering::Relaxed)
    }
}

/// A store that is read from no faster than that.
#[derive(Debug)]
pub struct PacedReads {
    objects: Arc<dyn Objects>,
    rate: Rate,
    counts: Option<Arc<CopyCounts>>,
}

impl PacedReads {
    /// The same store, at that rate.
    pub fn new(objects: Arc<dyn Objects>, rate: Rate) -> Self {
        Self {
            objects,
            rate,
            counts: None,
        }
    }

    /// It counts how long the store takes, without what the rate holds up.
    #[must_use]
    pub fn timed(self, counts: Arc<CopyCounts>) -> Self {
        Self {
            counts: Some(counts),
            ..self
        }
    }

    async fn pass(&self, bytes: u64) {
        let counts = self.counts.as_ref();
        let held_up = counts.map(|counts| &counts.fetch_throttle_times);
        self.rate.pass(bytes, held_up).await;
    }

    async fn time<T>(&self, asking: ObjectWait<'_, T>) -> Result<T, ObjectError> {
        let from = self.rate.clock.monotonic().0;
        let answer = asking.await;
        if let Some(counts) = &self.counts {
            let until = self.rate.clock.monotonic().0;
            counts.fetch_times.observe(until.saturating_sub(from));
        }
        answer
    }
}

impl Objects for PacedReads {
    fn put_new<'a>(&'a self, key: &'a str, body: &'a mut dyn ObjectBody) -> ObjectWait<'a, ()> {
        self.objects.put_new(key, body)
    }

    fn get_range<'a>(&'a self, key: &'a str, range: Range<u64>) -> ObjectWait<'a, Bytes> {
        Box::pin(async move {
            let bytes = range.end.saturating_sub(range.start);
            self.pass(bytes).await;
            self.time(self.objects.get_range(key, range)).await
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
            self.pass(bytes).await;
            self.time(self.objects.get_pieces(key, range, piece)).await
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
        let counts = Arc::<CopyCounts>::default();
        let paced = PacedReads::new(objects, rate).timed(Arc::clone(&counts));
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
        // The store itself takes no time: it is the rate that was waited for.
        let times = &counts.fetch_times;
        assert_eq!(times.buckets().iter().sum::<u64>(), 5);
        assert!(times.sum_ms() < 500, "{} ms", times.sum_ms());
        // The first one is not held up, nor is the last.
        let held_up = &counts.fetch_throttle_times;
        let count = held_up.buckets().iter().sum::<u64>();
        assert!((2..=3).contains(&count), "{count}");
        assert!(
            (800..10_000).contains(&held_up.sum_ms()),
            "{} ms",
            held_up.sum_ms()
        );
    }

    #[test]
    fn times_are_counted_where_they_belong() {
        let times = FetchTimes::default();
        for ms in [0, 5, 6, 30_000, 30_001] {
            times.observe(ms);
        }
        let mut expected = [0; FETCH_BOUNDS_MS.len() + 1];
        (expected[0], expected[1], expected[11], expected[12]) = (2, 1, 1, 1);
        assert_eq!((times.buckets(), times.sum_ms()), (expected, 60_012));
    }
}
