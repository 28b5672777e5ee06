//! One cluster at a glance.

use super::{Board, CLUSTER, NAMESPACE, OF_CLUSTER, Panel, Row, Show};

pub(super) const BOARD: Board = Board {
    name: "overview",
    title: "Freshet / Overview",
    about: "One cluster at a glance: whether all is well, and how much goes through it.",
    chosen: OF_CLUSTER,
    variables: &[NAMESPACE, CLUSTER],
    rows: &[
        Row {
            title: "Is all well?",
            panels: HEALTH,
        },
        Row {
            title: "Traffic",
            panels: TRAFFIC,
        },
        Row {
            title: "How long clients wait",
            panels: WAITS,
        },
    ],
};

const HEALTH: &[Panel] = &[
    Panel {
        title: "Brokers that serve",
        about: "Brokers that are registered and not fenced, as the cluster's metadata has it.",
        unit: "short",
        show: Show::Number,
        queries: &[("max(freshet_active_brokers{@})", "serving")],
    },
    Panel {
        title: "Brokers away",
        about: "Brokers that are registered and do not answer the active controller.",
        unit: "short",
        show: Show::Zero,
        queries: &[("max(freshet_fenced_brokers{@})", "fenced")],
    },
    Panel {
        title: "Partitions without leader",
        about: "Partitions that nobody leads: they can be neither read nor written.",
        unit: "short",
        show: Show::Zero,
        queries: &[("max(freshet_offline_partitions{@})", "offline")],
    },
    Panel {
        title: "Under min.insync.replicas",
        about: "Partitions that take no writes with acks=all, for want of replicas in sync.",
        unit: "short",
        show: Show::Zero,
        queries: &[("sum(freshet_under_min_isr_partitions{@})", "under min ISR")],
    },
    Panel {
        title: "Under-replicated",
        about: "Partitions with replicas that are out of sync.",
        unit: "short",
        show: Show::Zero,
        queries: &[(
            "sum(freshet_under_replicated_partitions{@})",
            "under-replicated",
        )],
    },
    Panel {
        title: "Active controllers",
        about: "Nodes that decide for the cluster. There is one, or none while they elect.",
        unit: "short",
        show: Show::Number,
        queries: &[("sum(freshet_active_controller{@})", "active")],
    },
    Panel {
        title: "Unclean elections",
        about: "Elections of the last day that may have lost records.",
        unit: "short",
        show: Show::Zero,
        queries: &[(
            "sum(increase(freshet_unclean_leader_elections_total{@}[1d]))",
            "unclean",
        )],
    },
    Panel {
        title: "Partitions that cannot be opened",
        about: "Replicas that a broker should have and cannot open: a disk has failed, or a file is damaged.",
        unit: "short",
        show: Show::Zero,
        queries: &[("sum(freshet_broken_partitions{@})", "broken")],
    },
    Panel {
        title: "Stuck threads",
        about: "Threads that have been at one piece of work for seconds: mostly a disk that hangs.",
        unit: "short",
        show: Show::Zero,
        queries: &[("sum(freshet_stuck_threads{@})", "stuck")],
    },
    Panel {
        title: "Log directories offline",
        about: "Log directories that have failed or could not be opened.",
        unit: "short",
        show: Show::Zero,
        queries: &[("sum(freshet_log_directory_offline{@})", "offline")],
    },
    Panel {
        title: "Fullest disk",
        about: "How much is taken of the file system of a log directory that has the least left.",
        unit: "percentunit",
        show: Show::Number,
        queries: &[(
            "max(1 - freshet_log_directory_available_bytes{@} / freshet_log_directory_total_bytes{@})",
            "in use",
        )],
    },
    Panel {
        title: "Partitions",
        about: "Partitions of the cluster that have a leader.",
        unit: "short",
        show: Show::Number,
        queries: &[("sum(freshet_leaders{@})", "partitions")],
    },
    Panel {
        title: "On disks",
        about: "Bytes of logs on the disks of all brokers, copies counted.",
        unit: "bytes",
        show: Show::Number,
        queries: &[("sum(freshet_log_directory_size_bytes{@})", "on disks")],
    },
    Panel {
        title: "Lag of all groups",
        about: "Records that are committed and that groups have not consumed.",
        unit: "short",
        show: Show::Number,
        queries: &[(
            "sum(max by (group, topic, partition) (freshet_group_lag_records{@})) or vector(0)",
            "lag",
        )],
    },
];

const TRAFFIC: &[Panel] = &[
    Panel {
        title: "Produced",
        about: "Bytes of batches that producers send, by broker.",
        unit: "Bps",
        show: Show::Stack,
        queries: &[(
            "sum by (pod) (rate(freshet_produced_bytes_total{@}[$__rate_interval]))",
            "{{pod}}",
        )],
    },
    Panel {
        title: "Consumed",
        about: "Bytes of batches that consumers are sent, by broker.",
        unit: "Bps",
        show: Show::Stack,
        queries: &[(
            "sum by (pod) (rate(freshet_fetched_bytes_total{@}[$__rate_interval]))",
            "{{pod}}",
        )],
    },
    Panel {
        title: "Copied to replicas",
        about: "Bytes of batches that followers are sent, by broker.",
        unit: "Bps",
        show: Show::Stack,
        queries: &[(
            "sum by (pod) (rate(freshet_replication_sent_bytes_total{@}[$__rate_interval]))",
            "{{pod}}",
        )],
    },
    Panel {
        title: "Records written",
        about: "Records appended to logs, copies counted.",
        unit: "cps",
        show: Show::Lines,
        queries: &[(
            "sum(rate(freshet_log_records_total{@}[$__rate_interval]))",
            "records",
        )],
    },
    Panel {
        title: "Requests",
        about: "Requests of clients and brokers, by API.",
        unit: "reqps",
        show: Show::Lines,
        queries: &[(
            "sum by (api) (rate(freshet_requests_total{@}[$__rate_interval])) > 0",
            "{{api}}",
        )],
    },
    Panel {
        title: "Errors answered",
        about: "Errors that clients were told, by Kafka's name. Some are part of normal life, such as NOT_LEADER_OR_FOLLOWER after an election.",
        unit: "cps",
        show: Show::Lines,
        queries: &[(
            "sum by (error) (rate(freshet_errors_total{@}[$__rate_interval]))",
            "{{error}}",
        )],
    },
];

const WAITS: &[Panel] = &[
    Panel {
        title: "Produce",
        about: "From request read to reply ready, of Produce: with acks=all until the records are on the disks of all replicas in sync.",
        unit: "s",
        show: Show::Lines,
        queries: &[
            (
                "histogram_quantile(0.99, sum by (le) (rate(freshet_request_seconds_bucket{@,api=\"Produce\"}[$__rate_interval])))",
                "99 %",
            ),
            (
                "histogram_quantile(0.5, sum by (le) (rate(freshet_request_seconds_bucket{@,api=\"Produce\"}[$__rate_interval])))",
                "50 %",
            ),
        ],
    },
    Panel {
        title: "Flush to disk",
        about: "How long fdatasync takes, at the slowest broker.",
        unit: "s",
        show: Show::Lines,
        queries: &[(
            "max(histogram_quantile(0.99, sum by (pod, le) (rate(freshet_log_fsync_seconds_bucket{@}[$__rate_interval]))))",
            "99 %",
        )],
    },
    Panel {
        title: "Connections",
        about: "Open connections of clients and brokers.",
        unit: "short",
        show: Show::Stack,
        queries: &[("sum by (pod) (freshet_connections{@})", "{{pod}}")],
    },
];
