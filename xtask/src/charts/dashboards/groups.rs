//! Consumer groups of one cluster, and how far they are behind.

use super::{Board, CLUSTER, NAMESPACE, Panel, Row, Show, Variable};

pub(super) const BOARD: Board = Board {
    name: "groups",
    title: "Freshet / Groups and lag",
    about: "Consumer groups of one cluster, and how far they are behind.",
    chosen: "namespace=\"$namespace\",freshet_dev_cluster=\"$cluster\",group=~\"$group\"",
    variables: &[
        NAMESPACE,
        CLUSTER,
        Variable {
            name: "group",
            title: "Group",
            from: "freshet_group_lag_records{namespace=\"$namespace\",freshet_dev_cluster=\"$cluster\"}",
            label: "group",
            many: true,
        },
    ],
    rows: &[
        Row {
            title: "Lag",
            panels: LAG,
        },
        Row {
            title: "Each partition",
            panels: EACH,
        },
        Row {
            title: "Coordinators",
            panels: COORDINATORS,
        },
    ],
};

const LAG: &[Panel] = &[
    Panel {
        title: "By group",
        about: "Records that are committed and that a group has not consumed, in all partitions that it has committed offsets of.",
        unit: "short",
        show: Show::Lines,
        queries: &[(
            "topk(20, sum by (group) (max by (group, topic, partition) (freshet_group_lag_records{@})))",
            "{{group}}",
        )],
    },
    Panel {
        title: "By group and topic",
        about: "The same for each topic of a group.",
        unit: "short",
        show: Show::Lines,
        queries: &[(
            "topk(20, sum by (group, topic) (max by (group, topic, partition) (freshet_group_lag_records{@})))",
            "{{group}} {{topic}}",
        )],
    },
    Panel {
        title: "Grows by",
        about: "Records by which lag grows each second; below 0 a group catches up.",
        unit: "cps",
        show: Show::Lines,
        queries: &[(
            "topk(20, sum by (group) (max by (group, topic, partition) (deriv(freshet_group_lag_records{@}[$__rate_interval]))))",
            "{{group}}",
        )],
    },
];

const EACH: &[Panel] = &[Panel {
    title: "Farthest behind",
    about: "The 50 partitions that a group is behind the most in.",
    unit: "short",
    show: Show::Table,
    queries: &[(
        "topk(50, max by (group, topic, partition) (freshet_group_lag_records{@}))",
        "",
    )],
}];

const COORDINATORS: &[Panel] = &[
    Panel {
        title: "Groups with offsets",
        about: "Groups that have committed offsets, by the broker that coordinates them.",
        unit: "short",
        show: Show::Stack,
        queries: &[(
            "count by (pod) (count by (pod, group) (freshet_group_lag_records{@}))",
            "{{pod}}",
        )],
    },
    Panel {
        title: "Requests of groups",
        about: "Joins, syncs, heartbeats and commits, of all groups. Many joins are many rebalances.",
        unit: "reqps",
        show: Show::Lines,
        queries: &[(
            "sum by (api) (rate(freshet_requests_total{namespace=\"$namespace\",freshet_dev_cluster=\"$cluster\",api=~\"JoinGroup|SyncGroup|LeaveGroup|Heartbeat|ConsumerGroupHeartbeat|OffsetCommit\"}[$__rate_interval]))",
            "{{api}}",
        )],
    },
];
