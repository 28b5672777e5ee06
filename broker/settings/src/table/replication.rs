//! Replication, elections and the quorum: accepted ahead of the rooms that will use them.

use crate::endpoint;
use crate::setting::declare::{boolean, int, list, long, string, unset};
use crate::setting::{Kind, Setting, Unit, Valid};

/// Brokers give each other up by what hangs on the answer: 2 s for a connection, 10 s for a change of the ISR.
pub(super) const OWN_TIMES: &str =
    "brokers wait for each other for times of their own, by what they ask";
const KERNEL: &str = "the kernel sizes the buffers of followers' sockets";
/// Why a listener of the controller stays closed.
pub(crate) const NO_CONTROLLER_LISTENER: &str = "neither controller.quorum.voters nor controller.quorum.bootstrap.servers is set: this broker is \
     its own controller, and its controller listener is not opened";
const TIMES: &str = "the quorum has times of its own, see docs/quorum.md";
const KRAFT: &str = "it tunes the metadata log of Kafka's own quorum; ours has no such thing";
const PURGATORY: &str = "waiting requests are kept without a purgatory; there is nothing to purge";

pub(crate) static SETTINGS: &[Setting] = &[
    int("controller.socket.timeout.ms", "30000")
        .millis()
        .no_meaning(OWN_TIMES)
        .doc("How long a broker waits for the controller."),
    long("replica.lag.time.max.ms", "30000")
        .millis()
        .at_least(0)
        .doc("A follower that has not caught up for this long leaves the set of replicas in sync."),
    int("replica.socket.timeout.ms", "30000")
        .millis()
        .doc("How long a follower waits for its leader."),
    int("replica.socket.receive.buffer.bytes", "65536")
        .bytes()
        .no_meaning(KERNEL)
        .doc("Receive buffer of a follower's socket."),
    int("replica.fetch.max.bytes", "1048576")
        .bytes()
        .at_least(0)
        .doc("Bytes a follower asks of one partition."),
    int("replica.fetch.wait.max.ms", "500")
        .millis()
        .doc("How long a follower's fetch may wait for data."),
    int("replica.fetch.backoff.ms", "1000")
        .millis()
        .at_least(0)
        .doc("Longest pause after a follower's fetch failed. The first pause is 20 ms."),
    int("replica.fetch.min.bytes", "1")
        .bytes()
        .doc("Bytes a follower waits for."),
    int("replica.fetch.response.max.bytes", "10485760")
        .bytes()
        .at_least(0)
        .doc("Bytes a follower asks for in one fetch; also what it may have in memory for each stream."),
    int("num.replica.fetchers", "1")
        .at_least(1)
        .cluster_wide()
        .doc("Streams that copy from each leader. What is set at run time counts from the next start."),
    long("replica.high.watermark.checkpoint.interval.ms", "5000")
        .millis()
        .doc("How often high watermarks are written down."),
    int("fetch.purgatory.purge.interval.requests", "1000")
        .no_meaning(PURGATORY)
        .doc("Purge interval of waiting fetches."),
    int("producer.purgatory.purge.interval.requests", "1000")
        .no_meaning(PURGATORY)
        .doc("Purge interval of waiting produces."),
    int("delete.records.purgatory.purge.interval.requests", "1")
        .no_meaning(PURGATORY)
        .doc("Purge interval of waiting deletes."),
    boolean("auto.leader.rebalance.enable", "true")
        .doc("Whether preferred leaders get their partitions back."),
    long("leader.imbalance.check.interval.seconds", "300")
        .unit(Unit::Seconds)
        .at_least(1)
        .doc("How often leaders are looked at for balance."),
    string("security.inter.broker.protocol", "PLAINTEXT")
        .one_of(&["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"])
        .doc(
            "How brokers speak to each other: by the listener of this name. Set this or \
             `inter.broker.listener.name`, not both.",
        ),
    unset("inter.broker.listener.name", Kind::String)
        .valid(Valid::NotEmpty)
        .doc("Listener by which brokers speak to each other. All brokers need one of this name."),
    unset("replica.selector.class", Kind::Class)
        .one_of(&[
            "org.apache.kafka.common.replica.RackAwareReplicaSelector",
            "org.apache.kafka.common.replica.LeaderSelector",
            "rack",
        ])
        .doc(
            "Which replica serves a consumer (KIP-392): by default the leader; with Kafka's \
             rack-aware selector, or `rack` for short, one that is in sync in the consumer's rack.",
        ),
    boolean("follower.fetch.last.tiered.offset.enable", "false")
        .cluster_wide()
        .not_yet("replicas keep on their disks what their leader does; one that skips would have all drop it")
        .doc("Whether new followers skip what is in object storage."),
    boolean("controlled.shutdown.enable", "true")
        .doc("Whether leaders move away before a broker stops."),
    unset("num.replica.alter.log.dirs.threads", Kind::Int)
        .at_least(1)
        .doc(
            "How many replicas move between this broker's directories at a time. Unset: as many as \
             there are directories.",
        ),
    list("cordoned.log.dirs", "")
        .per_broker()
        .doc(
            "Directories that take no new partitions (KIP-1066); `*` for all, and then the whole broker \
             is cordoned.",
        ),
    long("log.dir.failure.timeout.ms", "30000")
        .millis()
        .at_least(1)
        .doc(
            "A broker stops if a directory with replicas has failed and no controller could be told \
             for this long (KIP-858).",
        ),
    long("leader.replication.throttled.rate", "9223372036854775807")
        .at_least(0)
        .cluster_wide()
        .doc(
            "Bytes a second that a leader sends to replicas out of sync, if \
             `leader.replication.throttled.replicas` names it.",
        ),
    long("follower.replication.throttled.rate", "9223372036854775807")
        .at_least(0)
        .cluster_wide()
        .doc("Bytes a second that replicas out of sync receive, if `follower.replication.throttled.replicas` names them."),
    long(
        "replica.alter.log.dirs.io.max.bytes.per.second",
        "9223372036854775807",
    )
    .at_least(0)
    .cluster_wide()
    .doc("Bytes a second that replicas which move between directories of a broker may copy, all together."),
    int("initial.broker.registration.timeout.ms", "60000")
        .millis()
        .doc("How long a starting broker tries to register, once it knows the controllers."),
    int("broker.heartbeat.interval.ms", "250")
        .millis()
        .at_least(10)
        .doc(
            "How often a broker tells the controller that it lives; at most half of \
             `broker.session.timeout.ms`. Kafka's default is 2000.",
        ),
    int("broker.session.timeout.ms", "1000")
        .millis()
        .at_least(100)
        .high()
        .doc(
            "A broker that was silent for this long is fenced: others lead its partitions. Kafka's \
             default is 9000. Heartbeats are no records here and have connections of their own, so \
             a busy cluster does not delay them; three that are lost in a row mean something. \
             Where processes may stall for longer, as on crowded machines, raise both.",
        ),
    list("controller.listener.names", "CONTROLLER").high().doc(
        "Listeners of the controllers. Controllers open those that `listeners` has, brokers \
             that are no controllers must not have any; clients are never served there. A name \
             that `listener.security.protocol.map` is not given for is PLAINTEXT.",
    ),
    list("controller.quorum.voters", "")
        .valid(Valid::Checked(endpoint::voters))
        .high()
        .doc(
            "The controllers, when they are known beforehand: `id@host:port`, the same for every \
             node. They form the quorum once all of them are up with empty directories. Without \
             this and `controller.quorum.bootstrap.servers` a broker is its own controller.",
        ),
    list("controller.quorum.bootstrap.servers", "")
        .valid(Valid::Checked(endpoint::addresses))
        .high()
        .doc(
            "Controller listeners, `host:port`, where the quorum is found when its members are not \
             known beforehand. When all of them are new, they form it. A node that finds it formed \
             listens to it; see `controller.quorum.auto.join.enable`. Ignored when \
             `controller.quorum.voters` is set.",
        ),
    int("controller.quorum.election.timeout.ms", "1000")
        .millis()
        .at_least(0)
        .no_meaning(TIMES)
        .doc("A voter without a leader for this long stands for election."),
    int("controller.quorum.fetch.timeout.ms", "2000")
        .millis()
        .at_least(0)
        .no_meaning(TIMES)
        .doc("A voter that hears nothing for this long starts an election."),
    int("controller.quorum.election.backoff.max.ms", "1000")
        .millis()
        .at_least(0)
        .no_meaning(TIMES)
        .doc("Longest pause between elections."),
    int("freshet.quorum.round.trip.ms", "100")
        .millis()
        .between(100, 1_000)
        .doc(
            "How long a word from one controller to another and its answer take at most; the same for all \
             nodes. The quorum's times grow with it: with 100 ms a dead active controller is replaced within \
             a second, with 500 ms within five. Where lines are longer than this there is no active \
             controller: leaders go on, but nothing can be changed and who fails is not replaced. Above \
             100 ms `broker.session.timeout.ms` must be at least ten times as much. It may be changed on one node \
             after the other.",
        ),
    int("controller.quorum.append.linger.ms", "25")
        .millis()
        .at_least(0)
        .no_meaning(KRAFT)
        .doc("How long the quorum's leader gathers records."),
    int("controller.quorum.request.timeout.ms", "2000")
        .millis()
        .at_least(0)
        .no_meaning(TIMES)
        .doc("How long a voter waits for an answer."),
    int("controller.quorum.retry.backoff.ms", "20")
        .millis()
        .at_least(0)
        .no_meaning(TIMES)
        .doc("Pause between requests of voters."),
    boolean("controller.quorum.auto.join.enable", "false").doc(
        "Whether a controller that finds a formed quorum joins its voters by itself, at each \
             start, instead of listening until somebody adds it.",
    ),
    int("controller.quorum.fetch.snapshot.max.bytes", "1048576")
        .bytes()
        .at_least(1)
        .no_meaning(KRAFT)
        .doc("Bytes of a snapshot in one fetch."),
    int("controller.quorum.fetch.max.bytes", "1048576")
        .bytes()
        .at_least(1)
        .no_meaning(KRAFT)
        .doc("Bytes of the metadata log in one fetch."),
    long("metadata.log.max.snapshot.interval.ms", "3600000")
        .millis()
        .at_least(0)
        .no_meaning(KRAFT)
        .doc("Longest time between snapshots."),
    long("metadata.log.segment.ms", "604800000")
        .millis()
        .no_meaning(KRAFT)
        .doc("A segment of the metadata log is closed after this long."),
    long("metadata.max.retention.bytes", "104857600")
        .bytes()
        .no_meaning(KRAFT)
        .doc("Metadata log that is kept behind snapshots."),
    long("metadata.max.retention.ms", "604800000")
        .millis()
        .no_meaning(KRAFT)
        .doc("How long metadata log and snapshots are kept."),
    int("metadata.max.idle.interval.ms", "500")
        .millis()
        .at_least(0)
        .no_meaning(KRAFT)
        .doc("How often an idle controller writes an empty record."),
];
