//! Settings of a group (KIP-848, KIP-932, KIP-1071) and of a client metrics subscription (KIP-714).

use crate::setting::declare::{boolean, int, list, same, string, unset};
use crate::setting::{Kind, Scope, Setting};

const CONSUMER: &str =
    "the consumer group protocol of KIP-848 is not built yet; classic groups are served";
const SHARE: &str = "share groups are not built yet";
const STREAMS: &str = "streams groups are not built yet; Kafka Streams uses classic groups";
const TELEMETRY: &str = "client telemetry (KIP-714) is not served; clients stay quiet";

const fn consumer(setting: Setting) -> Setting {
    setting.scope(Scope::Group).not_yet(CONSUMER)
}

const fn share(setting: Setting) -> Setting {
    setting.scope(Scope::Group).not_yet(SHARE)
}

const fn streams(setting: Setting) -> Setting {
    setting.scope(Scope::Group).not_yet(STREAMS)
}

const fn metrics(setting: Setting) -> Setting {
    setting.scope(Scope::ClientMetrics).not_yet(TELEMETRY)
}

pub(crate) static SETTINGS: &[Setting] = &[
    consumer(int("consumer.session.timeout.ms", "45000"))
        .millis()
        .at_least(1)
        .from(&[same("group.consumer.session.timeout.ms")])
        .doc("A member that was silent for this long is removed."),
    consumer(int("consumer.heartbeat.interval.ms", "5000"))
        .millis()
        .at_least(1)
        .from(&[same("group.consumer.heartbeat.interval.ms")])
        .doc("How often members tell that they live."),
    consumer(int("consumer.assignment.interval.ms", "1000"))
        .millis()
        .at_least(0)
        .from(&[same("group.consumer.assignment.interval.ms")])
        .doc("Shortest time between assignments."),
    share(int("share.session.timeout.ms", "45000"))
        .millis()
        .at_least(1)
        .from(&[same("group.share.session.timeout.ms")])
        .doc("A member that was silent for this long is removed."),
    share(int("share.heartbeat.interval.ms", "5000"))
        .millis()
        .at_least(1)
        .from(&[same("group.share.heartbeat.interval.ms")])
        .doc("How often members tell that they live."),
    share(int("share.record.lock.duration.ms", "30000"))
        .millis()
        .at_least(1000)
        .from(&[same("group.share.record.lock.duration.ms")])
        .doc("How long a record is locked for a consumer."),
    share(int("share.delivery.count.limit", "5"))
        .at_least(2)
        .from(&[same("group.share.delivery.count.limit")])
        .doc("How often a record is delivered before it is given up."),
    share(int("share.partition.max.record.locks", "2000"))
        .at_least(100)
        .from(&[same("group.share.partition.max.record.locks")])
        .doc("Records of a partition that may be locked at a time."),
    share(string("share.auto.offset.reset", "latest")).doc(
        "Where a new group starts: `latest`, `earliest` or `by_duration:` with an ISO 8601 time.",
    ),
    share(string("share.isolation.level", "read_uncommitted"))
        .one_of(&["read_committed", "read_uncommitted"])
        .doc("Whether records of open and aborted transactions are delivered."),
    share(boolean("share.renew.acknowledge.enable", "true"))
        .doc("Whether consumers may renew the lock of a record."),
    share(int("share.assignment.interval.ms", "1000"))
        .millis()
        .at_least(0)
        .from(&[same("group.share.assignment.interval.ms")])
        .doc("Shortest time between assignments."),
    share(string("errors.deadletterqueue.topic.name", ""))
        .doc("Topic that receives records which were given up (KIP-1191)."),
    share(boolean(
        "errors.deadletterqueue.copy.record.enable",
        "false",
    ))
    .doc("Whether dead letters carry the record itself."),
    streams(int("streams.session.timeout.ms", "45000"))
        .millis()
        .at_least(1)
        .from(&[same("group.streams.session.timeout.ms")])
        .doc("A member that was silent for this long is removed."),
    streams(int("streams.heartbeat.interval.ms", "5000"))
        .millis()
        .at_least(1)
        .from(&[same("group.streams.heartbeat.interval.ms")])
        .doc("How often members tell that they live."),
    streams(int("streams.num.standby.replicas", "0"))
        .at_least(0)
        .from(&[same("group.streams.num.standby.replicas")])
        .doc("Standby copies of each task."),
    streams(int("streams.initial.rebalance.delay.ms", "3000"))
        .millis()
        .at_least(0)
        .from(&[same("group.streams.initial.rebalance.delay.ms")])
        .doc("How long a new group waits for more members."),
    streams(int("streams.assignment.interval.ms", "1000"))
        .millis()
        .at_least(0)
        .from(&[same("group.streams.assignment.interval.ms")])
        .doc("Shortest time between assignments."),
    streams(list("streams.rack.aware.assignment.tags", ""))
        .from(&[same("group.streams.rack.aware.assignment.tags")])
        .doc("Tags that standby copies are spread over."),
    streams(unset("streams.assignor.name", Kind::String))
        .doc("Way of assigning tasks; unset takes the broker's first."),
    metrics(list("metrics", "")).doc("Metrics that clients push, by the start of their names."),
    metrics(int("interval.ms", "300000"))
        .millis()
        .between(100, 3_600_000)
        .doc("How often clients push."),
    metrics(list("match", "")).doc("Clients that push: `attribute=pattern` pairs."),
];
