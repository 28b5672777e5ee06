//! Modern groups (KIP-848, KIP-932, KIP-1071): accepted ahead of the rooms that will use them.
//! Classic groups are in `cluster.rs`.

use crate::setting::declare::{boolean, int, list, short, string, unset};
use crate::setting::{Kind, Setting};

const CONSUMER: &str =
    "the consumer group protocol of KIP-848 is not built yet; classic groups are served";
const SHARE: &str = "share groups are not built yet";
const STREAMS: &str = "streams groups are not built yet; Kafka Streams uses classic groups";
const THREADS: &str = "groups run on the threads of their partitions; there is no pool to size";

pub(crate) static SETTINGS: &[Setting] = &[
    list(
        "group.coordinator.rebalance.protocols",
        "classic,consumer,streams",
    )
    .list_of(&["classic", "consumer", "share", "streams"])
    .not_yet(CONSUMER)
    .doc("Group protocols that are served."),
    int("group.coordinator.threads", "4")
        .at_least(1)
        .no_meaning(THREADS)
        .doc("Threads of the group coordinator."),
    int("group.coordinator.background.threads", "2")
        .at_least(1)
        .no_meaning(THREADS)
        .doc("Threads for work beside it."),
    int("group.coordinator.append.linger.ms", "-1")
        .millis()
        .at_least(-1)
        .no_meaning(THREADS)
        .doc("How long the coordinator gathers records; -1 adapts."),
    int("group.coordinator.cached.buffer.max.bytes", "1048588")
        .bytes()
        .at_least(524288)
        .no_meaning(THREADS)
        .doc("Largest buffer that the coordinator keeps."),
    int("offsets.topic.compression.codec", "0")
        .no_meaning(THREADS)
        .doc("Codec of what the broker writes to `__consumer_offsets`."),
    int("group.consumer.session.timeout.ms", "45000")
        .millis()
        .at_least(1)
        .not_yet(CONSUMER)
        .doc("A member that was silent for this long is removed."),
    int("group.consumer.min.session.timeout.ms", "45000")
        .millis()
        .at_least(1)
        .not_yet(CONSUMER)
        .doc("Shortest session timeout of a group."),
    int("group.consumer.max.session.timeout.ms", "60000")
        .millis()
        .at_least(1)
        .not_yet(CONSUMER)
        .doc("Longest session timeout of a group."),
    int("group.consumer.heartbeat.interval.ms", "5000")
        .millis()
        .at_least(1)
        .not_yet(CONSUMER)
        .doc("How often members tell that they live."),
    int("group.consumer.min.heartbeat.interval.ms", "5000")
        .millis()
        .at_least(1)
        .not_yet(CONSUMER)
        .doc("Shortest heartbeat interval of a group."),
    int("group.consumer.max.heartbeat.interval.ms", "15000")
        .millis()
        .at_least(1)
        .not_yet(CONSUMER)
        .doc("Longest heartbeat interval of a group."),
    int("group.consumer.max.size", "2147483647")
        .at_least(1)
        .not_yet(CONSUMER)
        .doc("Members a group may have."),
    list("group.consumer.assignors", "uniform,range")
        .not_yet(CONSUMER)
        .doc("Ways of assigning partitions, the default first."),
    string("group.consumer.migration.policy", "bidirectional")
        .one_of(&["disabled", "upgrade", "downgrade", "bidirectional"])
        .not_yet(CONSUMER)
        .doc("Whether groups change between the classic and the new protocol."),
    int("group.consumer.assignment.interval.ms", "1000")
        .millis()
        .at_least(0)
        .not_yet(CONSUMER)
        .doc("Shortest time between assignments of a group."),
    int("group.consumer.min.assignment.interval.ms", "0")
        .millis()
        .at_least(0)
        .not_yet(CONSUMER)
        .doc("Shortest such time a group may set."),
    int("group.consumer.max.assignment.interval.ms", "15000")
        .millis()
        .at_least(0)
        .not_yet(CONSUMER)
        .doc("Longest such time a group may set."),
    int("group.share.session.timeout.ms", "45000")
        .millis()
        .at_least(1)
        .not_yet(SHARE)
        .doc("A member that was silent for this long is removed."),
    int("group.share.min.session.timeout.ms", "45000")
        .millis()
        .at_least(1)
        .not_yet(SHARE)
        .doc("Shortest session timeout of a group."),
    int("group.share.max.session.timeout.ms", "60000")
        .millis()
        .at_least(1)
        .not_yet(SHARE)
        .doc("Longest session timeout of a group."),
    int("group.share.heartbeat.interval.ms", "5000")
        .millis()
        .at_least(1)
        .not_yet(SHARE)
        .doc("How often members tell that they live."),
    int("group.share.min.heartbeat.interval.ms", "5000")
        .millis()
        .at_least(1)
        .not_yet(SHARE)
        .doc("Shortest heartbeat interval of a group."),
    int("group.share.max.heartbeat.interval.ms", "15000")
        .millis()
        .at_least(1)
        .not_yet(SHARE)
        .doc("Longest heartbeat interval of a group."),
    int("group.share.max.size", "200")
        .between(1, 1000)
        .not_yet(SHARE)
        .doc("Members a group may have."),
    list("group.share.assignors", "simple")
        .not_yet(SHARE)
        .doc("Ways of assigning partitions."),
    int("group.share.assignment.interval.ms", "1000")
        .millis()
        .at_least(0)
        .not_yet(SHARE)
        .doc("Shortest time between assignments of a group."),
    int("group.share.min.assignment.interval.ms", "0")
        .millis()
        .at_least(0)
        .not_yet(SHARE)
        .doc("Shortest such time a group may set."),
    int("group.share.max.assignment.interval.ms", "15000")
        .millis()
        .at_least(0)
        .not_yet(SHARE)
        .doc("Longest such time a group may set."),
    int("group.share.delivery.count.limit", "5")
        .between(2, 10)
        .not_yet(SHARE)
        .doc("How often a record is delivered before it is given up."),
    int("group.share.min.delivery.count.limit", "2")
        .between(2, 5)
        .not_yet(SHARE)
        .doc("Smallest such number a group may set."),
    int("group.share.max.delivery.count.limit", "10")
        .between(5, 25)
        .not_yet(SHARE)
        .doc("Largest such number a group may set."),
    int("group.share.record.lock.duration.ms", "30000")
        .millis()
        .between(1000, 3600000)
        .not_yet(SHARE)
        .doc("How long a record is locked for a consumer."),
    int("group.share.min.record.lock.duration.ms", "15000")
        .millis()
        .between(1000, 30000)
        .not_yet(SHARE)
        .doc("Shortest lock a group may set."),
    int("group.share.max.record.lock.duration.ms", "60000")
        .millis()
        .between(30000, 3600000)
        .not_yet(SHARE)
        .doc("Longest lock a group may set."),
    int("group.share.partition.max.record.locks", "2000")
        .between(100, 10000)
        .not_yet(SHARE)
        .doc("Records of a partition that may be locked at a time."),
    int("group.share.min.partition.max.record.locks", "100")
        .between(100, 2000)
        .not_yet(SHARE)
        .doc("Smallest such number a group may set."),
    int("group.share.max.partition.max.record.locks", "4000")
        .between(2000, 10000)
        .not_yet(SHARE)
        .doc("Largest such number a group may set."),
    int("share.fetch.purgatory.purge.interval.requests", "1000")
        .not_yet(SHARE)
        .doc("Purge interval of waiting share fetches."),
    int("group.share.max.share.sessions", "2000")
        .at_least(1)
        .not_yet(SHARE)
        .doc("Share sessions of a broker."),
    boolean("errors.deadletterqueue.auto.create.topics.enable", "false")
        .not_yet(SHARE)
        .doc("Whether dead-letter topics are created on first use (KIP-1191)."),
    string("errors.deadletterqueue.topic.name.prefix", "dlq.")
        .not_yet(SHARE)
        .doc("How names of dead-letter topics begin."),
    int("share.coordinator.state.topic.num.partitions", "50")
        .at_least(1)
        .not_yet(SHARE)
        .doc("Partitions of `__share_group_state`."),
    short("share.coordinator.state.topic.replication.factor", "3")
        .at_least(1)
        .not_yet(SHARE)
        .doc("Replicas of `__share_group_state`."),
    short("share.coordinator.state.topic.min.isr", "2")
        .at_least(1)
        .not_yet(SHARE)
        .doc("`min.insync.replicas` of `__share_group_state`."),
    int("share.coordinator.state.topic.segment.bytes", "104857600")
        .bytes()
        .at_least(1)
        .not_yet(SHARE)
        .doc("Segment size of `__share_group_state`."),
    int("share.coordinator.state.topic.compression.codec", "0")
        .not_yet(SHARE)
        .doc("Codec of what the broker writes to `__share_group_state`."),
    int("share.coordinator.threads", "1")
        .at_least(1)
        .not_yet(SHARE)
        .doc("Threads of the share coordinator."),
    int(
        "share.coordinator.snapshot.update.records.per.snapshot",
        "500",
    )
    .between(0, 500)
    .not_yet(SHARE)
    .doc("Changes between snapshots of a share partition."),
    int("share.coordinator.load.buffer.size", "5242880")
        .bytes()
        .at_least(1)
        .not_yet(SHARE)
        .doc("Bytes read at a time when share state is loaded."),
    int("share.coordinator.append.linger.ms", "-1")
        .millis()
        .at_least(-1)
        .not_yet(SHARE)
        .doc("How long the share coordinator gathers records; -1 adapts."),
    int("share.coordinator.write.timeout.ms", "5000")
        .millis()
        .at_least(1)
        .not_yet(SHARE)
        .doc("How long a write of share state may take."),
    int("share.coordinator.cached.buffer.max.bytes", "1048588")
        .bytes()
        .at_least(524288)
        .not_yet(SHARE)
        .doc("Largest buffer that the share coordinator keeps."),
    int("group.streams.session.timeout.ms", "45000")
        .millis()
        .at_least(1)
        .not_yet(STREAMS)
        .doc("A member that was silent for this long is removed."),
    int("group.streams.min.session.timeout.ms", "45000")
        .millis()
        .at_least(1)
        .not_yet(STREAMS)
        .doc("Shortest session timeout of a group."),
    int("group.streams.max.session.timeout.ms", "60000")
        .millis()
        .at_least(1)
        .not_yet(STREAMS)
        .doc("Longest session timeout of a group."),
    int("group.streams.heartbeat.interval.ms", "5000")
        .millis()
        .at_least(1)
        .not_yet(STREAMS)
        .doc("How often members tell that they live."),
    int("group.streams.min.heartbeat.interval.ms", "5000")
        .millis()
        .at_least(1)
        .not_yet(STREAMS)
        .doc("Shortest heartbeat interval of a group."),
    int("group.streams.max.heartbeat.interval.ms", "15000")
        .millis()
        .at_least(1)
        .not_yet(STREAMS)
        .doc("Longest heartbeat interval of a group."),
    int("group.streams.max.size", "2147483647")
        .at_least(1)
        .not_yet(STREAMS)
        .doc("Members a group may have."),
    int("group.streams.num.standby.replicas", "0")
        .at_least(0)
        .not_yet(STREAMS)
        .doc("Standby copies of each task."),
    int("group.streams.max.standby.replicas", "2")
        .at_least(0)
        .not_yet(STREAMS)
        .doc("Most standby copies a group may set."),
    int("group.streams.initial.rebalance.delay.ms", "3000")
        .millis()
        .at_least(0)
        .not_yet(STREAMS)
        .doc("How long a new group waits for more members."),
    int("group.streams.assignment.interval.ms", "1000")
        .millis()
        .at_least(0)
        .not_yet(STREAMS)
        .doc("Shortest time between assignments of a group."),
    int("group.streams.min.assignment.interval.ms", "0")
        .millis()
        .at_least(0)
        .not_yet(STREAMS)
        .doc("Shortest such time a group may set."),
    int("group.streams.max.assignment.interval.ms", "15000")
        .millis()
        .at_least(0)
        .not_yet(STREAMS)
        .doc("Longest such time a group may set."),
    list("group.streams.assignors", "sticky")
        .not_yet(STREAMS)
        .doc("Ways of assigning tasks, the default first."),
    list("group.streams.rack.aware.assignment.tags", "")
        .not_yet(STREAMS)
        .doc("Tags that standby copies are spread over."),
    unset(
        "group.streams.topology.description.plugin.class",
        Kind::Class,
    )
    .not_yet(STREAMS)
    .doc("Java class that receives topologies (KIP-1331)."),
];
