//! The operator itself.

use super::{Board, Panel, Row, Show, Variable};

pub(super) const BOARD: Board = Board {
    name: "operator",
    title: "Freshet / Operator",
    about: "The operator itself: what it looks after, what it does, and what goes wrong.",
    chosen: "namespace=\"$namespace\"",
    variables: &[Variable {
        name: "namespace",
        title: "Operator's namespace",
        from: "freshet_operator_at_work",
        label: "namespace",
        many: false,
    }],
    rows: &[
        Row {
            title: "What it looks after",
            panels: OBJECTS,
        },
        Row {
            title: "What it does",
            panels: WORK,
        },
        Row {
            title: "Its process",
            panels: PROCESS,
        },
    ],
};

const OBJECTS: &[Panel] = &[
    Panel {
        title: "Operators at work",
        about: "Operators that hold the Lease. There is one.",
        unit: "short",
        show: Show::Number,
        queries: &[("sum(freshet_operator_at_work{@})", "at work")],
    },
    Panel {
        title: "Clusters not ready",
        about: "Clusters whose Ready condition is not true.",
        unit: "short",
        show: Show::Zero,
        queries: &[(
            "sum(freshet_operator_resources{@,kind=\"Cluster\",ready=\"false\"}) or vector(0)",
            "not ready",
        )],
    },
    Panel {
        title: "Topics not ready",
        about: "Topics whose Ready condition is not true.",
        unit: "short",
        show: Show::Zero,
        queries: &[(
            "sum(freshet_operator_resources{@,kind=\"Topic\",ready=\"false\"}) or vector(0)",
            "not ready",
        )],
    },
    Panel {
        title: "Objects",
        about: "Clusters and Topics, by their Ready condition.",
        unit: "short",
        show: Show::Stack,
        queries: &[(
            "sum by (kind, ready) (freshet_operator_resources{@})",
            "{{kind}} ready={{ready}}",
        )],
    },
];

const WORK: &[Panel] = &[
    Panel {
        title: "Reconciles",
        about: "Reconciles that ended, by how.",
        unit: "ops",
        show: Show::Lines,
        queries: &[(
            "sum by (kind, result) (rate(freshet_operator_reconciles_total{@}[$__rate_interval]))",
            "{{kind}} {{result}}",
        )],
    },
    Panel {
        title: "How long they take, 99 %",
        about: "How long reconciles took.",
        unit: "s",
        show: Show::Lines,
        queries: &[(
            "histogram_quantile(0.99, sum by (kind, le) (rate(freshet_operator_reconcile_seconds_bucket{@}[$__rate_interval])))",
            "{{kind}}",
        )],
    },
    Panel {
        title: "Under way",
        about: "Reconciles that have begun and not ended.",
        unit: "short",
        show: Show::Lines,
        queries: &[(
            "sum by (kind) (freshet_operator_reconciles_under_way{@})",
            "{{kind}}",
        )],
    },
    Panel {
        title: "Since one went well",
        about: "Seconds since the last reconcile that went well. Each object is looked at every two minutes.",
        unit: "s",
        show: Show::Lines,
        queries: &[(
            "time() - max by (kind) (freshet_operator_last_success_seconds{@})",
            "{{kind}}",
        )],
    },
    Panel {
        title: "Writes to the API server",
        about: "Writes, by kind of object. None while all is as it was asked to be.",
        unit: "ops",
        show: Show::Lines,
        queries: &[(
            "sum by (kind) (rate(freshet_operator_writes_total{@}[$__rate_interval]))",
            "{{kind}}",
        )],
    },
    Panel {
        title: "Pods restarted",
        about: "Pods that the operator restarted in the last hour, by reason.",
        unit: "short",
        show: Show::Lines,
        queries: &[(
            "sum by (reason) (increase(freshet_operator_restarts_total{@}[1h]))",
            "{{reason}}",
        )],
    },
];

/// Other things in its namespace may have metrics of such names.
const PROCESS: &[Panel] = &[
    Panel {
        title: "Processors",
        about: "Processors that it keeps busy.",
        unit: "short",
        show: Show::Lines,
        queries: &[(
            "rate(process_cpu_seconds_total{@}[$__rate_interval]) and on (namespace, pod) freshet_operator_at_work{@}",
            "{{pod}}",
        )],
    },
    Panel {
        title: "Memory",
        about: "What it has in RAM, and what its container or machine has for it.",
        unit: "bytes",
        show: Show::Lines,
        queries: &[
            (
                "process_resident_memory_bytes{@} and on (namespace, pod) freshet_operator_at_work{@}",
                "{{pod}}",
            ),
            (
                "freshet_memory_limit_bytes{@} and on (namespace, pod) freshet_operator_at_work{@}",
                "{{pod}} limit",
            ),
        ],
    },
    Panel {
        title: "File descriptors",
        about: "Connections and files that are open.",
        unit: "short",
        show: Show::Lines,
        queries: &[(
            "process_open_fds{@} and on (namespace, pod) freshet_operator_at_work{@}",
            "{{pod}}",
        )],
    },
    Panel {
        title: "Up since",
        about: "How long it has been running.",
        unit: "s",
        show: Show::Lines,
        queries: &[(
            "time() - process_start_time_seconds{@} and on (namespace, pod) freshet_operator_at_work{@}",
            "{{pod}}",
        )],
    },
];
