//! Who may do what to pods: the account they have (none), evictions, the network, and who scrapes them.

use serde_json::json;

use super::super::fetch::Kind;
use super::super::names::{CLUSTER, CONTROLLER_PORT, HTTP_PORT, REPLICATION_PORT};
use super::super::validate::Wanted;
use super::{Object, merge, object};

/// The account of broker pods. They ask nothing of Kubernetes; a cloud may give it rights in a bucket.
pub(super) fn account(wanted: &Wanted) -> Object {
    let rest = json!({ "automountServiceAccountToken": false });
    object(wanted, Kind::ServiceAccount, wanted.names.headless(), rest)
}

/// One pod at a time may be evicted, of all pools together.
pub(super) fn disruption(wanted: &Wanted) -> Object {
    let spec = json!({ "spec": {
        "maxUnavailable": 1,
        "unhealthyPodEvictionPolicy": "AlwaysAllow",
        "selector": { "matchLabels": wanted.names.selector() },
    }});
    object(
        wanted,
        Kind::PodDisruptionBudget,
        wanted.names.cluster.clone(),
        spec,
    )
}

/// Controllers are asked by the cluster's own pods only, brokers' own listener by the operator too.
pub(super) fn network(wanted: &Wanted) -> Option<Object> {
    if !wanted.network_policy {
        return None;
    }
    let tcp = |port: i32| json!({ "port": port, "protocol": "TCP" });
    let own = json!({ "podSelector": { "matchLabels": wanted.names.selector() } });
    let operator = json!({
        "namespaceSelector": { "matchLabels": { "kubernetes.io/metadata.name": wanted.operator_namespace } },
        "podSelector": { "matchLabels": { "app.kubernetes.io/name": "freshet-operator" } },
    });
    let mut open: Vec<_> = wanted.listeners.iter().map(|l| tcp(l.port)).collect();
    open.push(tcp(HTTP_PORT));
    let spec = json!({ "spec": {
        "podSelector": { "matchLabels": wanted.names.selector() },
        "policyTypes": ["Ingress"],
        "ingress": [
            { "from": [own], "ports": [tcp(CONTROLLER_PORT)] },
            { "from": [own, operator], "ports": [tcp(REPLICATION_PORT)] },
            { "ports": open },
        ],
    }});
    Some(object(
        wanted,
        Kind::NetworkPolicy,
        wanted.names.cluster.clone(),
        spec,
    ))
}

/// For the Prometheus operator.
pub(super) fn monitor(wanted: &Wanted) -> Option<Object> {
    let monitoring = wanted.monitoring.as_ref().filter(|m| m.pod_monitor)?;
    let spec = json!({ "spec": {
        "selector": { "matchLabels": wanted.names.selector() },
        "podTargetLabels": [CLUSTER, "freshet.dev/pool"],
        "podMetricsEndpoints": [{ "port": "http", "path": "/metrics" }],
    }});
    let mut made = object(wanted, Kind::PodMonitor, wanted.names.cluster.clone(), spec);
    merge(
        &mut made.value,
        json!({ "metadata": { "labels": monitoring.labels } }),
    );
    Some(made)
}
