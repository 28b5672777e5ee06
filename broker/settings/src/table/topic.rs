//! Settings of a topic: Kafka 4.4's, in its names and defaults, and `freshet.durability`.

use crate::setting::declare::{boolean, double, int, list, long, same, string, times};
use crate::setting::{Scope, Setting, Valid};

const HOUR_MS: i64 = 3_600_000;
pub(crate) const CLEANER: &str = "the cleaner is not built yet; compacted topics keep every record";

/// The words of `compression.type`.
pub(crate) const COMPRESSION: &[&str] =
    &["producer", "uncompressed", "gzip", "snappy", "lz4", "zstd"];
/// The words of `cleanup.policy`.
pub(crate) const CLEANUP: &[&str] = &["compact", "delete"];
/// The words of `message.timestamp.type`.
pub(crate) const TIMESTAMP_TYPE: &[&str] = &["CreateTime", "LogAppendTime"];
/// The words of `freshet.durability`.
pub(crate) const DURABILITY: &[&str] = &["fsync", "page-cache"];

/// gzip's levels: -1 is zlib's own choice (6).
pub(crate) fn gzip_level(text: &str) -> Result<(), String> {
    match text.parse() {
        Ok(-1 | 1..=9) => Ok(()),
        _ => Err("-1 (the codec's default) or a whole number from 1 to 9".to_owned()),
    }
}

/// `partition:broker` pairs, or `*` for all.
pub(crate) fn throttled_replicas(text: &str) -> Result<(), String> {
    let pair = |item: &str| {
        item.split_once(':').is_some_and(|(p, b)| {
            p.trim().parse::<u32>().is_ok() && b.trim().parse::<u32>().is_ok()
        })
    };
    if text == "*" || crate::value::items(text).all(pair) {
        return Ok(());
    }
    Err("* or a list of partition:broker pairs such as 0:1,1:2".to_owned())
}

const fn topic(setting: Setting) -> Setting {
    setting.scope(Scope::Topic)
}

pub(crate) static SETTINGS: &[Setting] = &[
    topic(list("cleanup.policy", "delete"))
        .valid(Valid::ListOf { words: CLEANUP, empty: true })
        .from(&[same("log.cleanup.policy")])
        .doc("What happens to old records: `delete` drops whole segments by age and size, `compact` \
              keeps the last value of each key. Both may be given; none keeps everything. Compaction \
              is not built yet: a topic with `compact` alone keeps everything."),
    topic(long("retention.ms", "604800000")).millis().at_least(-1)
        .from(&[same("log.retention.ms"), times("log.retention.minutes", 60_000), times("log.retention.hours", HOUR_MS)])
        .doc("Segments whose newest record is older than this are deleted, if the policy has \
              `delete`. -1 keeps them whatever their age."),
    topic(long("retention.bytes", "-1")).bytes().at_least(-1)
        .from(&[same("log.retention.bytes")])
        .doc("The oldest segments of a partition are deleted while it is larger than this, if the \
              policy has `delete`. -1 sets no bound."),
    topic(int("segment.bytes", "1073741824")).bytes().at_least(1_048_576)
        .from(&[same("log.segment.bytes")])
        .doc("A segment is closed before it would grow beyond this. Retention works by whole \
              segments."),
    topic(long("segment.ms", "604800000")).millis().at_least(1)
        .from(&[same("log.roll.ms"), times("log.roll.hours", HOUR_MS)])
        .doc("A segment is closed this long after its first record, full or not."),
    topic(long("segment.jitter.ms", "0")).millis().at_least(0)
        .from(&[same("log.roll.jitter.ms"), times("log.roll.jitter.hours", HOUR_MS)])
        .doc("Up to this much is taken off `segment.ms`, so that many segments do not close at once."),
    topic(int("segment.index.bytes", "10485760")).bytes().at_least(4)
        .from(&[same("log.index.size.max.bytes")])
        .doc("Bound of one segment's index. An index that reaches it is thinned; the segment goes on."),
    topic(int("index.interval.bytes", "4096")).bytes().at_least(0)
        .from(&[same("log.index.interval.bytes")])
        .doc("Index entries are at least this far apart."),
    topic(long("file.delete.delay.ms", "60000")).millis().at_least(0)
        .from(&[same("log.segment.delete.delay.ms")])
        .doc("How long the files of a deleted segment stay on disk for readers that are in them."),
    topic(boolean("preallocate", "false"))
        .from(&[same("log.preallocate")])
        .doc("Reserve disk blocks ahead of the end of the active segment."),
    topic(string("freshet.durability", "fsync")).one_of(DURABILITY).high()
        .from(&[same("freshet.durability")])
        .doc("When a record counts as written. `fsync`: once it is on stable storage, so that an \
              acknowledged record survives power loss. `page-cache`: once the kernel has it, as in \
              Kafka; it survives a crash of the process, not of the machine."),
    topic(long("flush.messages", "9223372036854775807")).at_least(1)
        .from(&[same("log.flush.interval.messages")])
        .doc("With `freshet.durability=page-cache`: sync after so many records."),
    topic(long("flush.ms", "9223372036854775807")).millis().at_least(0)
        .from(&[same("log.flush.interval.ms"), same("log.flush.scheduler.interval.ms")])
        .doc("With `freshet.durability=page-cache`: sync after so long."),
    topic(int("max.message.bytes", "1048588")).bytes().at_least(0)
        .from(&[same("message.max.bytes")])
        .doc("Largest record batch that is accepted, as it is stored: after compression, header \
              included."),
    topic(string("compression.type", "producer")).one_of(COMPRESSION)
        .from(&[same("compression.type")])
        .doc("`producer` stores batches as they come. Any other word makes the broker compress \
              them again, which costs it CPU."),
    topic(int("compression.gzip.level", "-1")).valid(Valid::Checked(gzip_level))
        .from(&[same("compression.gzip.level")])
        .doc("gzip level, if the broker compresses. -1 is the codec's default."),
    topic(int("compression.lz4.level", "9")).between(1, 17)
        .from(&[same("compression.lz4.level")])
        .doc("lz4 level, if the broker compresses."),
    topic(int("compression.zstd.level", "3")).between(-131_072, 22)
        .from(&[same("compression.zstd.level")])
        .doc("zstd level, if the broker compresses."),
    topic(string("message.timestamp.type", "CreateTime")).one_of(TIMESTAMP_TYPE)
        .from(&[same("log.message.timestamp.type")])
        .doc("Whose clock stamps records: the producer's (`CreateTime`) or the broker's \
              (`LogAppendTime`)."),
    topic(long("message.timestamp.before.max.ms", "9223372036854775807")).millis().at_least(0)
        .from(&[same("log.message.timestamp.before.max.ms")])
        .doc("Records stamped further in the past than this are refused. Means nothing with \
              `LogAppendTime`."),
    topic(long("message.timestamp.after.max.ms", "3600000")).millis().at_least(0)
        .from(&[same("log.message.timestamp.after.max.ms")])
        .doc("Records stamped further in the future than this are refused. Means nothing with \
              `LogAppendTime`."),
    topic(int("min.insync.replicas", "1")).at_least(1).high()
        .from(&[same("min.insync.replicas")])
        .doc("With `acks=all`, a write is refused while fewer replicas than this are in sync."),
    topic(boolean("unclean.leader.election.enable", "false")).high()
        .from(&[same("unclean.leader.election.enable")])
        .doc("Whether a replica that misses acknowledged records may lead when no other is left. \
              Trades those records for being available. Heeded when brokers go or come, and at \
              once where it is set for the topic or for all brokers at run time."),
    topic(double("min.cleanable.dirty.ratio", "0.5")).valid(Valid::DoubleRange(0.0, 1.0))
        .from(&[same("log.cleaner.min.cleanable.ratio")]).not_yet(CLEANER)
        .doc("Share of the log that must be new before it is compacted again."),
    topic(long("min.compaction.lag.ms", "0")).millis().at_least(0)
        .from(&[same("log.cleaner.min.compaction.lag.ms")]).not_yet(CLEANER)
        .doc("A record stays for at least this long before compaction may drop it."),
    topic(long("max.compaction.lag.ms", "9223372036854775807")).millis().at_least(1)
        .from(&[same("log.cleaner.max.compaction.lag.ms")]).not_yet(CLEANER)
        .doc("After this long a record must have been looked at by compaction."),
    topic(long("delete.retention.ms", "86400000")).millis().at_least(0)
        .from(&[same("log.cleaner.delete.retention.ms")]).not_yet(CLEANER)
        .doc("How long a tombstone stays in a compacted topic, for consumers that start from the \
              beginning to see it."),
    topic(list("leader.replication.throttled.replicas", "")).valid(Valid::Checked(throttled_replicas))
        .doc("Leaders (`partition:broker`) that throttle what they send to replicas out of sync; `*` for \
              all."),
    topic(list("follower.replication.throttled.replicas", "")).valid(Valid::Checked(throttled_replicas))
        .doc("Replicas (`partition:broker`) that throttle their own replication while they are not in \
              sync; `*` for all."),
    topic(boolean("remote.storage.enable", "false"))
        .from(&[same("freshet.remote.storage.enable")])
        .doc("Copy closed segments to object storage, where they are read once they have left the local \
              disks (`local.retention.ms`, `local.retention.bytes`)."),
    topic(long("local.retention.ms", "-2")).millis().at_least(-2)
        .from(&[same("log.local.retention.ms")])
        .doc("How long segments stay on local disks once they are in object storage. -2 follows \
              `retention.ms`, and keeps all of them where `cleanup.policy` has no `delete`."),
    topic(long("local.retention.bytes", "-2")).bytes().at_least(-2)
        .from(&[same("log.local.retention.bytes")])
        .doc("How much of a partition stays on local disks once it is in object storage. -2 \
              follows `retention.bytes`, and keeps all of it where `cleanup.policy` has no `delete`."),
    topic(boolean("remote.log.copy.disable", "false"))
        .doc("Stop copying to object storage; what is there stays readable."),
    topic(boolean("remote.log.delete.on.disable", "false"))
        .doc("Whether tiering may be switched off: `remote.storage.enable` cannot be taken back without it. \
              What is on no disk is gone for readers at once, and objects are deleted an hour later, those \
              that the disk has a part of when its retention has taken that."),
    topic(boolean("freshet.remote.delete.on.topic.delete", "true"))
        .from(&[same("freshet.remote.delete.on.topic.delete")])
        .doc("Whether what a topic has in object storage goes when the topic is deleted. `false` leaves \
              its segments and manifests there for good: `freshet tier kept` shows what was left, and \
              `freshet cluster restore --deleted` brings it back."),
    topic(long("remote.copy.lag.ms", "0")).millis().at_least(-1)
        .from(&[same("log.remote.copy.lag.ms")])
        .doc("A closed segment is copied to object storage once its newest record is this old, or \
              `remote.copy.lag.bytes` says so. Never later than the local retention; -1 is as late."),
    topic(long("remote.copy.lag.bytes", "-1")).bytes().at_least(-1)
        .from(&[same("log.remote.copy.lag.bytes")])
        .doc("A closed segment is copied to object storage once this much lies after it, or \
              `remote.copy.lag.ms` says so. Never later than the local retention; -1 is as late."),
    topic(boolean("errors.deadletterqueue.group.enable", "false"))
        .not_yet("share groups are not built yet; no topic receives dead letters")
        .doc("Whether share groups may use this topic as their dead-letter queue."),
];
