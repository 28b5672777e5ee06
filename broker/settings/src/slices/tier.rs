//! Object storage: the slice, and its rule.

use std::path::PathBuf;

use crate::SettingError;
use crate::cross::{contradiction, plain_path};
use crate::layers::Layers;
use crate::overrides::{NO_STORE, REMOTE, TIERS};

const ENABLE: &str = "remote.log.storage.system.enable";
const URL: &str = "remote.log.storage.url";
const SHARED: &str = "freshet.remote.storage.shared";
const DISK_BYTES: &str = "freshet.remote.read.disk.cache.bytes";
const DISK_DIR: &str = "freshet.remote.read.disk.cache.dir";

/// How segments leave for object storage, and are read there. What of a topic does, the topic says
/// ([`crate::TopicTier`]).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TierSettings {
    /// `remote.log.storage.system.enable`. Read once, at start.
    pub enabled: bool,
    /// `remote.log.storage.url`; there is one when `enabled`. Read once, at start.
    pub url: Option<String>,
    /// `freshet.remote.storage.shared`: another cluster may have been there first. Read once, at start.
    pub shared: bool,
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
    /// What readers may take.
    pub readers: TierReaderSettings,
    /// `freshet.remote.scrub.interval.ms`: how often all that is in object storage is looked at. Dynamic.
    pub scrub_interval_ms: u64,
    /// `freshet.remote.garbage.grace.ms`: how long what nobody names stays. Read once, at start.
    pub garbage_grace_ms: u64,
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

/// What readers of object storage may take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TierReaderSettings {
    /// `remote.log.reader.threads`: requests under way at a time. Dynamic.
    pub requests: usize,
    /// `remote.log.reader.max.pending.tasks`: requests that may wait for that.
    pub waiting: usize,
    /// `freshet.remote.read.cache.bytes`: batches in memory. Dynamic.
    pub batch_bytes: u64,
    /// `remote.log.index.file.cache.total.size.bytes`: what else of objects is in memory. Dynamic.
    pub index_bytes: u64,
    /// `freshet.remote.read.disk.cache.dir` and `.bytes`; `None` without a bound. Read once, at start.
    pub disk: Option<TierDiskCache>,
}

/// The disk cache of what was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TierDiskCache {
    /// Where.
    pub dir: PathBuf,
    /// Bytes at most.
    pub bytes: u64,
}

impl Layers {
    /// What readers of object storage may take.
    fn tier_readers(&self) -> TierReaderSettings {
        let bytes = self.unsigned(DISK_BYTES);
        let dir = self.value(DISK_DIR).filter(|_| bytes > 0);
        TierReaderSettings {
            requests: self.size("remote.log.reader.threads"),
            waiting: self.size("remote.log.reader.max.pending.tasks"),
            batch_bytes: self.unsigned("freshet.remote.read.cache.bytes"),
            index_bytes: self.unsigned("remote.log.index.file.cache.total.size.bytes"),
            disk: dir.map(|dir| TierDiskCache {
                dir: dir.into(),
                bytes,
            }),
        }
    }

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
            shared: self.flag(SHARED),
            interval_ms: self.unsigned("remote.log.manager.task.interval.ms"),
            copiers: self.size("remote.log.manager.copier.thread.pool.size"),
            copy_bytes_per_second: rate("remote.log.manager.copy.max.bytes.per.second"),
            fetch_bytes_per_second: rate("remote.log.manager.fetch.max.bytes.per.second"),
            fetch_max_wait_ms: self.unsigned("remote.fetch.max.wait.ms"),
            list_offsets_wait_ms: self.unsigned("remote.list.offsets.request.timeout.ms"),
            readers: self.tier_readers(),
            scrub_interval_ms: self.unsigned("freshet.remote.scrub.interval.ms"),
            garbage_grace_ms: self.unsigned("freshet.remote.garbage.grace.ms"),
            scrub_bytes_per_second: rate("freshet.remote.scrub.bytes.per.second"),
            export_interval_ms: self.unsigned("freshet.remote.export.interval.ms"),
            metadata_partitions: metadata("rlmm.config.remote.log.metadata.topic.num.partitions"),
            metadata_replication_factor: i16::try_from(replicas).unwrap_or(1),
            metadata_min_insync_replicas: u32::try_from(in_sync).unwrap_or(1),
        }
    }
}

/// Object storage that is switched on is somewhere, and so is its cache: not among the logs.
pub(crate) fn check(layers: &Layers) -> Result<(), SettingError> {
    let tier = layers.tier();
    disk_cache(layers)?;
    // What a topic would begin with that says nothing else.
    let tiers = [(REMOTE.to_owned(), "true".to_owned())].into();
    if tier.enabled && layers.check_topic(None, &tiers).is_err() {
        let expected = "what stays on disks must not be more than all, in time or bytes";
        let [local, all] = ["log.local.retention", "log.retention"];
        return Err(contradiction(local, all, expected.to_owned()));
    }
    if layers.tiers_by_default() && !tier.enabled {
        return Err(contradiction(TIERS, ENABLE, NO_STORE.to_owned()));
    }
    if !tier.enabled || tier.url.is_some() {
        return Ok(());
    }
    let expected = "say where the objects are: s3://bucket/prefix, gs://bucket/prefix, \
                    az://container/prefix or file:///folder";
    Err(contradiction(ENABLE, URL, expected.to_owned()))
}

fn disk_cache(layers: &Layers) -> Result<(), SettingError> {
    if layers.unsigned(DISK_BYTES) > 0 && layers.value(DISK_DIR).is_none() {
        let expected = "say in which folder it is, on a disk that has no logs".to_owned();
        return Err(contradiction(DISK_BYTES, DISK_DIR, expected));
    }
    let Some(dir) = layers.value(DISK_DIR).map(plain_path) else {
        return Ok(());
    };
    let node = layers.node();
    let mut logs = node.log_dirs.iter().chain([&node.metadata_dir]);
    match logs.find(|log| dir.starts_with(plain_path(log))) {
        None => Ok(()),
        Some(log) => {
            let log = log.display();
            let expected = format!("a cache has no place in {log}, where records are");
            Err(contradiction(DISK_DIR, "log.dirs", expected))
        }
    }
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
            shared: false,
            interval_ms: 30_000,
            copiers: 10,
            copy_bytes_per_second: u64::MAX,
            fetch_bytes_per_second: u64::MAX,
            fetch_max_wait_ms: 500,
            list_offsets_wait_ms: 30_000,
            // Here Kafka's are for threads and files, which these are not.
            readers: TierReaderSettings {
                requests: 16,
                waiting: 4096,
                batch_bytes: 64 << 20,
                index_bytes: 24 << 20,
                disk: None,
            },
            scrub_interval_ms: 86_400_000,
            garbage_grace_ms: 3_600_000,
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
            "freshet.remote.storage.shared=true",
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
        assert!(tier.enabled && tier.shared);
        assert_eq!(tier.url.as_deref(), Some("s3://bucket/prefix"));
        assert_eq!((tier.copiers, tier.metadata_partitions), (3, 7));
        let rates = (tier.copy_bytes_per_second, tier.fetch_bytes_per_second);
        assert_eq!(rates, (1000, 2000));
        let scrub = (tier.scrub_interval_ms, tier.scrub_bytes_per_second);
        assert_eq!(scrub, (60_000, 0));
        assert_eq!(tier.export_interval_ms, 250);
    }

    #[test]
    fn readers_take_what_is_set() {
        let set = [
            "remote.log.reader.threads=4",
            "remote.log.reader.max.pending.tasks=50",
            "freshet.remote.read.cache.bytes=8388608",
            "remote.log.index.file.cache.total.size.bytes=3000000",
            "freshet.remote.read.disk.cache.bytes=1000",
            "freshet.remote.read.disk.cache.dir=/cache",
        ];
        let expected = TierReaderSettings {
            requests: 4,
            waiting: 50,
            batch_bytes: 8 << 20,
            index_bytes: 3_000_000,
            disk: Some(TierDiskCache {
                dir: "/cache".into(),
                bytes: 1000,
            }),
        };
        assert_eq!(layers(&set).unwrap().tier().readers, expected);
        // A folder alone is none: nobody has said how much of it may be taken.
        assert_eq!(layers(&set[5..]).unwrap().tier().readers.disk, None);
        let dynamic = |name| Setting::dynamic(Scope::Broker, name).is_ok();
        assert!(dynamic("freshet.remote.read.cache.bytes"));
        assert!(!dynamic(DISK_BYTES) && !dynamic(DISK_DIR));
    }

    #[test]
    fn the_disk_cache_is_somewhere_and_not_among_the_logs() {
        let refused = |set: &[&str], word: &str| {
            let error = layers(set).unwrap_err().to_string();
            assert!(error.contains(word), "{error}");
        };
        refused(&["freshet.remote.read.disk.cache.bytes=1"], DISK_DIR);
        let logs = "log.dirs=/a/logs,./b";
        for dir in ["/a/logs", "/a/./logs/cache", "b", "./b/c"] {
            refused(&[logs, &format!("{DISK_DIR}={dir}")], "log.dirs");
        }
        let metadata = "metadata.log.dir=/m";
        refused(&[logs, metadata, &format!("{DISK_DIR}=/m/c")], "log.dirs");
        for dir in ["/a", "/a/logs2", "c/b"] {
            assert!(
                layers(&[logs, &format!("{DISK_DIR}={dir}")]).is_ok(),
                "{dir}"
            );
        }
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
