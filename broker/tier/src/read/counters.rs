//! What readers have done, counted for whoever makes metrics of it.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counts since the start; each only grows.
#[derive(Debug, Default)]
pub struct Counters {
    /// Requests sent to the store.
    pub requests: AtomicU64,
    /// Bytes that came of them.
    pub fetched_bytes: AtomicU64,
    /// Requests that failed, by the store's word.
    pub failed: AtomicU64,
    /// Chunks wanted by a reader.
    pub wanted: AtomicU64,
    /// Of these, those that were in memory.
    pub hits: AtomicU64,
    /// Of these, those that somebody was fetching already.
    pub joined: AtomicU64,
    /// Chunks fetched before anybody wanted them.
    pub prefetched: AtomicU64,
    /// Of these, those that were wanted then.
    pub prefetch_hits: AtomicU64,
    /// Answers that were not what was written, or cut; each is asked for once more.
    pub damaged: AtomicU64,
    /// Bytes of batches handed out.
    pub read_bytes: AtomicU64,
}

/// What the disk cache has done; each only grows.
#[derive(Debug, Default)]
pub struct DiskCounters {
    /// Chunks that were not in memory and came from there.
    pub hits: AtomicU64,
    /// Chunks that were not in memory and did not come from there.
    pub misses: AtomicU64,
    /// Of these, those that were there and did not come in time.
    pub late: AtomicU64,
    /// Of these, those that were not what had been written.
    pub damaged: AtomicU64,
    /// Bytes of chunks written.
    pub written_bytes: AtomicU64,
    /// Chunks that were to be written, and were not: the disk is slower than the readers, or rests.
    pub dropped: AtomicU64,
    /// Times that the disk failed.
    pub failed: AtomicU64,
}

pub(super) fn count(counter: &AtomicU64) {
    count_up(counter, 1);
}

pub(super) fn count_up(counter: &AtomicU64, by: u64) {
    counter.fetch_add(by, Ordering::Relaxed);
}
