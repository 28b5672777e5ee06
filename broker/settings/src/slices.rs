//! What each part of the broker gets to see of the settings: its own slice, in its own types.
//!
//! A slice is a plain value. Where a setting is dynamic, the owner of the part builds a new slice
//! when the layers change and hands it in.

pub(crate) mod quorum;
pub(crate) mod tier;

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use freshet_types::NodeId;

use crate::SettingError;
use crate::endpoint::{self, Endpoint, Listener, SecurityProtocol};
use crate::error::cut;
use crate::layers::Layers;
use crate::value::items;

pub use quorum::{NodeRoles, QuorumSettings};
pub use tier::{TierDiskCache, TierReaderSettings, TierSettings};

/// Who this broker is and where its things are. Read once, at start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeSettings {
    /// `node.id`.
    pub node_id: NodeId,
    /// `broker.rack`.
    pub rack: Option<String>,
    /// `freshet.cluster.id`.
    pub cluster_id: Option<String>,
    /// `log.dirs`, else `log.dir`.
    pub log_dirs: Vec<PathBuf>,
    /// `metadata.log.dir`, else the first of `log_dirs`. The metadata log is a folder in it.
    pub metadata_dir: PathBuf,
    /// `listeners` with their protocols, without those in `controller.listener.names`.
    pub listeners: Vec<Listener>,
    /// `advertised.listeners`; empty when not set.
    pub advertised: Vec<Endpoint>,
    /// `http.listener` as host and port; `None` switches HTTP off.
    pub http: Option<(String, u16)>,
    /// `freshet.network.threads`; 0 takes one for each core.
    pub network_threads: usize,
    /// `freshet.shutdown.timeout.ms`.
    pub shutdown_timeout_ms: u64,
    /// `freshet.idle.reason`: with it the process does nothing.
    pub idle_reason: Option<String>,
}

/// Limits of the network side.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SocketSettings {
    /// `socket.request.max.bytes`.
    pub request_max_bytes: usize,
    /// `freshet.request.memory.bytes`.
    pub request_memory_bytes: usize,
    /// `freshet.response.memory.bytes`
    pub response_memory_bytes: usize,
    /// `freshet.connection.requests.max`.
    pub connection_requests_max: usize,
    /// `socket.send.buffer.bytes`; `None` leaves it to the kernel.
    pub send_buffer_bytes: Option<usize>,
    /// `socket.receive.buffer.bytes`; `None` leaves it to the kernel.
    pub receive_buffer_bytes: Option<usize>,
    /// `socket.listen.backlog.size`.
    pub listen_backlog: u32,
    /// `max.connections`.
    pub connections_max: usize,
    /// `max.connections.per.ip`.
    pub connections_per_ip_max: usize,
    /// `max.connections.per.ip.overrides`.
    pub connections_per_ip_overrides: Vec<(IpAddr, u32)>,
    /// `connections.max.idle.ms`; `None` keeps idle connections.
    pub idle_max_ms: Option<u64>,
    /// `fetch.max.bytes`.
    pub fetch_max_bytes: usize,
    /// `max.incremental.fetch.session.cache.slots`.
    pub fetch_sessions_max: usize,
    /// `max.request.partition.size.limit`.
    pub describe_partitions_max: usize,
}

/// How logs are kept, beside what topics say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogSettings {
    /// `log.retention.check.interval.ms`.
    pub retention_check_interval_ms: u64,
    /// `num.recovery.threads.per.data.dir`.
    pub recovery_threads: usize,
    /// `log.flush.offset.checkpoint.interval.ms`.
    pub checkpoint_interval_ms: u64,
    /// `freshet.append.threads`; 0 takes half of the cores, at least one.
    pub append_threads: usize,
    /// `freshet.read.threads`.
    pub read_threads: usize,
    /// `freshet.append.queue.bytes`.
    pub append_queue_bytes: usize,
    /// `freshet.log.tail.memory.bytes`.
    pub tail_memory_bytes: usize,
    /// `freshet.disk.reserve.bytes`.
    pub disk_reserve_bytes: u64,
    /// `producer.id.expiration.ms`.
    pub producer_expiration_ms: u64,
    /// `freshet.log.producers.max`.
    pub producers_max: usize,
}

/// What a topic gets when its creator says nothing, and whether topics come and go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicDefaults {
    /// `num.partitions`.
    pub partitions: i32,
    /// `default.replication.factor`.
    pub replication_factor: i16,
    /// `auto.create.topics.enable`.
    pub auto_create: bool,
    /// `delete.topic.enable`.
    pub delete_enabled: bool,
}

/// The metadata log and the limits of a cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MetadataSettings {
    /// `metadata.log.max.record.bytes.between.snapshots`.
    pub snapshot_bytes: u64,
    /// `freshet.metadata.queue.requests`.
    pub queue_requests: usize,
    /// `freshet.quorum.round.trip.ms`.
    pub round_trip_ms: u64,
    /// `freshet.topics.max`.
    pub topics_max: usize,
    /// `freshet.partitions.max`.
    pub partitions_max: usize,
    /// `freshet.topic.partitions.max`.
    pub topic_partitions_max: usize,
}

/// How a broker lives among others. Read once, at start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LifecycleSettings {
    /// `broker.heartbeat.interval.ms`.
    pub heartbeat_interval_ms: u64,
    /// `broker.session.timeout.ms`.
    pub session_timeout_ms: u64,
    /// `initial.broker.registration.timeout.ms`.
    pub registration_timeout_ms: u64,
    /// `controlled.shutdown.enable`.
    pub controlled_shutdown: bool,
    /// `log.dir.failure.timeout.ms`.
    pub directory_failure_timeout_ms: u64,
    /// `freshet.disk.slow.flush.ms`.
    pub slow_flush_ms: u64,
    /// `freshet.disk.slow.recovery.ms`.
    pub slow_recovery_ms: u64,
    /// `freshet.disk.reserve.bytes`.
    pub disk_reserve_bytes: u64,
}

/// How replicas follow each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplicationSettings {
    /// `replica.lag.time.max.ms`.
    pub lag_max_ms: u64,
    /// `replica.fetch.max.bytes`.
    pub fetch_max_bytes: i32,
    /// `replica.fetch.response.max.bytes`.
    pub fetch_response_max_bytes: i32,
    /// `replica.fetch.wait.max.ms`.
    pub fetch_wait_max_ms: u64,
    /// `replica.fetch.min.bytes`.
    pub fetch_min_bytes: i32,
    /// `replica.fetch.backoff.ms`.
    pub fetch_backoff_ms: u64,
    /// `replica.socket.timeout.ms`.
    pub socket_timeout_ms: u64,
    /// `num.replica.fetchers`.
    pub fetchers: usize,
    /// `replica.high.watermark.checkpoint.interval.ms`.
    pub checkpoint_interval_ms: u64,
    /// `replica.selector.class`: consumers are sent to replicas in their rack (KIP-392).
    pub by_rack: bool,
}

/// The words for a choice by rack: Kafka's and our own.
const BY_RACK: [&str; 2] = [
    "org.apache.kafka.common.replica.RackAwareReplicaSelector",
    "rack",
];

/// Classic groups and committed offsets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupSettings {
    /// `offsets.topic.num.partitions`.
    pub offsets_partitions: i32,
    /// `offsets.topic.replication.factor`.
    pub offsets_replication_factor: i16,
    /// `offsets.topic.segment.bytes`.
    pub offsets_segment_bytes: u64,
    /// `offsets.retention.minutes`, in ms.
    pub offsets_retention_ms: u64,
    /// `offsets.retention.check.interval.ms`.
    pub offsets_check_interval_ms: u64,
    /// `offsets.commit.timeout.ms`.
    pub commit_timeout_ms: u64,
    /// `offset.metadata.max.bytes`.
    pub offset_metadata_max_bytes: usize,
    /// `group.min.session.timeout.ms`.
    pub session_timeout_min_ms: i32,
    /// `group.max.session.timeout.ms`.
    pub session_timeout_max_ms: i32,
    /// `group.initial.rebalance.delay.ms`.
    pub initial_rebalance_delay_ms: u64,
    /// `group.max.size`.
    pub members_max: usize,
    /// `freshet.groups.max`.
    pub groups_max: usize,
}

/// Directories that take no new partitions: `cordoned.log.dirs`. Dynamic.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CordonedDirs {
    /// Every directory: the value has `*`.
    pub all: bool,
    /// Those that are named.
    pub paths: Vec<PathBuf>,
}

impl CordonedDirs {
    /// Reads the setting's text.
    pub fn parse(text: &str) -> Self {
        let (stars, named): (Vec<_>, Vec<_>) = items(text).partition(|item| *item == "*");
        Self {
            all: !stars.is_empty(),
            paths: named.into_iter().map(PathBuf::from).collect(),
        }
    }

    /// Whether the directory takes none.
    pub fn covers(&self, dir: &Path) -> bool {
        self.all || self.paths.iter().any(|path| path == dir)
    }
}

/// How fast throttled replicas of this broker may be copied, bytes per second. Dynamic. Which
/// replicas are throttled, their topics say ([`crate::TopicThrottle`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ThrottleSettings {
    /// `leader.replication.throttled.rate`: what this broker sends.
    pub leader_bytes_per_second: u64,
    /// `follower.replication.throttled.rate`: what this broker takes in.
    pub follower_bytes_per_second: u64,
}

/// How replicas move between this broker's directories (KIP-113).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MoveSettings {
    /// `replica.alter.log.dirs.io.max.bytes.per.second`, for all moves together; `u64::MAX` for no
    /// bound. Dynamic.
    pub bytes_per_second: u64,
    /// `num.replica.alter.log.dirs.threads`: how many move at a time; `None` for as many as there are
    /// directories.
    pub at_a_time: Option<usize>,
}

impl Layers {
    /// How replicas move between directories.
    pub fn moves(&self) -> MoveSettings {
        let rate = self.long("replica.alter.log.dirs.io.max.bytes.per.second");
        let threads = self.value("num.replica.alter.log.dirs.threads");
        MoveSettings {
            // Kafka writes "no bound" as its largest long.
            bytes_per_second: match rate {
                i64::MAX => u64::MAX,
                rate => u64::try_from(rate).unwrap_or(0),
            },
            at_a_time: threads.and_then(|text| text.parse().ok()),
        }
    }

    /// Directories that take no new partitions.
    pub fn cordoned_dirs(&self) -> CordonedDirs {
        CordonedDirs::parse(self.text("cordoned.log.dirs"))
    }

    /// Checks that a value of `cordoned.log.dirs` names nothing but this broker's directories, or `*`.
    /// Another one would keep nothing away, and whoever misspelled it would not notice.
    pub fn check_cordoned(&self, text: &str) -> Result<(), SettingError> {
        let own = self.node().log_dirs;
        let named = CordonedDirs::parse(text).paths;
        match named.iter().find(|dir| !own.contains(dir)) {
            None => Ok(()),
            Some(dir) => Err(SettingError::Value {
                name: "cordoned.log.dirs".into(),
                value: cut(text, 200),
                expected: format!(
                    "directories of log.dirs, as they are written there, or *; {} is none of them",
                    cut(&dir.display().to_string(), 200)
                ),
            }),
        }
    }

    /// How fast throttled replicas may be copied.
    pub fn throttles(&self) -> ThrottleSettings {
        ThrottleSettings {
            leader_bytes_per_second: self.unsigned("leader.replication.throttled.rate"),
            follower_bytes_per_second: self.unsigned("follower.replication.throttled.rate"),
        }
    }

    /// Who this broker is. Addresses were checked when they came in.
    pub fn node(&self) -> NodeSettings {
        let dirs = self.value("log.dirs").unwrap_or(self.text("log.dir"));
        let log_dirs: Vec<PathBuf> = items(dirs).map(PathBuf::from).collect();
        let first = log_dirs.first().cloned().unwrap_or_default();
        let parse = |name| self.value(name).map(endpoint::parse_listeners);
        NodeSettings {
            node_id: self.node_id(),
            // Whoever takes it from a place that may be empty means that there is none.
            rack: self
                .value("broker.rack")
                .filter(|rack| !rack.is_empty())
                .map(str::to_owned),
            cluster_id: self.value("freshet.cluster.id").map(str::to_owned),
            metadata_dir: self.value("metadata.log.dir").map_or(first, PathBuf::from),
            log_dirs,
            listeners: self.listeners(),
            advertised: parse("advertised.listeners")
                .and_then(Result::ok)
                .unwrap_or_default(),
            http: endpoint::host_port(self.text("http.listener")),
            network_threads: self.size("freshet.network.threads"),
            shutdown_timeout_ms: self.unsigned("freshet.shutdown.timeout.ms"),
            idle_reason: self.value("freshet.idle.reason").map(str::to_owned),
        }
    }

    /// `node.id`; where only the older name is given, that.
    pub(crate) fn node_id(&self) -> NodeId {
        let older = self.int("broker.id");
        match self.statics.get("node.id") {
            None if older >= 0 => NodeId(older),
            _ => NodeId(self.int("node.id")),
        }
    }

    fn listeners(&self) -> Vec<Listener> {
        let controllers = self.controller_names();
        let mut bound = self.bound();
        bound.retain(|listener| !controllers.contains(&listener.endpoint.name));
        bound
    }

    /// All of `listeners`, in their order.
    pub(crate) fn bound(&self) -> Vec<Listener> {
        let map = endpoint::parse_protocol_map(self.text("listener.security.protocol.map"));
        let map = map.unwrap_or_default();
        let bound = endpoint::parse_listeners(self.text("listeners")).unwrap_or_default();
        let protocol = |name: &String| map.get(name).copied();
        let listener = |endpoint: Endpoint| Listener {
            protocol: protocol(&endpoint.name).unwrap_or(SecurityProtocol::Plaintext),
            endpoint,
        };
        bound.into_iter().map(listener).collect()
    }

    /// `controller.listener.names`, in upper case as listeners are named.
    pub(crate) fn controller_names(&self) -> Vec<String> {
        items(self.text("controller.listener.names"))
            .map(str::to_ascii_uppercase)
            .collect()
    }

    /// Limits of the network side.
    pub fn sockets(&self) -> SocketSettings {
        let overrides = endpoint::parse_ip_overrides(self.text("max.connections.per.ip.overrides"));
        SocketSettings {
            request_max_bytes: self.size("socket.request.max.bytes"),
            request_memory_bytes: self.size("freshet.request.memory.bytes"),
            response_memory_bytes: self.size("freshet.response.memory.bytes"),
            connection_requests_max: self.size("freshet.connection.requests.max"),
            send_buffer_bytes: usize::try_from(self.long("socket.send.buffer.bytes")).ok(),
            receive_buffer_bytes: usize::try_from(self.long("socket.receive.buffer.bytes")).ok(),
            listen_backlog: u32::try_from(self.long("socket.listen.backlog.size")).unwrap_or(1024),
            connections_max: self.size("max.connections"),
            connections_per_ip_max: self.size("max.connections.per.ip"),
            connections_per_ip_overrides: overrides.unwrap_or_default(),
            idle_max_ms: u64::try_from(self.long("connections.max.idle.ms")).ok(),
            fetch_max_bytes: self.size("fetch.max.bytes"),
            fetch_sessions_max: self.size("max.incremental.fetch.session.cache.slots"),
            describe_partitions_max: self.size("max.request.partition.size.limit"),
        }
    }

    /// How logs are kept.
    pub fn logs(&self) -> LogSettings {
        LogSettings {
            retention_check_interval_ms: self.unsigned("log.retention.check.interval.ms"),
            recovery_threads: self.size("num.recovery.threads.per.data.dir"),
            checkpoint_interval_ms: self.unsigned("log.flush.offset.checkpoint.interval.ms"),
            append_threads: self.size("freshet.append.threads"),
            read_threads: self.size("freshet.read.threads"),
            append_queue_bytes: self.size("freshet.append.queue.bytes"),
            tail_memory_bytes: self.size("freshet.log.tail.memory.bytes"),
            disk_reserve_bytes: self.unsigned("freshet.disk.reserve.bytes"),
            producer_expiration_ms: self.unsigned("producer.id.expiration.ms"),
            producers_max: self.size("freshet.log.producers.max"),
        }
    }

    /// What a topic gets when its creator says nothing.
    pub fn topic_defaults(&self) -> TopicDefaults {
        TopicDefaults {
            partitions: self.int("num.partitions"),
            replication_factor: i16::try_from(self.long("default.replication.factor")).unwrap_or(1),
            auto_create: self.flag("auto.create.topics.enable"),
            delete_enabled: self.flag("delete.topic.enable"),
        }
    }

    /// The metadata log and the limits of a cluster.
    pub fn metadata(&self) -> MetadataSettings {
        MetadataSettings {
            snapshot_bytes: self.unsigned("metadata.log.max.record.bytes.between.snapshots"),
            queue_requests: self.size("freshet.metadata.queue.requests"),
            round_trip_ms: self.unsigned("freshet.quorum.round.trip.ms"),
            topics_max: self.size("freshet.topics.max"),
            partitions_max: self.size("freshet.partitions.max"),
            topic_partitions_max: self.size("freshet.topic.partitions.max"),
        }
    }

    /// How a broker lives among others.
    pub fn lifecycle(&self) -> LifecycleSettings {
        LifecycleSettings {
            heartbeat_interval_ms: self.unsigned("broker.heartbeat.interval.ms"),
            session_timeout_ms: self.unsigned("broker.session.timeout.ms"),
            registration_timeout_ms: self.unsigned("initial.broker.registration.timeout.ms"),
            controlled_shutdown: self.flag("controlled.shutdown.enable"),
            directory_failure_timeout_ms: self.unsigned("log.dir.failure.timeout.ms"),
            slow_flush_ms: self.unsigned("freshet.disk.slow.flush.ms"),
            slow_recovery_ms: self.unsigned("freshet.disk.slow.recovery.ms"),
            disk_reserve_bytes: self.unsigned("freshet.disk.reserve.bytes"),
        }
    }

    /// How replicas follow each other.
    pub fn replicas(&self) -> ReplicationSettings {
        ReplicationSettings {
            lag_max_ms: self.unsigned("replica.lag.time.max.ms"),
            fetch_max_bytes: self.int("replica.fetch.max.bytes"),
            fetch_response_max_bytes: self.int("replica.fetch.response.max.bytes"),
            fetch_wait_max_ms: self.unsigned("replica.fetch.wait.max.ms"),
            fetch_min_bytes: self.int("replica.fetch.min.bytes"),
            fetch_backoff_ms: self.unsigned("replica.fetch.backoff.ms"),
            socket_timeout_ms: self.unsigned("replica.socket.timeout.ms"),
            fetchers: self.size("num.replica.fetchers"),
            checkpoint_interval_ms: self.unsigned("replica.high.watermark.checkpoint.interval.ms"),
            by_rack: BY_RACK.contains(&self.text("replica.selector.class")),
        }
    }

    /// Classic groups and committed offsets.
    pub fn groups(&self) -> GroupSettings {
        GroupSettings {
            offsets_partitions: self.int("offsets.topic.num.partitions"),
            offsets_replication_factor: i16::try_from(
                self.long("offsets.topic.replication.factor"),
            )
            .unwrap_or(1),
            offsets_segment_bytes: self.unsigned("offsets.topic.segment.bytes"),
            offsets_retention_ms: self
                .unsigned("offsets.retention.minutes")
                .saturating_mul(60_000),
            offsets_check_interval_ms: self.unsigned("offsets.retention.check.interval.ms"),
            commit_timeout_ms: self.unsigned("offsets.commit.timeout.ms"),
            offset_metadata_max_bytes: self.size("offset.metadata.max.bytes"),
            session_timeout_min_ms: self.int("group.min.session.timeout.ms"),
            session_timeout_max_ms: self.int("group.max.session.timeout.ms"),
            initial_rebalance_delay_ms: self.unsigned("group.initial.rebalance.delay.ms"),
            members_max: self.size("group.max.size"),
            groups_max: self.size("freshet.groups.max"),
        }
    }

    fn int(&self, name: &'static str) -> i32 {
        i32::try_from(self.long(name)).expect("an INT is checked to fit when it comes in")
    }
}
