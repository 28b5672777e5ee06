//! The topics of one cluster.

use super::{Board, CLUSTER, NAMESPACE, Panel, Row, Show, Variable};

pub(super) const BOARD: Board = Board {
    name: "topics",
    title: "Freshet / Topics",
    about: "The topics of one cluster: how large, how fast, and where their records are.",
    chosen: "namespace=\"$namespace\",freshet_dev_cluster=\"$cluster\",topic=~\"$topic\"",
    variables: &[
        NAMESPACE,
        CLUSTER,
        Variable {
            name: "topic",
            title: "Topic",
            from: "freshet_topic_log_size_bytes{namespace=\"$namespace\",freshet_dev_cluster=\"$cluster\"}",
            label: "topic",
            many: true,
        },
    ],
    rows: &[
        Row {
            title: "Records",
            panels: RECORDS,
        },
        Row {
            title: "Bytes",
            panels: BYTES,
        },
        Row {
            title: "All",
            panels: ALL,
        },
    ],
};

const RECORDS: &[Panel] = &[
    Panel {
        title: "Written",
        about: "Records that producers have stored each second, in all partitions of a topic.",
        unit: "cps",
        show: Show::Stack,
        queries: &[(
            "topk(20, sum by (topic) (rate(freshet_topic_produced_records_total{@}[$__rate_interval])))",
            "{{topic}}",
        )],
    },
    Panel {
        title: "Kept",
        about: "Offsets between the first and the last readable record.",
        unit: "short",
        show: Show::Stack,
        queries: &[(
            "topk(20, sum by (topic) (max by (topic, partition) (freshet_log_end_offset{@}) - max by (topic, partition) (freshet_log_start_offset{@})))",
            "{{topic}}",
        )],
    },
    Panel {
        title: "Kept on disks",
        about: "The same of what brokers have on disk. The rest is in object storage.",
        unit: "short",
        show: Show::Stack,
        queries: &[(
            "topk(20, sum by (topic) (max by (topic, partition) (freshet_log_end_offset{@}) - max by (topic, partition) (freshet_log_local_start_offset{@})))",
            "{{topic}}",
        )],
    },
    Panel {
        title: "Fastest partitions",
        about: "Offsets given out each second, in the ten fastest partitions. One that is much faster than its neighbours has a hot key.",
        unit: "cps",
        show: Show::Lines,
        queries: &[(
            "topk(10, max by (topic, partition) (deriv(freshet_log_end_offset{@}[$__rate_interval])))",
            "{{topic}}-{{partition}}",
        )],
    },
];

const BYTES: &[Panel] = &[
    Panel {
        title: "Produced",
        about: "Bytes of batches that producers have stored each second.",
        unit: "Bps",
        show: Show::Stack,
        queries: &[(
            "topk(20, sum by (topic) (rate(freshet_topic_produced_bytes_total{@}[$__rate_interval])))",
            "{{topic}}",
        )],
    },
    Panel {
        title: "Sent to consumers",
        about: "Bytes of batches that consumers are sent each second.",
        unit: "Bps",
        show: Show::Stack,
        queries: &[(
            "topk(20, sum by (topic) (rate(freshet_topic_fetched_bytes_total{@}[$__rate_interval])))",
            "{{topic}}",
        )],
    },
    Panel {
        title: "On disks",
        about: "Bytes on the disks of all brokers, copies counted.",
        unit: "bytes",
        show: Show::Stack,
        queries: &[(
            "topk(20, sum by (topic) (freshet_topic_log_size_bytes{@}))",
            "{{topic}}",
        )],
    },
    Panel {
        title: "Largest partitions",
        about: "Bytes on one disk, of the ten largest partitions.",
        unit: "bytes",
        show: Show::Lines,
        queries: &[(
            "topk(10, max by (topic, partition) (freshet_log_size_bytes{@}))",
            "{{topic}}-{{partition}}",
        )],
    },
    Panel {
        title: "In object storage",
        about: "Bytes of segment objects, of topics that use object storage.",
        unit: "bytes",
        show: Show::Stack,
        queries: &[(
            "topk(20, sum by (topic) (freshet_remote_log_size_bytes{@}))",
            "{{topic}}",
        )],
    },
];

const ALL: &[Panel] = &[
    Panel {
        title: "Partitions of each topic",
        about: "How many partitions each topic has.",
        unit: "short",
        show: Show::Table,
        queries: &[(
            "count by (topic) (max by (topic, partition) (freshet_log_end_offset{@}))",
            "",
        )],
    },
    Panel {
        title: "Bytes of each topic",
        about: "Bytes on the disks of all brokers, copies counted.",
        unit: "bytes",
        show: Show::Table,
        queries: &[("sum by (topic) (freshet_topic_log_size_bytes{@})", "")],
    },
];
