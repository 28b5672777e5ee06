//! Object storage: the slice, and its rule.

use crate::SettingError;
use crate::cross::contradiction;
use crate::layers::Layers;

const ENABLE: &str = "remote.log.storage.system.enable";
const URL: &str = "remote.log.storage.url";

/// How segments leave for object storage, and are read there. What of a topic does, the topic says
/// ([`crate::TopicTier`]).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TierSettings {
    /// `remote.log.storage.system.enable`. Read once, at start.
    pub enabled: bool,
    /// `remote.log.storage.url`; there is one when `enabled`. Read once, at start.
    pub url: Option<String>,
    /// `remote.log.manager.task.interval.ms`.
    pub interval_ms: u64,
    /// `remote.log.manager.copier.thread.pool.size`: segments that are copied at a time. Dynamic.
    pub copiers: usize,
    /// `remote.log.manager.copy.max.bytes.per.second`; `u64::MAX` for no bound. Dynamic.
    pub copy_bytes_per_second: u64,
    /// `remote.log.manager.fetch.max.bytes.per.second`; `u64::MAX` for no bound. Dynamic.
    pub fetch_bytes_per_second: u64,
    /// `remote.fetch.max.wait.ms`: how long a fetch waits for object storage. Dynamic.
    pub fetch_max_wait_ms: u64,
    /// `remote.list.offsets.request.timeout.ms`: how long ListOffsets does, where it does not say. Dynamic.
    pub list_offsets_wait_ms: u64,
    /// `freshet.remote.scrub.interval.ms`: how often all that is in object storage is looked at. Dynamic.
    pub scrub_interval_ms: u64,
    /// `freshet.remote.scrub.bytes.per.second`: how fast it is read back; 0 for never. Dynamic.
    pub scrub_bytes_per_second: u64,
    /// `freshet.remote.export.interval.ms`: how often topics, settings and positions are exported, if they
    /// have changed; 0 for never. Dynamic.
    pub export_interval_ms: u64,
    /// `rlmm.config.remote.log.metadata.topic.num.partitions`.
    pub metadata_partitions: i32,
    /// `rlmm.config.remote.log.metadata.topic.replication.factor`.
    pub metadata_replication_factor: i16,
    /// `rlmm.config.remote.log.metadata.topic.min.isr`.
    pub metadata_min_insync_replicas: u32,
}

impl Layers {
    /// How segments leave for object storage.
    pub fn tier(&self) -> TierSettings {
        let rate = |name| match self.long(name) {
            // Kafka writes "no bound" as its largest long.
            i64::MAX => u64::MAX,
            rate => u64::try_from(rate).unwrap_or(0),
        };
        let metadata = |name| i32::try_from(self.long(name)).unwrap_or(1);
        let replicas = metadata("rlmm.config.remote.log.metadata.topic.replication.factor");
        let in_sync = metadata("rlmm.config.remote.log.metadata.topic.min.isr");
        TierSettings {
            enabled: self.flag(ENABLE),
            url: self.value(URL).map(str::to_owned),
            interval_ms: self.unsigned("remote.log.manager.task.interval.ms"),
            copiers: self.size("remote.log.manager.copier.thread.pool.size"),
            copy_bytes_per_second: rate("remote.log.manager.copy.max.bytes.per.second"),
            fetch_bytes_per_second: rate("remote.log.manager.fetch.max.bytes.per.second"),
            fetch_max_wait_ms: self.unsigned("remote.fetch.max.wait.ms"),
            list_offsets_wait_ms: self.unsigned("remote.list.offsets.request.timeout.ms"),
            scrub_interval_ms: self.unsigned("freshet.remote.scrub.interval.ms"),
            scrub_bytes_per_second: rate("freshet.remote.scrub.bytes.per.second"),
            export_interval_ms: self.unsigned("freshet.remote.export.interval.ms"),
            metadata_partitions: metadata("rlmm.config.remote.log.metadata.topic.num.partitions"),
            metadata_replication_factor: i16::try_from(replicas).unwrap_or(1),
            metadata_min_insync_replicas: u32::try_from(in_sync).unwrap_or(1),
        }
    }
}

/// Object storage that is switched on is somewhere.
pub(crate) fn check(layers: &Layers) -> Result<(), SettingError> {
    let tier = layers.tier();
    if !tier.enabled || tier.url.is_some() {
        return Ok(());
    }
    let expected = "say where the objects are: s3://bucket/prefix, gs://bucket/prefix, \
                    az://container/prefix or file:///folder";
    Err(contradiction(ENABLE, URL, expected.to_owned()))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{Overrides, Scope, Setting, StaticSettingsBuilder};

    fn layers(set: &[&str]) -> Result<Layers, SettingError> {
        let mut builder = StaticSettingsBuilder::default();
        for argument in set {
            builder = builder.set(argument)?;
        }
        Ok(Layers::of(Arc::new(builder.finish()?.0)))
    }

    #[test]
    fn defaults_are_kafkas_where_kafka_has_them() {
        let tier = Layers::default().tier();
        let expected = TierSettings {
            enabled: false,
            url: None,
            interval_ms: 30_000,
            copiers: 10,
            copy_bytes_per_second: u64::MAX,
            fetch_bytes_per_second: u64::MAX,
            fetch_max_wait_ms: 500,
            list_offsets_wait_ms: 30_000,
            scrub_interval_ms: 86_400_000,
            scrub_bytes_per_second: 1 << 20,
            export_interval_ms: 10_000,
            metadata_partitions: 50,
            metadata_replication_factor: 3,
            metadata_min_insync_replicas: 2,
        };
        assert_eq!(tier, expected);
    }

    #[test]
    fn what_is_set_is_read() {
        let set = [
            "remote.log.storage.system.enable=true",
            "remote.log.storage.url=s3://bucket/prefix",
            "remote.log.manager.copier.thread.pool.size=3",
            "remote.log.manager.copy.max.bytes.per.second=1000",
            "rlmm.config.remote.log.metadata.topic.num.partitions=7",
            "freshet.remote.scrub.bytes.per.second=0",
            "freshet.remote.scrub.interval.ms=60000",
            "freshet.remote.export.interval.ms=250",
        ];
        let mut layers = layers(&set).unwrap();
        let name = "remote.log.manager.fetch.max.bytes.per.second";
        layers.cluster = Arc::new(Overrides::from([(name.to_owned(), "2000".to_owned())]));
        let tier = layers.tier();
        assert!(tier.enabled);
        assert_eq!(tier.url.as_deref(), Some("s3://bucket/prefix"));
        assert_eq!((tier.copiers, tier.metadata_partitions), (3, 7));
        let rates = (tier.copy_bytes_per_second, tier.fetch_bytes_per_second);
        assert_eq!(rates, (1000, 2000));
        let scrub = (tier.scrub_interval_ms, tier.scrub_bytes_per_second);
        assert_eq!(scrub, (60_000, 0));
        assert_eq!(tier.export_interval_ms, 250);
    }

    #[test]
    fn storage_that_is_switched_on_is_somewhere() {
        let error = layers(&["remote.log.storage.system.enable=true"]).unwrap_err();
        assert!(error.to_string().contains(URL), "{error}");
        assert!(layers(&["remote.log.storage.system.enable=false"]).is_ok());
        assert!(layers(&["remote.log.storage.url=file:///tier"]).is_ok());
    }

    #[test]
    fn a_url_names_a_store_and_no_secret() {
        let setting = Setting::find(Scope::Broker, URL).unwrap();
        for url in ["s3://b", "gs://b/p", "az://c/p/q", "file:///tier"] {
            assert_eq!(setting.check(url).as_deref(), Ok(url));
        }
        for url in [
            "",
            "bucket",
            "s3://",
            "file://tier",
            "http://b",
            "s3://id:key@b",
        ] {
            assert!(setting.check(url).is_err(), "{url}");
        }
    }
}
