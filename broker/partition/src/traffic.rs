//! What goes through the partitions of each topic on this broker.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Weak};

use freshet_types::TopicId;
use parking_lot::Mutex;

/// The counters of one topic. All its partitions on this broker share them, and they begin anew when
/// the last of these has gone.
#[derive(Debug, Default)]
pub struct Traffic {
    produced_bytes: AtomicU64,
    produced_records: AtomicU64,
    fetched_bytes: AtomicU64,
    remote: RemoteTraffic,
}

/// What of it goes to object storage, and comes from there; each only grows.
#[derive(Debug, Default)]
pub struct RemoteTraffic {
    /// Segments that were to be copied.
    pub copies: AtomicU64,
    /// Of these, those that failed, and were tried again.
    pub failed_copies: AtomicU64,
    /// Bytes of objects that were stored.
    pub copied_bytes: AtomicU64,
    /// Reads that were begun.
    pub reads: AtomicU64,
    /// Of these, those that failed.
    pub failed_reads: AtomicU64,
    /// Reads that a fetch has waited for in vain, as long as it may (`remote.fetch.max.wait.ms`).
    pub expired_reads: AtomicU64,
    /// The same of lookups by ListOffsets (`remote.list.offsets.request.timeout.ms`).
    pub expired_lookups: AtomicU64,
    /// Bytes of batches that they gave to who had waited for them.
    pub read_bytes: AtomicU64,
    /// Times that a log that begins anew asked for what is before it.
    pub beginnings: AtomicU64,
    /// Of these, those that were not answered.
    pub failed_beginnings: AtomicU64,
    /// Objects that were to be deleted. Those of a topic that is deleted are counted for the broker only: nobody
    /// leads it any more.
    pub deletions: AtomicU64,
    /// Of these, those that failed, and were tried again.
    pub failed_deletions: AtomicU64,
}

/// Counts more for all of these at once: the broker, and a topic.
pub(crate) fn count<'a>(
    these: impl IntoIterator<Item = &'a RemoteTraffic>,
    counter: fn(&RemoteTraffic) -> &AtomicU64,
    more: u64,
) {
    for it in these {
        counter(it).fetch_add(more, Relaxed);
    }
}

impl Traffic {
    /// What goes to object storage, and comes from there.
    pub fn remote(&self) -> &RemoteTraffic {
        &self.remote
    }

    /// Producers had this stored, retries not counted.
    pub(crate) fn produced(&self, bytes: u64, records: u64) {
        self.produced_bytes.fetch_add(bytes, Relaxed);
        self.produced_records.fetch_add(records, Relaxed);
    }

    /// Consumers are sent this.
    pub fn fetched(&self, bytes: u64) {
        self.fetched_bytes.fetch_add(bytes, Relaxed);
    }

    /// Bytes of batches that producers had stored.
    pub fn produced_bytes(&self) -> u64 {
        self.produced_bytes.load(Relaxed)
    }

    /// Records that producers had stored.
    pub fn produced_records(&self) -> u64 {
        self.produced_records.load(Relaxed)
    }

    /// Bytes of batches that consumers were sent.
    pub fn fetched_bytes(&self) -> u64 {
        self.fetched_bytes.load(Relaxed)
    }
}

/// Gives partitions of one topic the same counters.
#[derive(Debug, Default)]
pub(crate) struct TrafficByTopic {
    known: Mutex<HashMap<TopicId, Weak<Traffic>>>,
}

impl TrafficByTopic {
    pub(crate) fn of(&self, topic: TopicId) -> Arc<Traffic> {
        let mut known = self.known.lock();
        if let Some(traffic) = known.get(&topic).and_then(Weak::upgrade) {
            return traffic;
        }
        // Before the map grows: what is gone may make the room.
        if known.len() == known.capacity() {
            known.retain(|_, traffic| traffic.strong_count() > 0);
        }
        let traffic = Arc::default();
        known.insert(topic, Arc::downgrade(&traffic));
        traffic
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partitions_of_a_topic_share_what_they_count() {
        let topics = TrafficByTopic::default();
        let (a, b) = (topics.of(TopicId([1; 16])), topics.of(TopicId([1; 16])));
        let other = topics.of(TopicId([2; 16]));
        a.produced(10, 2);
        b.produced(5, 1);
        b.fetched(7);
        assert_eq!((a.produced_bytes(), a.produced_records()), (15, 3));
        assert_eq!(a.fetched_bytes(), 7);
        assert_eq!(other.produced_bytes(), 0);
        drop((a, b));
        assert_eq!(topics.of(TopicId([1; 16])).produced_bytes(), 0, "anew");
    }

    #[test]
    fn topics_that_are_gone_take_no_memory() {
        let topics = TrafficByTopic::default();
        let kept = topics.of(TopicId([255; 16]));
        for n in 0..10_000_u128 {
            drop(topics.of(TopicId(n.to_le_bytes())));
        }
        assert!(topics.known.lock().len() < 100);
        kept.fetched(1);
        assert_eq!(topics.of(TopicId([255; 16])).fetched_bytes(), 1);
    }
}
