//! From a topic's resolved settings to what its logs need.

use freshet_log::{Cleanup, Durability, LogConfig, Recompress, TimestampType};
use freshet_settings as settings;

/// The settings of all logs of a topic.
pub(crate) fn log_config(topic: &settings::TopicConfig, logs: &settings::LogSettings) -> LogConfig {
    LogConfig {
        durability: match topic.durability {
            settings::Durability::Fsync => Durability::Fsync,
            settings::Durability::PageCache => Durability::PageCache,
        },
        segment_bytes: topic.segment_bytes,
        segment_ms: topic.segment_ms,
        segment_jitter_ms: topic.segment_jitter_ms,
        segment_index_bytes: topic.segment_index_bytes,
        index_interval_bytes: topic.index_interval_bytes,
        retention_ms: topic.retention_ms,
        retention_bytes: topic.retention_bytes,
        cleanup: Cleanup {
            delete: topic.cleanup_delete,
            compact: topic.cleanup_compact,
        },
        max_message_bytes: topic.max_message_bytes,
        timestamp_type: match topic.timestamp_type {
            settings::TimestampType::CreateTime => TimestampType::CreateTime,
            settings::TimestampType::LogAppendTime => TimestampType::LogAppendTime,
        },
        timestamp_before_max_ms: topic.timestamp_before_max_ms,
        timestamp_after_max_ms: topic.timestamp_after_max_ms,
        recompress: recompress(topic.compression),
        flush_messages: topic.flush_messages,
        flush_ms: topic.flush_ms,
        preallocate: topic.preallocate,
        producer_expiration_ms: logs.producer_expiration_ms,
        max_producers: logs.producers_max,
    }
}

fn recompress(compression: settings::CompressionType) -> Recompress {
    match compression {
        settings::CompressionType::Producer => Recompress::Producer,
        settings::CompressionType::Uncompressed => Recompress::Uncompressed,
        settings::CompressionType::Gzip(level) => Recompress::Gzip(level),
        settings::CompressionType::Snappy => Recompress::Snappy,
        settings::CompressionType::Lz4(level) => Recompress::Lz4(level),
        settings::CompressionType::Zstd(level) => Recompress::Zstd(level),
    }
}
