//! Object storage and the cleaner: accepted ahead of the rooms that will use them.

use crate::setting::declare::{boolean, double, int, long, short, string, unset};
use crate::setting::{Kind, Setting, Valid};

const PLUGIN: &str = "object storage is built in; there are no Java plugins";
const NO_WINDOWS: &str = "a rate is kept from byte to byte, without windows";
const NO_POOL: &str = "no thread waits for object storage, so none are counted";
const CLEANER: &str = "the cleaner is not built yet; compacted topics keep every record";

/// The kind of store is known and something is named; the rest is read when it is opened.
fn storage_url(text: &str) -> Result<(), String> {
    let named = |scheme: &str| {
        text.strip_prefix(scheme)
            .is_some_and(|rest| !rest.is_empty())
    };
    let is_known = ["s3://", "gs://", "az://", "file:///"]
        .into_iter()
        .any(named);
    // Whoever may see the settings would see them as well.
    if is_known && !text.contains('@') {
        return Ok(());
    }
    Err(
        "s3://bucket/prefix, gs://bucket/prefix, az://container/prefix or file:///folder, without \
         credentials"
            .to_owned(),
    )
}

pub(crate) static SETTINGS: &[Setting] = &[
    boolean("remote.log.storage.system.enable", "false")
        .doc("Whether topics may keep closed segments in object storage."),
    boolean("freshet.remote.storage.enable", "false")
        .cluster_wide()
        .high()
        .doc("Default of `remote.storage.enable`, for topics that are there as well; topics of the \
              cluster's own never tier. A controller whose file has it makes it a setting of the \
              cluster, and it is switched off there only: refused while a topic would lose what it has \
              in object storage (`remote.log.delete.on.disable`). Kafka has no such default."),
    boolean("freshet.remote.delete.on.topic.delete", "true")
        .cluster_wide()
        .doc("Default of the topic setting of the same name. Controllers heed it: a value for one broker \
              alone means nothing."),
    unset("remote.log.storage.url", Kind::String)
        .valid(Valid::Checked(storage_url))
        .doc("Which object storage: `s3://bucket/prefix`, `gs://bucket/prefix`, `az://container/prefix`, \
              or `file:///folder`. Who asks, and of which server, the environment says: `AWS_*`, \
              `GOOGLE_*`, `AZURE_*`."),
    boolean("freshet.remote.storage.shared", "false")
        .doc("Whether this cluster may begin where another one keeps objects already. Without it a broker \
              does not start if all that is below `remote.log.storage.url` has another cluster's id. Once \
              the cluster has objects of its own there this only silences the warning that another one has."),
    string("remote.log.storage.manager.impl.prefix", "rsm.config.")
        .no_meaning(PLUGIN)
        .doc("How names of the storage plugin's settings begin."),
    string("remote.log.metadata.manager.impl.prefix", "rlmm.config.")
        .no_meaning(PLUGIN)
        .doc("How names of the metadata plugin's settings begin."),
    unset("remote.log.storage.manager.class.name", Kind::String)
        .no_meaning(PLUGIN)
        .doc("Java class of the storage plugin."),
    unset("remote.log.storage.manager.class.path", Kind::String)
        .no_meaning(PLUGIN)
        .doc("Class path of the storage plugin."),
    unset("remote.log.metadata.manager.class.name", Kind::String)
        .no_meaning(PLUGIN)
        .doc("Java class of the metadata plugin."),
    unset("remote.log.metadata.manager.class.path", Kind::String)
        .no_meaning(PLUGIN)
        .doc("Class path of the metadata plugin."),
    unset("remote.log.metadata.manager.listener.name", Kind::String)
        .no_meaning(PLUGIN)
        .doc("Listener of the metadata plugin."),
    int("remote.log.metadata.custom.metadata.max.bytes", "128")
        .bytes()
        .at_least(0)
        .no_meaning(PLUGIN)
        .doc("Custom bytes of the storage plugin for each segment."),
    short("remote.log.metadata.topic.replication.factor", "3")
        .at_least(1)
        .no_meaning(PLUGIN)
        .doc("Replicas of `__remote_log_metadata`."),
    int("remote.log.metadata.topic.num.partitions", "50")
        .at_least(1)
        .no_meaning(PLUGIN)
        .doc("Partitions of `__remote_log_metadata`."),
    short("rlmm.config.remote.log.metadata.topic.replication.factor", "3")
        .at_least(1)
        .doc("Replicas of `__remote_log_metadata`."),
    int("rlmm.config.remote.log.metadata.topic.num.partitions", "50")
        .at_least(1)
        .doc("Partitions of `__remote_log_metadata`; each keeps the manifests of some partitions."),
    short("rlmm.config.remote.log.metadata.topic.min.isr", "2")
        .at_least(1)
        .doc("`min.insync.replicas` of `__remote_log_metadata`."),
    long("remote.log.metadata.topic.retention.ms", "-1")
        .millis()
        .no_meaning(PLUGIN)
        .doc("Retention of `__remote_log_metadata`."),
    short("remote.log.metadata.topic.min.isr", "2")
        .at_least(1)
        .no_meaning(PLUGIN)
        .doc("`min.insync.replicas` of `__remote_log_metadata`."),
    long("remote.log.metadata.consume.wait.ms", "120000")
        .millis()
        .at_least(0)
        .no_meaning(PLUGIN)
        .doc("How long a write to `__remote_log_metadata` is waited for."),
    long(
        "remote.log.metadata.initialization.retry.max.timeout.ms",
        "120000",
    )
    .millis()
    .at_least(0)
    .no_meaning(PLUGIN)
    .doc("How long the metadata plugin tries to start."),
    long(
        "remote.log.metadata.initialization.retry.interval.ms",
        "100",
    )
    .millis()
    .at_least(0)
    .no_meaning(PLUGIN)
    .doc("Pause between such tries."),
    long("remote.log.index.file.cache.total.size.bytes", "25165824")
        .bytes()
        .at_least(1)
        .cluster_wide()
        .doc("Memory for what is kept of objects beside their batches: two thirds for indexes, a third \
              for aborted transactions and producers. Kafka's default is 1 GiB, but of files on a \
              disk. This holds the indexes of 250 segments of 1 GiB; one that is not there is one \
              request."),
    int("remote.log.manager.thread.pool.size", "2")
        .at_least(1)
        .no_meaning(NO_POOL)
        .doc("Older name of `remote.log.manager.follower.thread.pool.size`."),
    int("remote.log.manager.copier.thread.pool.size", "10")
        .at_least(1)
        .cluster_wide()
        .doc("Threads that copy to object storage."),
    int("remote.log.manager.expiration.thread.pool.size", "10")
        .at_least(1)
        .cluster_wide()
        .no_meaning(NO_POOL)
        .doc("Threads that expire segments in object storage."),
    int("remote.log.manager.follower.thread.pool.size", "2")
        .at_least(1)
        .cluster_wide()
        .no_meaning(NO_POOL)
        .doc("Threads that followers use for object storage."),
    long("remote.log.manager.task.interval.ms", "30000")
        .millis()
        .at_least(1)
        .doc("How often segments are looked at for copying and expiry."),
    int("remote.log.reader.threads", "16")
        .at_least(1)
        .cluster_wide()
        .doc("Requests to object storage that are under way at a time for readers, 1 MiB each, two at \
              least; no thread waits for one. Half of them at most read ahead. With Kafka's default, \
              10, a consumer would have five ahead of it: 50 MB a second where an answer takes 100 ms."),
    int("remote.log.reader.max.pending.tasks", "4096")
        .at_least(1)
        .doc("Readers' requests to object storage that may wait for their turn; then readers are told \
              to come again. One connection has as many as are still free, so half at most. Kafka's \
              default is 100, but of whole answers; here an answer of 8 MiB takes eight or nine. One that \
              waits holds no thread and next to no memory."),
    long("freshet.remote.read.cache.bytes", "67108864")
        .bytes()
        .at_least(4 << 20)
        .cluster_wide()
        .doc("Memory for batches that came from object storage. A quarter of it at most is what is \
              read ahead of one consumer."),
    long("freshet.remote.read.disk.cache.bytes", "0")
        .bytes()
        .at_least(0)
        .doc("Bytes of the disk cache behind that memory, at most, in whole MiB; 0 for none. It needs \
              `freshet.remote.read.disk.cache.dir`."),
    unset("freshet.remote.read.disk.cache.dir", Kind::String)
        .valid(Valid::NotEmpty)
        .doc("Folder of that cache, on a disk that may be lost: nothing in it is synced, and it is \
              emptied at each start. Never in a directory of `log.dirs`: what it takes there, records \
              would lack."),
    long(
        "remote.log.manager.copy.max.bytes.per.second",
        "9223372036854775807",
    )
    .at_least(1)
    .cluster_wide()
    .doc("Bytes a second that are copied to object storage."),
    int("remote.log.manager.copy.quota.window.num", "11")
        .at_least(1)
        .no_meaning(NO_WINDOWS)
        .doc("Windows over which that rate is measured."),
    int("remote.log.manager.copy.quota.window.size.seconds", "1")
        .at_least(1)
        .no_meaning(NO_WINDOWS)
        .doc("Length of such a window."),
    long(
        "remote.log.manager.fetch.max.bytes.per.second",
        "9223372036854775807",
    )
    .at_least(1)
    .cluster_wide()
    .doc("Bytes a second that are read from object storage."),
    int("remote.log.manager.fetch.quota.window.num", "11")
        .at_least(1)
        .no_meaning(NO_WINDOWS)
        .doc("Windows over which that rate is measured."),
    int("remote.log.manager.fetch.quota.window.size.seconds", "1")
        .at_least(1)
        .no_meaning(NO_WINDOWS)
        .doc("Length of such a window."),
    int("remote.fetch.max.wait.ms", "500")
        .millis()
        .at_least(1)
        .cluster_wide()
        .doc("How long a fetch waits for object storage."),
    long("freshet.remote.scrub.interval.ms", "86400000")
        .millis()
        .at_least(1)
        .cluster_wide()
        .doc("How often all of a partition that is in object storage is listed, and each object looked \
              at. What two listings show that lie `freshet.remote.garbage.grace.ms` apart, and nobody \
              knows, is deleted."),
    long("freshet.remote.garbage.grace.ms", "3600000")
        .millis()
        .at_least(1000)
        .doc("How long an object stays in object storage that nobody names any more. Longer than any read \
              or upload of an object takes, and than any request of a broker that was replaced stays on \
              its way: less than ten minutes is for trying it out."),
    long("freshet.remote.scrub.bytes.per.second", "1048576")
        .at_least(0)
        .cluster_wide()
        .doc("Bytes a second of objects that a broker reads back to see whether they are damaged, at \
              most once in `freshet.remote.scrub.interval.ms`; 0 for none."),
    long("freshet.remote.export.interval.ms", "10000")
        .millis()
        .at_least(0)
        .cluster_wide()
        .doc("How long at most what a restore needs beside the segments (topics, settings, positions of \
              groups) waits after a change until it is in object storage; 0 keeps it out: then a cluster \
              that has lost its disks cannot be restored."),
    long("remote.list.offsets.request.timeout.ms", "30000")
        .millis()
        .at_least(1)
        .cluster_wide()
        .doc("How long a ListOffsets request that does not say waits for object storage."),
    boolean("log.cleaner.enable", "true")
        .not_yet(CLEANER)
        .doc("Whether compacted topics are compacted."),
    int("log.cleaner.threads", "1")
        .at_least(0)
        .cluster_wide()
        .not_yet(CLEANER)
        .doc("Threads that compact."),
    double(
        "log.cleaner.io.max.bytes.per.second",
        "1.7976931348623157E308",
    )
    .cluster_wide()
    .not_yet(CLEANER)
    .doc("Bytes a second that compaction reads and writes."),
    long("log.cleaner.dedupe.buffer.size", "134217728")
        .bytes()
        .cluster_wide()
        .not_yet(CLEANER)
        .doc("Memory for the keys of a compaction."),
    int("log.cleaner.io.buffer.size", "524288")
        .bytes()
        .at_least(0)
        .cluster_wide()
        .not_yet(CLEANER)
        .doc("Memory for reading and writing in a compaction."),
    double("log.cleaner.io.buffer.load.factor", "0.9")
        .cluster_wide()
        .not_yet(CLEANER)
        .doc("How full the memory for keys may get."),
    long("log.cleaner.backoff.ms", "15000")
        .millis()
        .at_least(0)
        .cluster_wide()
        .not_yet(CLEANER)
        .doc("Pause when there is nothing to compact."),
];
