//! Threads, quotas, metrics and plugins of Kafka: mostly without a meaning here.

use crate::setting::declare::{int, list, long, string, unset};
use crate::setting::{Kind, Setting};

const QUOTAS: &str = "quotas of clients are not built yet; nobody is slowed down";
const BUCKETS: &str =
    "throttled replicas and moves draw from buckets of one second; there are no windows";
const TELEMETRY: &str = "client telemetry (KIP-714) is not served; clients stay quiet";
const THREADS: &str = "work is not divided into such pools here; see freshet.network.threads, freshet.append.threads and freshet.read.threads";
const MEMORY: &str =
    "requests are bounded by bytes, not by number; see freshet.request.memory.bytes";
const METRICS: &str = "metrics are served for Prometheus at /metrics of http.listener";
const JAVA: &str = "it names a Java class, and there is no Java here";
const CHECKPOINT: &str =
    "log starts are durable when they move; there is nothing to write down later";

pub(crate) static SETTINGS: &[Setting] = &[
    int("queued.max.requests", "500")
        .at_least(1)
        .no_meaning(MEMORY)
        .doc("Requests that may wait for a thread."),
    long("queued.max.request.bytes", "-1")
        .bytes()
        .no_meaning(MEMORY)
        .doc("Bytes of requests that may wait for a thread; -1 sets no bound."),
    int("num.network.threads", "3")
        .at_least(1)
        .cluster_wide()
        .no_meaning(THREADS)
        .doc("Threads of each listener."),
    int("num.io.threads", "8")
        .at_least(1)
        .cluster_wide()
        .no_meaning(THREADS)
        .doc("Threads that serve requests."),
    int("background.threads", "10")
        .at_least(1)
        .cluster_wide()
        .no_meaning(THREADS)
        .doc("Threads for other work."),
    long("socket.connection.setup.timeout.ms", "10000")
        .millis()
        .no_meaning(THREADS)
        .doc("How long connecting to another broker may take."),
    long("socket.connection.setup.timeout.max.ms", "30000")
        .millis()
        .no_meaning(THREADS)
        .doc("Longest such time after failures."),
    list("config.providers", "")
        .no_meaning(JAVA)
        .doc("Java classes that fill in values of settings."),
    unset("create.topic.policy.class.name", Kind::Class)
        .no_meaning(JAVA)
        .doc("Java class that judges new topics."),
    unset("alter.config.policy.class.name", Kind::Class)
        .no_meaning(JAVA)
        .doc("Java class that judges changed settings."),
    int("log.flush.start.offset.checkpoint.interval.ms", "60000")
        .millis()
        .at_least(0)
        .no_meaning(CHECKPOINT)
        .doc("How often log starts are written down."),
    int("quota.window.num", "11")
        .at_least(1)
        .not_yet(QUOTAS)
        .doc("Windows over which clients' rates are measured."),
    int("quota.window.size.seconds", "1")
        .at_least(1)
        .not_yet(QUOTAS)
        .doc("Length of such a window."),
    int("replication.quota.window.num", "11")
        .at_least(1)
        .no_meaning(BUCKETS)
        .doc("Windows over which replication is measured."),
    int("replication.quota.window.size.seconds", "1")
        .at_least(1)
        .no_meaning(BUCKETS)
        .doc("Length of such a window."),
    int("alter.log.dirs.replication.quota.window.num", "11")
        .at_least(1)
        .no_meaning(BUCKETS)
        .doc("Windows over which moves between directories are measured."),
    int("alter.log.dirs.replication.quota.window.size.seconds", "1")
        .at_least(1)
        .no_meaning(BUCKETS)
        .doc("Length of such a window."),
    int("controller.quota.window.num", "11")
        .at_least(1)
        .not_yet(QUOTAS)
        .doc("Windows over which metadata changes are measured."),
    int("controller.quota.window.size.seconds", "1")
        .at_least(1)
        .not_yet(QUOTAS)
        .doc("Length of such a window."),
    unset("client.quota.callback.class", Kind::Class)
        .no_meaning(JAVA)
        .doc("Java class that chooses quotas."),
    int("metrics.num.samples", "2")
        .at_least(1)
        .no_meaning(METRICS)
        .doc("Samples of a metric."),
    long("metrics.sample.window.ms", "30000")
        .millis()
        .at_least(1)
        .no_meaning(METRICS)
        .doc("Time of a sample."),
    string("metrics.recording.level", "INFO")
        .one_of(&["INFO", "DEBUG", "TRACE"])
        .no_meaning(METRICS)
        .doc("Which metrics are kept."),
    list(
        "metric.reporters",
        "org.apache.kafka.common.metrics.JmxReporter",
    )
    .no_meaning(METRICS)
    .doc("Java classes that report metrics."),
    list("kafka.metrics.reporters", "")
        .no_meaning(METRICS)
        .doc("Java classes that report metrics of the broker."),
    int("kafka.metrics.polling.interval.secs", "10")
        .at_least(1)
        .no_meaning(METRICS)
        .doc("How often those report."),
    int("telemetry.max.bytes", "1048576")
        .bytes()
        .at_least(1)
        .not_yet(TELEMETRY)
        .doc("Largest push of client metrics."),
];
