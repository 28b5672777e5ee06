//! What a topic's settings come to, as the parts of the broker use them.

use std::borrow::Cow;

use freshet_types::{NodeId, PartitionId, TopicName};

use crate::SettingError;
use crate::cross::contradiction;
use crate::layers::{Layers, Overrides};
use crate::overrides::{
    DELETE_ON_DISABLE, NO_STORE, REMOTE, TIERS, Tiering, check_numbers, more_than_all,
};
use crate::setting::{Scope, Setting};
use crate::value::{items, parse_bool};

/// When a record counts as written (`freshet.durability`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Durability {
    /// On stable storage.
    Fsync,
    /// In the kernel's page cache.
    PageCache,
}

/// Whose clock stamps records (`message.timestamp.type`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TimestampType {
    /// The producer's.
    CreateTime,
    /// The broker's, at append.
    LogAppendTime,
}

/// What batches are stored as (`compression.type` with its levels).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CompressionType {
    /// As they came.
    Producer,
    /// Not compressed.
    Uncompressed,
    /// gzip; level -1 is the codec's default.
    Gzip(i32),
    /// snappy.
    Snappy,
    /// lz4.
    Lz4(i32),
    /// zstd.
    Zstd(i32),
}

/// A topic's settings, resolved. Times in ms, sizes in bytes; `None` means "no bound".
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicConfig {
    /// `cleanup.policy` has `delete`.
    pub cleanup_delete: bool,
    /// `cleanup.policy` has `compact`.
    pub cleanup_compact: bool,
    /// `retention.ms`.
    pub retention_ms: Option<u64>,
    /// `retention.bytes`.
    pub retention_bytes: Option<u64>,
    /// `segment.bytes`.
    pub segment_bytes: u64,
    /// `segment.ms`.
    pub segment_ms: u64,
    /// `segment.jitter.ms`.
    pub segment_jitter_ms: u64,
    /// `segment.index.bytes`.
    pub segment_index_bytes: u64,
    /// `index.interval.bytes`.
    pub index_interval_bytes: u64,
    /// `file.delete.delay.ms`.
    pub file_delete_delay_ms: u64,
    /// `preallocate`.
    pub preallocate: bool,
    /// `freshet.durability`.
    pub durability: Durability,
    /// `flush.messages`.
    pub flush_messages: u64,
    /// `flush.ms`.
    pub flush_ms: u64,
    /// `max.message.bytes`.
    pub max_message_bytes: u32,
    /// `compression.type` and its levels.
    pub compression: CompressionType,
    /// `message.timestamp.type`.
    pub timestamp_type: TimestampType,
    /// `message.timestamp.before.max.ms`.
    pub timestamp_before_max_ms: u64,
    /// `message.timestamp.after.max.ms`.
    pub timestamp_after_max_ms: u64,
    /// `min.insync.replicas`.
    pub min_insync_replicas: u32,
    /// `unclean.leader.election.enable`.
    pub unclean_leader_election: bool,
}

/// What elections and the set of replicas in sync ask of a topic's settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReplicationConfig {
    /// `min.insync.replicas`.
    pub min_insync_replicas: u32,
    /// `unclean.leader.election.enable`.
    pub unclean_leader_election: bool,
    /// `freshet.durability`.
    pub durability: Durability,
}

/// Replicas whose copying is throttled.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum ThrottledReplicas {
    /// No replica.
    #[default]
    None,
    /// Every replica of the topic.
    All,
    /// The partition and the broker of each.
    These(Vec<(PartitionId, NodeId)>),
}

impl ThrottledReplicas {
    fn parse(text: &str) -> Self {
        let pair = |item: &str| {
            let (partition, node) = item.split_once(':')?;
            Some((
                partition.trim().parse().ok()?,
                NodeId(node.trim().parse().ok()?),
            ))
        };
        match text.trim() {
            "" => Self::None,
            "*" => Self::All,
            text => Self::These(items(text).filter_map(pair).collect()),
        }
    }

    /// Whether the replica of `partition` on `node` is one of them.
    pub fn has(&self, partition: PartitionId, node: NodeId) -> bool {
        match self {
            Self::None => false,
            Self::All => true,
            Self::These(these) => these.contains(&(partition, node)),
        }
    }
}

/// Which replicas of a topic are throttled (KIP-73); how fast they may be is the brokers'
/// [`crate::ThrottleSettings`].
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TopicThrottle {
    /// `leader.replication.throttled.replicas`: where the leader of the replica's partition, on the
    /// broker named, holds back what it sends.
    pub leaders: ThrottledReplicas,
    /// `follower.replication.throttled.replicas`: replicas that hold back what they take in.
    pub followers: ThrottledReplicas,
}

/// Which of a topic's segments are kept in object storage, and for how long on local disks as well
/// (KIP-405, KIP-950, KIP-1241). Times in ms, sizes in bytes; `None` means "no bound".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TopicTier {
    /// `remote.storage.enable`.
    pub enabled: bool,
    /// `local.retention.ms`; `retention.ms` where that is less, or asked for by -2, and `cleanup.policy` has `delete`.
    pub local_retention_ms: Option<u64>,
    /// `local.retention.bytes`; `retention.bytes` in the same way.
    pub local_retention_bytes: Option<u64>,
    /// `remote.log.copy.disable`.
    pub copy_disabled: bool,
    /// `remote.log.delete.on.disable`.
    pub delete_on_disable: bool,
    /// `freshet.remote.delete.on.topic.delete`.
    pub delete_with_topic: bool,
    /// `remote.copy.lag.ms`; the local retention where that is less, or asked for by -1.
    pub copy_lag_ms: Option<u64>,
    /// `remote.copy.lag.bytes`; the local retention where that is less, or asked for by -1.
    pub copy_lag_bytes: Option<u64>,
}

impl Layers {
    /// Resolves what of a topic goes to object storage.
    pub fn topic_tier(&self, overrides: &Overrides) -> TopicTier {
        let of = Reader {
            layers: self,
            overrides,
        };
        let bound = |name| u64::try_from(of.long(name)).ok();
        // What never goes by its age or size may leave the disk by it all the same.
        let deletes = of.deletes();
        let local = |name, all| match (of.long(name), bound(all).filter(|_| deletes)) {
            (-2, all) => all,
            (_, None) => bound(name),
            (_, Some(all)) => Some(bound(name).map_or(all, |local| local.min(all))),
        };
        let local_ms = local("local.retention.ms", "retention.ms");
        let local_bytes = local("local.retention.bytes", "retention.bytes");
        let lag = |name, local: Option<u64>| match (bound(name), local) {
            (Some(lag), Some(local)) => Some(lag.min(local)),
            (lag, local) => lag.or(local),
        };
        TopicTier {
            enabled: of.flag("remote.storage.enable"),
            local_retention_ms: local_ms,
            local_retention_bytes: local_bytes,
            copy_disabled: of.flag("remote.log.copy.disable"),
            delete_on_disable: of.flag("remote.log.delete.on.disable"),
            delete_with_topic: of.flag("freshet.remote.delete.on.topic.delete"),
            copy_lag_ms: lag("remote.copy.lag.ms", local_ms),
            copy_lag_bytes: lag("remote.copy.lag.bytes", local_bytes),
        }
    }

    /// Checks what no single topic setting can know, where a topic's settings were `before`; `None` for a
    /// topic that is new.
    ///
    /// # Errors
    /// Settings that contradict each other or what holds for the topic otherwise, or ask for what is not there.
    pub fn check_topic(
        &self,
        before: Option<&Overrides>,
        overrides: &Overrides,
    ) -> Result<(), SettingError> {
        let tier = self.topic_tier(overrides);
        let tiering = Tiering {
            before: before.is_some_and(|before| self.topic_tier(before).enabled),
            after: tier.enabled,
            may_go: tier.delete_on_disable,
            has_store: self.tier().enabled,
        };
        tiering.check()?;
        check_numbers(overrides, tier.enabled)?;
        if !tier.enabled {
            return Ok(());
        }
        let layers = self;
        let of = Reader { layers, overrides };
        if !of.deletes() {
            return Ok(());
        }
        let Some([local, all]) = more_than_all(|name| Some(of.long(name))) else {
            return Ok(());
        };
        let most = of.long(all);
        let expected = format!("the first must not be greater than the second, which is {most}");
        Err(contradiction(local, all, expected))
    }

    /// Whether topics tier that do not say.
    pub fn tiers_by_default(&self) -> bool {
        self.flag(TIERS)
    }

    /// What the file says of that, if `cluster` says nothing: who takes it out of the file again must not take
    /// away what topics have in object storage, so it is to be kept with the settings of all brokers.
    pub fn default_to_keep(&self, cluster: &Overrides) -> Option<(&'static str, &'static str)> {
        let says = self.statics.get(TIERS).and_then(parse_bool) == Some(true);
        (says && !cluster.contains_key(TIERS)).then_some((TIERS, "true"))
    }

    /// Checks a change of what holds for all brokers, from these settings to those of `after`, against the
    /// settings of all `topics` that are no internal ones. By their default topics begin to tier, and stop
    /// as if each had been switched off itself.
    ///
    /// # Errors
    /// There is no object storage, or a topic would lose what it has there.
    pub fn check_default<'a>(
        &self,
        after: &Self,
        topics: impl Iterator<Item = (&'a TopicName, &'a Overrides)>,
    ) -> Result<(), SettingError> {
        let refuse = |expected: String| {
            Err(SettingError::Value {
                name: TIERS.into(),
                value: after.tiers_by_default().to_string(),
                expected,
            })
        };
        match (self.tiers_by_default(), after.tiers_by_default()) {
            (false, true) if !after.tier().enabled => return refuse(NO_STORE.to_owned()),
            (true, false) => {}
            _ => return Ok(()),
        }
        let loses = |overrides: &Overrides| {
            let tier = after.topic_tier(overrides);
            self.topic_tier(overrides).enabled && !tier.enabled && !tier.delete_on_disable
        };
        let mut losing = topics.filter(|(_, overrides)| loses(overrides));
        let Some((first, _)) = losing.next() else {
            return Ok(());
        };
        let count = 1 + losing.count();
        refuse(format!(
            "records in object storage would be lost, of topic {first} (1 of {count}): set {REMOTE}=true \
             on those that shall go on, {DELETE_ON_DISABLE}=true on those that shall not"
        ))
    }

    /// Checks a change of what brokers say, from these settings to those of `after`: what stays on disks must not
    /// be more than all, or each topic that tiers would have to say so itself. What was so before may stay.
    ///
    /// # Errors
    /// `log.local.retention.*` is more than `log.retention.*`, by either of them.
    pub fn check_local_retention(&self, after: &Self) -> Result<(), SettingError> {
        let excess = |layers: &Self| {
            let overrides = &Overrides::default();
            let of = Reader { layers, overrides };
            let pair = more_than_all(|name| Some(of.long(name)))?;
            Some((pair, pair.map(|name| of.long(name))))
        };
        let Some((pair, [local, all])) = excess(after) else {
            return Ok(());
        };
        if !after.tier().enabled || excess(self) == Some((pair, [local, all])) {
            return Ok(());
        }
        let [first, second] = match pair {
            ["local.retention.ms", _] => ["log.local.retention.ms", "log.retention.ms"],
            _ => ["log.local.retention.bytes", "log.retention.bytes"],
        };
        let expected = format!(
            "{local} stay on disks, and {all} are all: it must not be more, and -1 has no bound"
        );
        Err(contradiction(first, second, expected))
    }

    /// Resolves which replicas of a topic are throttled.
    pub fn topic_throttle(&self, overrides: &Overrides) -> TopicThrottle {
        let of = Reader {
            layers: self,
            overrides,
        };
        TopicThrottle {
            leaders: ThrottledReplicas::parse(&of.text("leader.replication.throttled.replicas")),
            followers: ThrottledReplicas::parse(
                &of.text("follower.replication.throttled.replicas"),
            ),
        }
    }

    /// Resolves what replication asks of a topic's settings, and nothing else.
    pub fn replication(&self, overrides: &Overrides) -> ReplicationConfig {
        let of = Reader {
            layers: self,
            overrides,
        };
        ReplicationConfig {
            min_insync_replicas: of.min_insync(),
            unclean_leader_election: of.flag("unclean.leader.election.enable"),
            durability: of.durability(),
        }
    }

    /// Resolves a topic's settings.
    pub fn topic(&self, overrides: &Overrides) -> TopicConfig {
        let of = Reader {
            layers: self,
            overrides,
        };
        let policy = of.text("cleanup.policy");
        TopicConfig {
            cleanup_delete: of.deletes(),
            cleanup_compact: items(&policy).any(|word| word == "compact"),
            retention_ms: u64::try_from(of.long("retention.ms")).ok(),
            retention_bytes: u64::try_from(of.long("retention.bytes")).ok(),
            segment_bytes: of.unsigned("segment.bytes"),
            segment_ms: of.unsigned("segment.ms"),
            segment_jitter_ms: of.unsigned("segment.jitter.ms"),
            segment_index_bytes: of.unsigned("segment.index.bytes"),
            index_interval_bytes: of.unsigned("index.interval.bytes"),
            file_delete_delay_ms: of.unsigned("file.delete.delay.ms"),
            preallocate: of.flag("preallocate"),
            durability: of.durability(),
            flush_messages: of.unsigned("flush.messages"),
            flush_ms: of.unsigned("flush.ms"),
            max_message_bytes: u32::try_from(of.long("max.message.bytes")).unwrap_or(0),
            compression: of.compression(),
            timestamp_type: match of.text("message.timestamp.type").as_ref() {
                "LogAppendTime" => TimestampType::LogAppendTime,
                _ => TimestampType::CreateTime,
            },
            timestamp_before_max_ms: of.unsigned("message.timestamp.before.max.ms"),
            timestamp_after_max_ms: of.unsigned("message.timestamp.after.max.ms"),
            min_insync_replicas: of.min_insync(),
            unclean_leader_election: of.flag("unclean.leader.election.enable"),
        }
    }
}

impl Default for TopicConfig {
    /// All defaults, as a topic has them when nobody set anything.
    fn default() -> Self {
        Layers::default().topic(&Overrides::new())
    }
}

/// A topic's settings: its own, or what its broker says.
struct Reader<'a> {
    layers: &'a Layers,
    overrides: &'a Overrides,
}

impl Reader<'_> {
    fn text(&self, name: &'static str) -> Cow<'_, str> {
        let setting = Setting::find(Scope::Topic, name);
        let setting = setting.expect("topic settings are named by literals; a test reads them all");
        self.layers.resolve(setting, self.overrides)
    }

    fn long(&self, name: &'static str) -> i64 {
        let parsed = self.text(name).parse();
        parsed.expect("numbers are checked when they come in, and their defaults by a test")
    }

    fn unsigned(&self, name: &'static str) -> u64 {
        u64::try_from(self.long(name)).unwrap_or(0)
    }

    /// Whether anything goes by `retention.*`.
    fn deletes(&self) -> bool {
        let policy = self.text("cleanup.policy");
        items(&policy).any(|word| word == "delete")
    }

    fn flag(&self, name: &'static str) -> bool {
        parse_bool(&self.text(name)).unwrap_or(false)
    }

    fn level(&self, name: &'static str) -> i32 {
        i32::try_from(self.long(name)).unwrap_or(-1)
    }

    fn min_insync(&self) -> u32 {
        u32::try_from(self.long("min.insync.replicas")).unwrap_or(1)
    }

    fn durability(&self) -> Durability {
        match self.text("freshet.durability").as_ref() {
            "page-cache" => Durability::PageCache,
            _ => Durability::Fsync,
        }
    }

    fn compression(&self) -> CompressionType {
        match self.text("compression.type").as_ref() {
            "uncompressed" => CompressionType::Uncompressed,
            "gzip" => CompressionType::Gzip(self.level("compression.gzip.level")),
            "snappy" => CompressionType::Snappy,
            "lz4" => CompressionType::Lz4(self.level("compression.lz4.level")),
            "zstd" => CompressionType::Zstd(self.level("compression.zstd.level")),
            _ => CompressionType::Producer,
        }
    }
}
