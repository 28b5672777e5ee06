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

pub(super) fn count(counter: &AtomicU64) {
    count_up(counter, 1);
}

pub(super) fn count_up(counter: &AtomicU64, by: u64) {
    counter.fetch_add(by, Ordering::Relaxed);
}
