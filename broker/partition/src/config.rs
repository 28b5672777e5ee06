//! From a topic's resolved settings to what its logs need.

use freshet_log::{Cleanup, Durability, LogConfig, Tiered};
use freshet_records::{Codec, Compression, TimestampType};
use freshet_settings as settings;

/// The settings of all logs of a topic.
pub(crate) fn log_config(
    topic: &settings::TopicConfig,
    tier: &settings::TopicTier,
    logs: &settings::LogSettings,
) -> LogConfig {
    let tiered = Tiered {
        copies: !tier.copy_disabled,
        local_retention_ms: tier.local_retention_ms,
        local_retention_bytes: tier.local_retention_bytes,
        copy_lag_ms: tier.copy_lag_ms,
        copy_lag_bytes: tier.copy_lag_bytes,
    };
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
        tiered: tier.enabled.then_some(tiered),
        cleanup: Cleanup {
            delete: topic.cleanup_delete,
            compact: topic.cleanup_compact,
        },
        max_message_bytes: topic.max_message_bytes,
        timestamp_type: match topic.timestamp_type {
            settings::TimestampType::CreateTime => TimestampType::CreateTime,
            settings::TimestampType::LogAppendTime => TimestampType::LogAppendTime,
        },
        timestamp_before_max_ms: no_limit(topic.timestamp_before_max_ms),
        timestamp_after_max_ms: no_limit(topic.timestamp_after_max_ms),
        recompress: recompress(topic.compression),
        flush_messages: no_limit(topic.flush_messages),
        flush_ms: no_limit(topic.flush_ms),
        preallocate: topic.preallocate,
        producer_expiration_ms: logs.producer_expiration_ms,
        max_producers: logs.producers_max,
    }
}

/// Kafka writes "no limit" as its largest long; the log knows it as `u64::MAX`, and looks into the
/// records of every batch when there is a limit.
fn no_limit(value: u64) -> u64 {
    if value >= i64::MAX as u64 {
        u64::MAX
    } else {
        value
    }
}

/// `None` keeps what producers send.
fn recompress(compression: settings::CompressionType) -> Option<Compression> {
    let (codec, level) = match compression {
        settings::CompressionType::Producer => return None,
        settings::CompressionType::Uncompressed => (Codec::None, None),
        // Kafka's -1 is the codec's own choice.
        settings::CompressionType::Gzip(level) => (Codec::Gzip, Some(level).filter(|&l| l != -1)),
        settings::CompressionType::Snappy => (Codec::Snappy, None),
        settings::CompressionType::Lz4(level) => (Codec::Lz4, Some(level)),
        settings::CompressionType::Zstd(level) => (Codec::Zstd, Some(level)),
    };
    Some(Compression { codec, level })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use freshet_settings::{Layers, Overrides, StaticSettingsBuilder};

    use super::*;

    #[test]
    fn a_topic_without_settings_has_logs_that_keep_batches_closed() {
        let (statics, _) = StaticSettingsBuilder::default()
            .finish()
            .expect("defaults are legal");
        let layers = Layers::of(Arc::new(statics));
        let none = Overrides::default();
        let (topic, tier) = (layers.topic(&none), layers.topic_tier(&none));
        let config = log_config(&topic, &tier, &layers.logs());
        assert_eq!(config, LogConfig::default());
    }
}
