//! What of one cluster is in object storage.

use super::{Board, CLUSTER, NAMESPACE, OF_CLUSTER, Panel, Row, Show};

pub(super) const BOARD: Board = Board {
    name: "tiering",
    title: "Freshet / Object storage",
    about: "What of one cluster is in object storage, whether copies keep up, and what reading it back takes.",
    chosen: OF_CLUSTER,
    variables: &[NAMESPACE, CLUSTER],
    rows: &[
        Row {
            title: "Is all well?",
            panels: HEALTH,
        },
        Row {
            title: "Copies",
            panels: COPIES,
        },
        Row {
            title: "Reads",
            panels: READS,
        },
        Row {
            title: "Looking after it",
            panels: CARE,
        },
    ],
};

const HEALTH: &[Panel] = &[
    Panel {
        title: "In the bucket",
        about: "Bytes of segment objects.",
        unit: "bytes",
        show: Show::Number,
        queries: &[("sum(freshet_remote_log_size_bytes{@})", "in the bucket")],
    },
    Panel {
        title: "Not copied yet",
        about: "Bytes of closed segments that are on disks only.",
        unit: "bytes",
        show: Show::Number,
        queries: &[("sum(freshet_remote_copy_lag_bytes{@})", "not copied")],
    },
    Panel {
        title: "Damaged objects",
        about: "Objects that are damaged or gone and that no disk could repair.",
        unit: "short",
        show: Show::Zero,
        queries: &[("sum(freshet_remote_damaged_objects{@})", "damaged")],
    },
    Panel {
        title: "Partitions in trouble",
        about: "Partitions whose leaders do not know what is in the bucket, and those whose latest try has failed.",
        unit: "short",
        show: Show::Zero,
        queries: &[
            ("sum(freshet_remote_unknown_partitions{@})", "not known"),
            ("sum(freshet_remote_failing_partitions{@})", "failing"),
        ],
    },
    Panel {
        title: "Copies that failed",
        about: "In the last hour. They are tried again.",
        unit: "short",
        show: Show::Zero,
        queries: &[(
            "sum(increase(freshet_remote_copy_errors_total{@}[1h]))",
            "failed",
        )],
    },
    Panel {
        title: "Reads that failed",
        about: "In the last hour. Clients are told to try again.",
        unit: "short",
        show: Show::Zero,
        queries: &[(
            "sum(increase(freshet_remote_fetch_errors_total{@}[1h]))",
            "failed",
        )],
    },
    Panel {
        title: "Exports that failed",
        about: "In the last hour: exports of topics, settings and positions of groups, by which a cluster is restored.",
        unit: "short",
        show: Show::Zero,
        queries: &[(
            "sum(increase(freshet_remote_cluster_export_errors_total{@}[1h]))",
            "failed",
        )],
    },
];

const COPIES: &[Panel] = &[
    Panel {
        title: "Lag of copies",
        about: "Bytes of closed segments that are not copied yet, by topic. Disks cannot give them back.",
        unit: "bytes",
        show: Show::Stack,
        queries: &[(
            "topk(20, sum by (topic) (freshet_remote_copy_lag_bytes{@}))",
            "{{topic}}",
        )],
    },
    Panel {
        title: "Segments that wait",
        about: "Closed segments that are not copied yet, by topic.",
        unit: "short",
        show: Show::Stack,
        queries: &[(
            "topk(20, sum by (topic) (freshet_remote_copy_lag_segments{@}))",
            "{{topic}}",
        )],
    },
    Panel {
        title: "Stored",
        about: "Bytes stored in segment objects, by broker.",
        unit: "Bps",
        show: Show::Stack,
        queries: &[(
            "sum by (pod) (rate(freshet_remote_copy_bytes_total{@}[$__rate_interval]))",
            "{{pod}}",
        )],
    },
    Panel {
        title: "Requests to the store",
        about: "All of them, by kind: each part, each page of names and each try. Stores ask money for them.",
        unit: "ops",
        show: Show::Stack,
        queries: &[(
            "sum by (method) (rate(freshet_remote_requests_total{@}[$__rate_interval]))",
            "{{method}}",
        )],
    },
    Panel {
        title: "What is stored and deleted",
        about: "Segments copied, manifests and exports stored, objects deleted.",
        unit: "ops",
        show: Show::Lines,
        queries: &[
            (
                "sum(rate(freshet_remote_copy_requests_total{@}[$__rate_interval]))",
                "segments",
            ),
            (
                "sum(rate(freshet_remote_manifest_exports_total{@}[$__rate_interval]))",
                "manifests",
            ),
            (
                "sum(rate(freshet_remote_cluster_exports_total{@}[$__rate_interval]))",
                "exports",
            ),
            (
                "sum(rate(freshet_remote_delete_requests_total{@}[$__rate_interval]))",
                "deletions",
            ),
        ],
    },
    Panel {
        title: "Failures",
        about: "Requests that failed and are tried again.",
        unit: "cps",
        show: Show::Lines,
        queries: &[
            (
                "sum(rate(freshet_remote_copy_errors_total{@}[$__rate_interval]))",
                "copies",
            ),
            (
                "sum(rate(freshet_remote_delete_errors_total{@}[$__rate_interval]))",
                "deletions",
            ),
            (
                "sum(rate(freshet_remote_fetch_errors_total{@}[$__rate_interval]))",
                "reads",
            ),
            (
                "sum(rate(freshet_remote_cluster_export_errors_total{@}[$__rate_interval]))",
                "exports",
            ),
        ],
    },
    Panel {
        title: "Waiting to be deleted",
        about: "Objects that nobody is sent to any more, by topic. They stay for freshet.remote.garbage.grace.ms on purpose.",
        unit: "short",
        show: Show::Stack,
        queries: &[(
            "topk(20, sum by (topic) (freshet_remote_delete_lag_segments{@}))",
            "{{topic}}",
        )],
    },
    Panel {
        title: "Objects",
        about: "Objects that manifests tell of: those with records, being uploaded, or to be deleted.",
        unit: "short",
        show: Show::Stack,
        queries: &[(
            "topk(20, sum by (topic) (freshet_remote_log_metadata_count{@}))",
            "{{topic}}",
        )],
    },
    Panel {
        title: "By topic",
        about: "Bytes of segment objects.",
        unit: "bytes",
        show: Show::Stack,
        queries: &[(
            "topk(20, sum by (topic) (freshet_remote_log_size_bytes{@}))",
            "{{topic}}",
        )],
    },
];

const READS: &[Panel] = &[
    Panel {
        title: "Asked and handed out",
        about: "Bytes that came from the store, and bytes of batches handed to readers.",
        unit: "Bps",
        show: Show::Lines,
        queries: &[
            (
                "sum(rate(freshet_remote_fetch_bytes_total{@}[$__rate_interval]))",
                "from the store",
            ),
            (
                "sum(rate(freshet_remote_read_bytes_total{@}[$__rate_interval]))",
                "to readers",
            ),
        ],
    },
    Panel {
        title: "Requests that read",
        about: "Ranges asked of the store.",
        unit: "reqps",
        show: Show::Lines,
        queries: &[(
            "sum by (pod) (rate(freshet_remote_fetch_requests_total{@}[$__rate_interval]))",
            "{{pod}}",
        )],
    },
    Panel {
        title: "The store's answers",
        about: "From a range asked of the store for readers to its answer: half of them, and 99 % of them.",
        unit: "s",
        show: Show::Lines,
        queries: &[
            (
                "histogram_quantile(0.5, sum by (le) (rate(freshet_remote_fetch_seconds_bucket{@}[$__rate_interval])))",
                "half",
            ),
            (
                "histogram_quantile(0.99, sum by (le) (rate(freshet_remote_fetch_seconds_bucket{@}[$__rate_interval])))",
                "99 %",
            ),
        ],
    },
    Panel {
        title: "Requests under way and waiting",
        about: "Requests that read from the store, those that clients wait to have sent, and how many there may be at a time (`remote.log.reader.threads`).",
        unit: "short",
        show: Show::Lines,
        queries: &[
            ("sum(freshet_remote_reader_busy{@})", "under way"),
            ("sum(freshet_remote_reader_queue{@})", "waiting"),
            ("sum(freshet_remote_reader_places{@})", "at most"),
        ],
    },
    Panel {
        title: "Reads of old records",
        about: "Reads of partitions' old records, and those that failed.",
        unit: "reqps",
        show: Show::Lines,
        queries: &[
            (
                "sum(rate(freshet_remote_read_requests_total{@}[$__rate_interval]))",
                "reads",
            ),
            (
                "sum(rate(freshet_remote_read_errors_total{@}[$__rate_interval]))",
                "failed",
            ),
        ],
    },
    Panel {
        title: "Replicas that begin anew",
        about: "Times that a log asked for what is before it, and those that were not answered, in the last hour.",
        unit: "short",
        show: Show::Lines,
        queries: &[
            (
                "sum(increase(freshet_remote_aux_state_builds_total{@}[1h]))",
                "asked",
            ),
            (
                "sum(increase(freshet_remote_aux_state_build_errors_total{@}[1h]))",
                "not answered",
            ),
        ],
    },
    Panel {
        title: "Found in memory",
        about: "Of the chunks that readers wanted, those that were in memory, or being fetched already.",
        unit: "percentunit",
        show: Show::Lines,
        queries: &[
            (
                "sum(rate(freshet_remote_chunks_hit_total{@}[$__rate_interval])) / clamp_min(sum(rate(freshet_remote_chunks_wanted_total{@}[$__rate_interval])), 0.001)",
                "in memory",
            ),
            (
                "sum(rate(freshet_remote_chunks_joined_total{@}[$__rate_interval])) / clamp_min(sum(rate(freshet_remote_chunks_wanted_total{@}[$__rate_interval])), 0.001)",
                "being fetched",
            ),
        ],
    },
    Panel {
        title: "Fetched ahead",
        about: "Chunks fetched before anybody wanted them, and those of them that were wanted then.",
        unit: "ops",
        show: Show::Lines,
        queries: &[
            (
                "sum(rate(freshet_remote_chunks_ahead_total{@}[$__rate_interval]))",
                "fetched",
            ),
            (
                "sum(rate(freshet_remote_chunks_ahead_hit_total{@}[$__rate_interval]))",
                "wanted",
            ),
        ],
    },
    Panel {
        title: "Memory",
        about: "Bytes of objects that are kept in memory.",
        unit: "bytes",
        show: Show::Lines,
        queries: &[("sum by (pod) (freshet_remote_cache_bytes{@})", "{{pod}}")],
    },
    Panel {
        title: "Damage seen by readers",
        about: "Ranges that were not what had been stored.",
        unit: "cps",
        show: Show::Lines,
        queries: &[(
            "sum by (pod) (rate(freshet_remote_fetch_damaged_total{@}[$__rate_interval]))",
            "{{pod}}",
        )],
    },
    Panel {
        title: "Disk cache",
        about: "Chunks that were not in memory: those that the disk cache had, and those that had to come from the store. Empty without `freshet.remote.read.disk.cache.dir`.",
        unit: "ops",
        show: Show::Lines,
        queries: &[
            (
                "sum(rate(freshet_remote_disk_cache_hits_total{@}[$__rate_interval]))",
                "hits",
            ),
            (
                "sum(rate(freshet_remote_disk_cache_misses_total{@}[$__rate_interval]))",
                "misses",
            ),
            (
                "sum(rate(freshet_remote_disk_cache_late_total{@}[$__rate_interval]))",
                "too late",
            ),
        ],
    },
    Panel {
        title: "Disk cache: bytes",
        about: "Bytes of chunks that the disk cache has.",
        unit: "bytes",
        show: Show::Lines,
        queries: &[(
            "sum by (pod) (freshet_remote_disk_cache_bytes{@})",
            "{{pod}}",
        )],
    },
    Panel {
        title: "Disk cache: trouble",
        about: "Chunks that were not written because the disk was too slow, chunks that were damaged, and failures of the disk.",
        unit: "cps",
        show: Show::Lines,
        queries: &[
            (
                "sum(rate(freshet_remote_disk_cache_write_drops_total{@}[$__rate_interval]))",
                "not written",
            ),
            (
                "sum(rate(freshet_remote_disk_cache_damaged_total{@}[$__rate_interval]))",
                "damaged",
            ),
            (
                "sum(rate(freshet_remote_disk_cache_errors_total{@}[$__rate_interval]))",
                "failures",
            ),
        ],
    },
];

const CARE: &[Panel] = &[
    Panel {
        title: "Segments looked at",
        about: "Segments whose objects were looked at, and of these those that were read back.",
        unit: "cps",
        show: Show::Lines,
        queries: &[
            (
                "sum(rate(freshet_remote_scrub_segments_total{@}[$__rate_interval]))",
                "looked at",
            ),
            (
                "sum(rate(freshet_remote_scrub_read_segments_total{@}[$__rate_interval]))",
                "read back",
            ),
        ],
    },
    Panel {
        title: "Walks",
        about: "Walks through all objects of a partition, in the last day. None that look in days: the bucket is away. None that read back: the rate is too low, or 0.",
        unit: "short",
        show: Show::Lines,
        queries: &[
            (
                "sum(increase(freshet_remote_scrub_walks_total{@}[1d]))",
                "look",
            ),
            (
                "sum(increase(freshet_remote_scrub_read_walks_total{@}[1d]))",
                "read back",
            ),
        ],
    },
    Panel {
        title: "Read back",
        about: "Bytes that were read back to check them.",
        unit: "Bps",
        show: Show::Lines,
        queries: &[(
            "sum by (pod) (rate(freshet_remote_scrub_bytes_total{@}[$__rate_interval]))",
            "{{pod}}",
        )],
    },
    Panel {
        title: "Found damaged",
        about: "Objects that were found damaged or gone, those that were stored anew, and those that the store refused, in the last day.",
        unit: "short",
        show: Show::Lines,
        queries: &[
            (
                "sum(increase(freshet_remote_scrub_damaged_total{@}[1d]))",
                "damaged",
            ),
            (
                "sum(increase(freshet_remote_scrub_repaired_total{@}[1d]))",
                "repaired",
            ),
            (
                "sum(increase(freshet_remote_scrub_unread_total{@}[1d]))",
                "unread",
            ),
        ],
    },
    Panel {
        title: "Listings that failed",
        about: "In the last hour. What is not listed is neither collected nor looked after.",
        unit: "short",
        show: Show::Lines,
        queries: &[(
            "sum by (pod) (increase(freshet_remote_list_errors_total{@}[1h]))",
            "{{pod}}",
        )],
    },
    Panel {
        title: "Swept",
        about: "Objects that nobody knew, and old manifests, deleted in the last day.",
        unit: "short",
        show: Show::Lines,
        queries: &[
            (
                "sum(increase(freshet_remote_swept_objects_total{@}[1d]))",
                "unknown",
            ),
            (
                "sum(increase(freshet_remote_manifest_deletes_total{@}[1d]))",
                "manifests",
            ),
        ],
    },
];
