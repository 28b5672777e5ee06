//! The brokers of one cluster, side by side.

use super::{Board, CLUSTER, NAMESPACE, Panel, Row, Show, Variable};

pub(super) const BOARD: Board = Board {
    name: "brokers",
    title: "Freshet / Brokers",
    about: "The brokers of one cluster, side by side: who does more, who is slower, who is behind.",
    chosen: "namespace=\"$namespace\",freshet_dev_cluster=\"$cluster\",pod=~\"$pod\"",
    variables: &[
        NAMESPACE,
        CLUSTER,
        Variable {
            name: "pod",
            title: "Broker",
            from: "freshet_leaders{namespace=\"$namespace\",freshet_dev_cluster=\"$cluster\"}",
            label: "pod",
            many: true,
        },
    ],
    rows: &[
        Row {
            title: "Load",
            panels: LOAD,
        },
        Row {
            title: "Replicas",
            panels: REPLICAS,
        },
        Row {
            title: "Waits",
            panels: WAITS,
        },
        Row {
            title: "Disks and memory",
            panels: DISKS,
        },
        Row {
            title: "Processes",
            panels: PROCESSES,
        },
    ],
};

const LOAD: &[Panel] = &[
    Panel {
        title: "Produced",
        about: "Bytes of batches that producers send.",
        unit: "Bps",
        show: Show::Lines,
        queries: &[(
            "rate(freshet_produced_bytes_total{@}[$__rate_interval])",
            "{{pod}}",
        )],
    },
    Panel {
        title: "Sent to consumers",
        about: "Bytes of batches that consumers are sent.",
        unit: "Bps",
        show: Show::Lines,
        queries: &[(
            "rate(freshet_fetched_bytes_total{@}[$__rate_interval])",
            "{{pod}}",
        )],
    },
    Panel {
        title: "Sent to replicas",
        about: "Bytes of batches that followers are sent.",
        unit: "Bps",
        show: Show::Lines,
        queries: &[(
            "rate(freshet_replication_sent_bytes_total{@}[$__rate_interval])",
            "{{pod}}",
        )],
    },
    Panel {
        title: "Requests",
        about: "Requests of clients and other brokers.",
        unit: "reqps",
        show: Show::Lines,
        queries: &[(
            "sum by (pod) (rate(freshet_requests_total{@}[$__rate_interval]))",
            "{{pod}}",
        )],
    },
    Panel {
        title: "Bytes of requests",
        about: "Bytes of all requests received, records and all.",
        unit: "Bps",
        show: Show::Lines,
        queries: &[(
            "rate(freshet_request_bytes_total{@}[$__rate_interval])",
            "{{pod}}",
        )],
    },
    Panel {
        title: "Connections",
        about: "Open connections, and those that were turned away because of a limit, per second.",
        unit: "short",
        show: Show::Lines,
        queries: &[
            ("freshet_connections{@}", "{{pod}}"),
            (
                "rate(freshet_connections_refused_total{@}[$__rate_interval])",
                "{{pod}} refused",
            ),
        ],
    },
];

const REPLICAS: &[Panel] = &[
    Panel {
        title: "Leaders",
        about: "Partitions that each broker leads. They should be even.",
        unit: "short",
        show: Show::Lines,
        queries: &[("freshet_leaders{@}", "{{pod}}")],
    },
    Panel {
        title: "Replicas",
        about: "Partitions that are open on each broker.",
        unit: "short",
        show: Show::Lines,
        queries: &[("freshet_partitions{@}", "{{pod}}")],
    },
    Panel {
        title: "Behind their leaders",
        about: "Records that a follower of a partition led here lacks, at most.",
        unit: "short",
        show: Show::Lines,
        queries: &[("freshet_replica_lag_max_records{@}", "{{pod}}")],
    },
    Panel {
        title: "Out of sync, by leader",
        about: "Partitions led here with replicas out of sync, those that take no acks=all, and those that would not with one replica less.",
        unit: "short",
        show: Show::Lines,
        queries: &[
            (
                "freshet_under_replicated_partitions{@}",
                "{{pod}} under-replicated",
            ),
            (
                "freshet_under_min_isr_partitions{@}",
                "{{pod}} under min ISR",
            ),
            ("freshet_at_min_isr_partitions{@}", "{{pod}} at min ISR"),
        ],
    },
    Panel {
        title: "Changes of sets in sync",
        about: "Replicas that left or joined the set in sync of a partition led here.",
        unit: "cps",
        show: Show::Lines,
        queries: &[
            (
                "rate(freshet_isr_shrinks_total{@}[$__rate_interval])",
                "{{pod}} left",
            ),
            (
                "rate(freshet_isr_expands_total{@}[$__rate_interval])",
                "{{pod}} joined",
            ),
        ],
    },
    Panel {
        title: "Controller",
        about: "Who decides for the cluster.",
        unit: "short",
        show: Show::Stack,
        queries: &[("freshet_active_controller{@}", "{{pod}}")],
    },
];

const WAITS: &[Panel] = &[
    Panel {
        title: "Produce, 99 %",
        about: "From request read to reply ready.",
        unit: "s",
        show: Show::Lines,
        queries: &[(
            "histogram_quantile(0.99, sum by (pod, le) (rate(freshet_request_seconds_bucket{@,api=\"Produce\"}[$__rate_interval])))",
            "{{pod}}",
        )],
    },
    Panel {
        title: "Slowest APIs, 99 %",
        about: "From request read to reply ready, of the ten slowest. Fetch and group requests wait because they are asked to.",
        unit: "s",
        show: Show::Lines,
        queries: &[(
            "topk(10, histogram_quantile(0.99, sum by (api, le) (rate(freshet_request_seconds_bucket{@}[$__rate_interval]))) >= 0)",
            "{{api}}",
        )],
    },
    Panel {
        title: "Stuck threads",
        about: "Threads that have been at one piece of work for seconds.",
        unit: "short",
        show: Show::Lines,
        queries: &[("freshet_stuck_threads{@}", "{{pod}}")],
    },
    Panel {
        title: "Writes, 99 %",
        about: "How long vectored writes into logs take.",
        unit: "s",
        show: Show::Lines,
        queries: &[(
            "histogram_quantile(0.99, sum by (pod, le) (rate(freshet_log_write_seconds_bucket{@}[$__rate_interval])))",
            "{{pod}}",
        )],
    },
    Panel {
        title: "Flushes, 99 %",
        about: "How long fdatasync takes. Producers with acks=all wait for it.",
        unit: "s",
        show: Show::Lines,
        queries: &[(
            "histogram_quantile(0.99, sum by (pod, le) (rate(freshet_log_fsync_seconds_bucket{@}[$__rate_interval])))",
            "{{pod}}",
        )],
    },
    Panel {
        title: "Flushes",
        about: "Calls of fdatasync. One is for all batches that wait for it.",
        unit: "ops",
        show: Show::Lines,
        queries: &[(
            "rate(freshet_log_fsync_seconds_count{@}[$__rate_interval])",
            "{{pod}}",
        )],
    },
];

const DISKS: &[Panel] = &[
    Panel {
        title: "Disks in use",
        about: "How much of the file systems of log directories is taken, by whomever. Alerts come at 90 %, and when it will be all within 12 hours.",
        unit: "percentunit",
        show: Show::Lines,
        queries: &[(
            "1 - freshet_log_directory_available_bytes{@} / freshet_log_directory_total_bytes{@}",
            "{{pod}} {{directory}}",
        )],
    },
    Panel {
        title: "Left on disks",
        about: "Bytes that the file systems of log directories have left.",
        unit: "bytes",
        show: Show::Lines,
        queries: &[(
            "freshet_log_directory_available_bytes{@}",
            "{{pod}} {{directory}}",
        )],
    },
    Panel {
        title: "In log directories",
        about: "Bytes of segments of the partitions in each log directory.",
        unit: "bytes",
        show: Show::Lines,
        queries: &[(
            "freshet_log_directory_size_bytes{@}",
            "{{pod}} {{directory}}",
        )],
    },
    Panel {
        title: "Log directories offline",
        about: "Log directories that have failed or could not be opened.",
        unit: "short",
        show: Show::Lines,
        queries: &[("sum by (pod) (freshet_log_directory_offline{@})", "{{pod}}")],
    },
    Panel {
        title: "Disks slow or full",
        about: "1 for a log directory whose disk has become slow, or has no room for producers: others lead what is on it, where they can.",
        unit: "short",
        show: Show::Lines,
        queries: &[
            ("freshet_log_directory_slow{@}", "{{pod}} {{directory}} slow"),
            ("freshet_log_directory_full{@}", "{{pod}} {{directory}} full"),
        ],
    },
    Panel {
        title: "Written",
        about: "Bytes of batches written into logs, and segments deleted by retention.",
        unit: "Bps",
        show: Show::Lines,
        queries: &[(
            "rate(freshet_log_bytes_total{@}[$__rate_interval])",
            "{{pod}}",
        )],
    },
    Panel {
        title: "Read",
        about: "Bytes served from memory, and from files.",
        unit: "Bps",
        show: Show::Lines,
        queries: &[
            (
                "sum(rate(freshet_log_hot_read_bytes_total{@}[$__rate_interval]))",
                "from memory",
            ),
            (
                "sum(rate(freshet_log_file_read_bytes_total{@}[$__rate_interval]))",
                "from files",
            ),
        ],
    },
    Panel {
        title: "Reads that waited for the device",
        about: "Reads of records that were in no cache.",
        unit: "ops",
        show: Show::Lines,
        queries: &[(
            "rate(freshet_log_cold_reads_total{@}[$__rate_interval])",
            "{{pod}}",
        )],
    },
    Panel {
        title: "Damage and refusals",
        about: "Stored batches that failed their checksum, appends that were refused, retries that were known already, and partitions that cannot be opened.",
        unit: "short",
        show: Show::Lines,
        queries: &[
            (
                "increase(freshet_log_corrupt_reads_total{@}[$__rate_interval])",
                "{{pod}} damaged",
            ),
            (
                "increase(freshet_log_refused_total{@}[$__rate_interval])",
                "{{pod}} refused",
            ),
            (
                "increase(freshet_log_duplicates_total{@}[$__rate_interval])",
                "{{pod}} duplicates",
            ),
            ("freshet_broken_partitions{@}", "{{pod}} cannot be opened"),
        ],
    },
    Panel {
        title: "Memory of requests and replies",
        about: "Bytes of requests in memory, and of records on their way to clients and replicas. Both have limits.",
        unit: "bytes",
        show: Show::Lines,
        queries: &[
            ("freshet_request_memory_bytes{@}", "{{pod}} requests"),
            ("freshet_response_memory_bytes{@}", "{{pod}} replies"),
        ],
    },
    Panel {
        title: "Segments deleted",
        about: "Segments that retention, or a deletion of records, has taken.",
        unit: "cps",
        show: Show::Lines,
        queries: &[(
            "rate(freshet_log_segments_deleted_total{@}[$__rate_interval])",
            "{{pod}}",
        )],
    },
    Panel {
        title: "Idle fetch sessions",
        about: "Incremental fetch sessions that consumers may come back to.",
        unit: "short",
        show: Show::Lines,
        queries: &[("freshet_fetch_sessions{@}", "{{pod}}")],
    },
    Panel {
        title: "Series left out",
        about: "Partitions, topics and lags that a broker does not show, because it shows 10,000 of each. Above 0 the sums on these pages are too low.",
        unit: "short",
        show: Show::Lines,
        queries: &[("freshet_series_left_out{@}", "{{pod}} {{of}}")],
    },
];

const PROCESSES: &[Panel] = &[
    Panel {
        title: "Processors",
        about: "Processors that each broker keeps busy.",
        unit: "short",
        show: Show::Lines,
        queries: &[(
            "rate(process_cpu_seconds_total{@}[$__rate_interval])",
            "{{pod}}",
        )],
    },
    Panel {
        title: "Memory",
        about: "What each broker has in RAM, and what its container or machine has for it.",
        unit: "bytes",
        show: Show::Lines,
        queries: &[
            ("process_resident_memory_bytes{@}", "{{pod}}"),
            ("freshet_memory_limit_bytes{@}", "{{pod}} limit"),
        ],
    },
    Panel {
        title: "File descriptors in use",
        about: "Connections and files that are open, of those that may be. The last eighth, at most 1,024, are kept for logs.",
        unit: "percentunit",
        show: Show::Lines,
        queries: &[("process_open_fds{@} / process_max_fds{@}", "{{pod}}")],
    },
    Panel {
        title: "Threads",
        about: "Threads of each broker. They do not grow with its load.",
        unit: "short",
        show: Show::Lines,
        queries: &[("process_threads{@}", "{{pod}}")],
    },
    Panel {
        title: "Up since",
        about: "How long each broker has been running.",
        unit: "s",
        show: Show::Lines,
        queries: &[("time() - process_start_time_seconds{@}", "{{pod}}")],
    },
    Panel {
        title: "Restarts",
        about: "Restarts within the last hour. A roll is one.",
        unit: "short",
        show: Show::Lines,
        queries: &[(
            "changes(max by (pod) (process_start_time_seconds{@})[1h:15s])",
            "{{pod}}",
        )],
    },
];
