//! Counters of the log, read by whoever shows metrics. One set per [`crate::Writers`].

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Upper bounds of [`Latency`]'s buckets in microseconds; one more bucket holds the rest.
pub const LATENCY_BOUNDS_MICROS: [u64; 14] = [
    50, 100, 200, 400, 800, 1_600, 3_200, 6_400, 12_800, 25_600, 51_200, 102_400, 409_600,
    1_638_400,
];

/// A histogram with fixed buckets.
#[derive(Debug, Default)]
pub struct Latency {
    buckets: [AtomicU64; LATENCY_BOUNDS_MICROS.len() + 1],
    sum_micros: AtomicU64,
}

impl Latency {
    /// Counts one observation.
    pub fn observe(&self, micros: u64) {
        let bucket = LATENCY_BOUNDS_MICROS.partition_point(|&bound| bound < micros);
        self.buckets[bucket].fetch_add(1, Relaxed);
        self.sum_micros.fetch_add(micros, Relaxed);
    }

    /// Observations per bucket, not cumulative; the last one is above all bounds.
    pub fn buckets(&self) -> [u64; LATENCY_BOUNDS_MICROS.len() + 1] {
        std::array::from_fn(|i| self.buckets[i].load(Relaxed))
    }

    /// How many were observed.
    pub fn count(&self) -> u64 {
        self.buckets().iter().sum()
    }

    /// Sum of all observations.
    pub fn sum_micros(&self) -> u64 {
        self.sum_micros.load(Relaxed)
    }
}

/// What all logs of a broker did since it started. All counters only grow.
#[derive(Debug, Default)]
pub struct LogMetrics {
    /// Batches written.
    pub batches: AtomicU64,
    /// Records written.
    pub records: AtomicU64,
    /// Bytes of batches written.
    pub bytes: AtomicU64,
    /// Retries of idempotent producers that were answered from memory.
    pub duplicates: AtomicU64,
    /// Appends refused.
    pub refused: AtomicU64,
    /// Vectored writes, one per partition and drain.
    pub writes: Latency,
    /// fdatasync calls.
    pub fsyncs: Latency,
    /// Bytes served from the hot tail.
    pub hot_read_bytes: AtomicU64,
    /// Bytes served from files.
    pub file_read_bytes: AtomicU64,
    /// Reads that had to wait for the device, on a reader thread.
    pub cold_reads: AtomicU64,
    /// Stored batches that failed their CRC.
    pub corrupt_reads: AtomicU64,
    /// Segments deleted by retention or trimming.
    pub segments_deleted: AtomicU64,
}

impl LogMetrics {
    pub(crate) fn count_hot_read(&self, bytes: u64) {
        self.hot_read_bytes.fetch_add(bytes, Relaxed);
    }

    pub(crate) fn count_file_read(&self, bytes: u64) {
        self.file_read_bytes.fetch_add(bytes, Relaxed);
    }

    pub(crate) fn count_cold_read(&self) {
        self.cold_reads.fetch_add(1, Relaxed);
    }

    pub(crate) fn count_corrupt_read(&self) {
        self.corrupt_reads.fetch_add(1, Relaxed);
    }

    pub(crate) fn count_batches(&self, batches: u64, records: u64, bytes: u64) {
        self.batches.fetch_add(batches, Relaxed);
        self.records.fetch_add(records, Relaxed);
        self.bytes.fetch_add(bytes, Relaxed);
    }
}
