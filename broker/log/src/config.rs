//! What a topic's settings mean to its logs. Kafka's names and defaults (4.4).

use freshet_records::{Compression, TimestampType};

/// When an append counts as flushed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Durability {
    /// After fdatasync: what is acknowledged survives power loss.
    #[default]
    Fsync,
    /// Right after the write: what is acknowledged survives the process, not the machine.
    PageCache,
}

/// `cleanup.policy` as two independent wishes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cleanup {
    /// Old segments are deleted by time and size.
    pub delete: bool,
    /// Only the last value of a key is kept; records without a key are refused.
    pub compact: bool,
}

/// What becomes of a log whose closed segments are copied to object storage (`remote.storage.enable`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tiered {
    /// Whether more are copied (`remote.log.copy.disable`).
    pub copies: bool,
    /// `local.retention.ms`; `None` keeps records here whatever their age.
    pub local_retention_ms: Option<u64>,
    /// `local.retention.bytes`; `None` keeps records here whatever the size.
    pub local_retention_bytes: Option<u64>,
    /// A closed segment may be copied once its newest record is this old (`remote.copy.lag.ms`); `None`
    /// leaves it to the bytes.
    pub copy_lag_ms: Option<u64>,
    /// Or once this much lies after it (`remote.copy.lag.bytes`); `None` leaves it to the time.
    pub copy_lag_bytes: Option<u64>,
}

/// Settings of one log. Replaced as a whole by [`crate::LogHandle::configure`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogConfig {
    /// When an append counts as flushed.
    pub durability: Durability,
    /// `segment.bytes`: a segment is closed before it would exceed this.
    pub segment_bytes: u64,
    /// `segment.ms`: a segment is closed this long after its first record's timestamp.
    pub segment_ms: u64,
    /// `segment.jitter.ms`: at most this much is taken off `segment_ms`, by a hash of the segment.
    pub segment_jitter_ms: u64,
    /// `segment.index.bytes`: bound of one segment's index; reaching it thins the index.
    pub segment_index_bytes: u64,
    /// `index.interval.bytes`: how far index entries are apart, at least.
    pub index_interval_bytes: u64,
    /// `retention.ms`; `None` keeps records whatever their age.
    pub retention_ms: Option<u64>,
    /// `retention.bytes`; `None` keeps records whatever the size.
    pub retention_bytes: Option<u64>,
    /// For a log that is copied to object storage.
    pub tiered: Option<Tiered>,
    /// `cleanup.policy`.
    pub cleanup: Cleanup,
    /// `max.message.bytes`: largest batch as stored.
    pub max_message_bytes: u32,
    /// `message.timestamp.type`.
    pub timestamp_type: TimestampType,
    /// `message.timestamp.before.max.ms`: how far a timestamp may lie in the past.
    pub timestamp_before_max_ms: u64,
    /// `message.timestamp.after.max.ms`: how far a timestamp may lie in the future.
    pub timestamp_after_max_ms: u64,
    /// `compression.type` with its level; `None` is `producer`: batches stay as they were sent.
    pub recompress: Option<Compression>,
    /// `flush.messages`: with [`Durability::PageCache`], fdatasync after so many records.
    pub flush_messages: u64,
    /// `flush.ms`: with [`Durability::PageCache`], fdatasync after so long; checked twice a second.
    pub flush_ms: u64,
    /// `preallocate`: reserve blocks ahead of the end of the active segment.
    pub preallocate: bool,
    /// `producer.id.expiration.ms`: idle producers are forgotten after this.
    pub producer_expiration_ms: u64,
    /// Producers remembered per log; the longest idle is forgotten first. Ours, not Kafka's.
    pub max_producers: usize,
}

const DAY_MS: u64 = 86_400_000;

impl LogConfig {
    /// Kafka's defaults.
    pub const DEFAULT: Self = Self {
        durability: Durability::Fsync,
        segment_bytes: 1 << 30,
        segment_ms: 7 * DAY_MS,
        segment_jitter_ms: 0,
        segment_index_bytes: 10 << 20,
        index_interval_bytes: 4096,
        retention_ms: Some(7 * DAY_MS),
        retention_bytes: None,
        tiered: None,
        cleanup: Cleanup {
            delete: true,
            compact: false,
        },
        max_message_bytes: 1_048_588,
        timestamp_type: TimestampType::CreateTime,
        timestamp_before_max_ms: u64::MAX,
        timestamp_after_max_ms: 3_600_000,
        recompress: None,
        flush_messages: u64::MAX,
        flush_ms: u64::MAX,
        preallocate: false,
        producer_expiration_ms: DAY_MS,
        max_producers: 100_000,
    };
}

impl LogConfig {
    /// How old records may get on this disk, in ms, and how many bytes of them may be there.
    pub fn local_retention(&self) -> (Option<u64>, Option<u64>) {
        match self.tiered {
            // What is in object storage is deleted by nobody who frees this disk.
            Some(tiered) if tiered.copies => {
                (tiered.local_retention_ms, tiered.local_retention_bytes)
            }
            _ if !self.cleanup.delete => (None, None),
            _ => (self.retention_ms, self.retention_bytes),
        }
    }
}

impl Default for LogConfig {
    fn default() -> Self {
        Self::DEFAULT
    }
}
