//! The metadata log, limits of the cluster, and plain groups.

use crate::setting::Setting;
use crate::setting::declare::{int, long, short};

pub(crate) static SETTINGS: &[Setting] = &[
    // Metadata.
    long("metadata.log.max.record.bytes.between.snapshots", "20971520").bytes().at_least(1).high()
        .doc("A snapshot of the metadata is written after so many bytes of changes."),
    int("metadata.log.segment.bytes", "1073741824").bytes().at_least(8_388_608).high()
        .no_meaning("the metadata log is one file behind its snapshot")
        .doc("A segment of the metadata log is closed at this size."),
    int("freshet.metadata.queue.requests", "1000").between(1, 1_000_000)
        .doc("Metadata changes that may wait to be decided; more are refused with a retriable error."),
    int("freshet.topics.max", "100000").at_least(1)
        .doc("Topics a cluster may have. Creating more is refused as a policy violation."),
    int("freshet.partitions.max", "200000").at_least(1)
        .doc("Partitions a cluster may have. Creating more is refused as a policy violation."),
    int("freshet.topic.partitions.max", "10000").at_least(1)
        .doc("Partitions a topic may have. Creating more is refused as a policy violation."),
    // Classic groups and committed offsets.
    int("offsets.topic.num.partitions", "50").at_least(1).high()
        .doc("Partitions of `__consumer_offsets`. It cannot change once the topic is there."),
    short("offsets.topic.replication.factor", "3").at_least(1).high()
        .doc("Replicas of `__consumer_offsets`; on a cluster of one broker, one."),
    int("offsets.topic.segment.bytes", "104857600").bytes().at_least(1_048_576).high()
        .doc("Segment size of `__consumer_offsets`."),
    int("offsets.retention.minutes", "10080").unit(crate::setting::Unit::Minutes).at_least(1).high()
        .doc("Committed offsets are dropped after a group was empty for this long."),
    long("offsets.retention.check.interval.ms", "600000").millis().at_least(1).high()
        .doc("How often committed offsets are looked at for expiry."),
    int("offset.metadata.max.bytes", "4096").bytes().at_least(0).high()
        .doc("Longest text a client may commit with an offset."),
    int("offsets.commit.timeout.ms", "5000").millis().at_least(1).high()
        .doc("A commit that is not replicated within this time fails with a retriable error."),
    int("offsets.load.buffer.size", "5242880").bytes().at_least(1)
        .not_yet("groups are loaded in pieces of a fixed size")
        .doc("Bytes read at a time when a broker takes over groups."),
    int("group.min.session.timeout.ms", "6000").millis().at_least(0)
        .doc("Shortest session timeout a member of a classic group may ask for."),
    int("group.max.session.timeout.ms", "1800000").millis().at_least(0)
        .doc("Longest session timeout a member of a classic group may ask for."),
    int("group.initial.rebalance.delay.ms", "3000").millis().at_least(0)
        .doc("How long a new classic group waits for more members before its first assignment."),
    int("group.max.size", "2147483647").at_least(1)
        .doc("Members a classic group may have."),
    int("freshet.groups.max", "100000").at_least(1)
        .doc("Groups one partition of `__consumer_offsets` may hold. New ones are refused with a \
              retriable error."),
];
