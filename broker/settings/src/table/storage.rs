//! Logs: where they are, how they are written, and the defaults of topics.

use super::topic::{CLEANUP, COMPRESSION, DURABILITY, TIMESTAMP_TYPE, gzip_level};
use crate::setting::declare::{boolean, double, int, list, long, string, unset};
use crate::setting::{Kind, Setting, Unit, Valid};

const CLEANER: &str = "the cleaner is not built yet; compacted topics keep every record";

pub(crate) static SETTINGS: &[Setting] = &[
    list("log.dir", "./freshet-data").valid(Valid::NotEmpty).high()
        .doc("Where data lies, if `log.dirs` is not set. Kafka's own default is `/tmp/kafka-logs`."),
    unset("log.dirs", Kind::List).valid(Valid::NotEmpty).high()
        .doc("Directories for data, separated by commas. Each should be a disk of its own."),
    unset("metadata.log.dir", Kind::String).valid(Valid::NotEmpty).high()
        .doc("Where the metadata log lies; without it, in the first directory of `log.dirs`."),
    // Defaults of topics.
    int("num.partitions", "1").at_least(1).doc("Partitions of a topic whose creator names no number."),
    int("default.replication.factor", "1").between(1, 32767)
        .doc("Replicas of a topic whose creator names no number."),
    boolean("auto.create.topics.enable", "true").high()
        .doc("Whether asking for an unknown topic creates it, if the client wants that too."),
    boolean("delete.topic.enable", "true").high().doc("Whether topics can be deleted."),
    list("log.cleanup.policy", "delete").valid(Valid::ListOf { words: CLEANUP, empty: true }).cluster_wide()
        .doc("Default of `cleanup.policy`."),
    unset("log.retention.ms", Kind::Long).millis().at_least(-1).cluster_wide().high()
        .doc("Default of `retention.ms`. Stronger than the same in minutes or hours."),
    unset("log.retention.minutes", Kind::Int).unit(Unit::Minutes).at_least(-1).high()
        .doc("Default of `retention.ms`, in minutes. Stronger than the same in hours."),
    int("log.retention.hours", "168").unit(Unit::Hours).at_least(-1).high()
        .doc("Default of `retention.ms`, in hours."),
    long("log.retention.bytes", "-1").bytes().at_least(-1).cluster_wide().high()
        .doc("Default of `retention.bytes`."),
    int("log.segment.bytes", "1073741824").bytes().at_least(1_048_576).cluster_wide().high()
        .doc("Default of `segment.bytes`."),
    unset("log.roll.ms", Kind::Long).millis().at_least(1).cluster_wide().high()
        .doc("Default of `segment.ms`. Stronger than the same in hours."),
    int("log.roll.hours", "168").unit(Unit::Hours).at_least(1).high()
        .doc("Default of `segment.ms`, in hours."),
    unset("log.roll.jitter.ms", Kind::Long).millis().at_least(0).cluster_wide()
        .doc("Default of `segment.jitter.ms`. Stronger than the same in hours."),
    int("log.roll.jitter.hours", "0").unit(Unit::Hours).at_least(0)
        .doc("Default of `segment.jitter.ms`, in hours."),
    int("log.index.size.max.bytes", "10485760").bytes().at_least(4).cluster_wide()
        .doc("Default of `segment.index.bytes`."),
    int("log.index.interval.bytes", "4096").bytes().at_least(0).cluster_wide()
        .doc("Default of `index.interval.bytes`."),
    long("log.segment.delete.delay.ms", "60000").millis().at_least(0).cluster_wide()
        .doc("Default of `file.delete.delay.ms`."),
    boolean("log.preallocate", "false").cluster_wide().doc("Default of `preallocate`."),
    string("freshet.durability", "fsync").one_of(DURABILITY).cluster_wide().high()
        .doc("Default of the topic setting of the same name."),
    long("log.flush.interval.messages", "9223372036854775807").at_least(1).cluster_wide()
        .doc("Default of `flush.messages`."),
    unset("log.flush.interval.ms", Kind::Long).millis().at_least(0).cluster_wide()
        .doc("Default of `flush.ms`."),
    long("log.flush.scheduler.interval.ms", "9223372036854775807").millis().at_least(1)
        .doc("Default of `log.flush.interval.ms`."),
    int("message.max.bytes", "1048588").bytes().at_least(0).cluster_wide().high()
        .doc("Default of `max.message.bytes`."),
    string("compression.type", "producer").one_of(COMPRESSION).cluster_wide().high()
        .doc("Default of the topic setting of the same name."),
    int("compression.gzip.level", "-1").valid(Valid::Checked(gzip_level)).cluster_wide()
        .doc("Default of the topic setting of the same name."),
    int("compression.lz4.level", "9").between(1, 17).cluster_wide()
        .doc("Default of the topic setting of the same name."),
    int("compression.zstd.level", "3").between(-131_072, 22).cluster_wide()
        .doc("Default of the topic setting of the same name."),
    string("log.message.timestamp.type", "CreateTime").one_of(TIMESTAMP_TYPE).cluster_wide()
        .doc("Default of `message.timestamp.type`."),
    long("log.message.timestamp.before.max.ms", "9223372036854775807").millis().at_least(0).cluster_wide()
        .doc("Default of `message.timestamp.before.max.ms`."),
    long("log.message.timestamp.after.max.ms", "3600000").millis().at_least(0).cluster_wide()
        .doc("Default of `message.timestamp.after.max.ms`."),
    int("min.insync.replicas", "1").at_least(1).cluster_wide().high()
        .doc("Default of the topic setting of the same name."),
    boolean("unclean.leader.election.enable", "false").cluster_wide().high()
        .doc("Default of the topic setting of the same name. Controllers heed it: a value for one broker \
              alone means nothing."),
    double("log.cleaner.min.cleanable.ratio", "0.5").valid(Valid::DoubleRange(0.0, 1.0)).cluster_wide()
        .not_yet(CLEANER).doc("Default of `min.cleanable.dirty.ratio`."),
    long("log.cleaner.min.compaction.lag.ms", "0").millis().at_least(0).cluster_wide()
        .not_yet(CLEANER).doc("Default of `min.compaction.lag.ms`."),
    long("log.cleaner.max.compaction.lag.ms", "9223372036854775807").millis().at_least(1).cluster_wide()
        .not_yet(CLEANER).doc("Default of `max.compaction.lag.ms`."),
    long("log.cleaner.delete.retention.ms", "86400000").millis().at_least(0).cluster_wide()
        .not_yet(CLEANER).doc("Default of `delete.retention.ms`."),
    long("log.local.retention.ms", "-2").millis().at_least(-2).cluster_wide()
        .doc("Default of `local.retention.ms`."),
    long("log.local.retention.bytes", "-2").bytes().at_least(-2).cluster_wide()
        .doc("Default of `local.retention.bytes`."),
    long("log.remote.copy.lag.ms", "0").millis().at_least(-1).cluster_wide()
        .doc("Default of `remote.copy.lag.ms`."),
    long("log.remote.copy.lag.bytes", "-1").bytes().at_least(-1).cluster_wide()
        .doc("Default of `remote.copy.lag.bytes`."),
    // How logs are kept.
    long("log.retention.check.interval.ms", "300000").millis().at_least(1)
        .doc("How often segments are looked at for retention."),
    int("num.recovery.threads.per.data.dir", "2").at_least(1).high()
        .doc("Threads for each directory that open logs at start."),
    int("log.flush.offset.checkpoint.interval.ms", "60000").millis().at_least(0).high()
        .doc("How often the point is noted from which a log is read again after a crash."),
    int("producer.id.expiration.ms", "86400000").millis().at_least(1).cluster_wide().low()
        .doc("A producer that is idle for this long is forgotten by its partitions."),
    int("freshet.log.producers.max", "100000").at_least(1)
        .doc("Producers that a partition remembers; the longest idle is forgotten first."),
    int("freshet.append.threads", "0").between(0, 256)
        .doc("Threads that append; a partition belongs to one. 0 takes half of the cores, at least one."),
    int("freshet.read.threads", "4").between(1, 256)
        .doc("Threads that read what is in no cache."),
    long("freshet.append.queue.bytes", "134217728").bytes().at_least(1_048_576)
        .doc("Bytes of batches that may wait for one append thread. Produce is refused with a \
              retriable error while it is full."),
    long("freshet.log.tail.memory.bytes", "33554432").bytes().at_least(0)
        .doc("Memory for the newest batches of all partitions, so that consumers at the end read no file."),
    long("freshet.disk.slow.flush.ms", "250").millis().at_least(0)
        .doc("A disk is slow when most of its flushes of a few seconds take longer than this. Others lead \
              then what this broker leads on it. 0 calls no disk slow."),
    long("freshet.disk.slow.recovery.ms", "15000").millis().at_least(0)
        .doc("A disk that was slow is well again once it was not for so long."),
    long("freshet.disk.reserve.bytes", "268435456").bytes().at_least(0).high()
        .doc("Produce is refused with a retriable error when less than this is free on the file \
              system of a log; reads, deletes and metadata go on."),
];
