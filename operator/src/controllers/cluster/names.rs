//! What everything that belongs to a cluster is called, and by which labels it is found.

use std::collections::BTreeMap;

use serde_json::{Value, json};

/// The label that names the cluster.
pub(crate) const CLUSTER: &str = "freshet.dev/cluster";
/// The label that names the pool.
pub(crate) const POOL: &str = "freshet.dev/pool";
/// Who manages it.
pub(crate) const MANAGED_BY: &str = "app.kubernetes.io/managed-by";
/// On a volume: the broker id that is written on it.
pub(crate) const NODE_ID: &str = "freshet.dev/node-id";
/// On a volume: the cluster that is written on it.
pub(crate) const CLUSTER_ID: &str = "freshet.dev/cluster-id";
/// On a volume: its broker is being emptied by the operator.
pub(crate) const DRAINING: &str = "freshet.dev/draining";
/// On a volume: its broker is new, and gets its share of partitions. Who puts it there asks for it.
pub(crate) const FILLING: &str = "freshet.dev/filling";
/// On a volume: its broker is stopped on purpose, and why. Who puts it there asks for it; who takes it away has
/// the broker started again. A pod would lose it with the restart that it asks for.
pub(crate) const STOPPED: &str = "freshet.dev/stopped";
/// On a volume: since when none of the nodes is there that it is bound to. The operator writes it.
pub(crate) const NODE_LOST: &str = "freshet.dev/node-lost-since";
/// On what the operator wrote: a digest of it.
pub(crate) const WRITTEN: &str = "freshet.dev/written";
/// On a Cluster or a pod: restart, when the word is another one than before.
pub(crate) const RESTART: &str = "freshet.dev/restart";
/// On the cluster's first Service: the settings that were set without a restart.
pub(crate) const LIVE: &str = "freshet.dev/live-settings";
/// On a node, and on its pods: where it stands.
pub(crate) const ZONE: &str = "topology.kubernetes.io/zone";
/// On a pod: a digest of the settings that it was started with.
pub(crate) const SETTINGS: &str = "freshet.dev/settings";

/// Ports of every broker.
pub(crate) const CONTROLLER_PORT: i32 = 9090;
/// Brokers speak to each other here.
pub(crate) const REPLICATION_PORT: i32 = 9091;
/// Health and metrics.
pub(crate) const HTTP_PORT: i32 = 9644;

/// The names of one cluster's parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Names {
    pub(crate) cluster: String,
    pub(crate) namespace: String,
    pub(crate) domain: String,
}

impl Names {
    /// The StatefulSet of a pool, and the ConfigMap beside it.
    pub(crate) fn pool(&self, pool: &str) -> String {
        format!("{}-{pool}", self.cluster)
    }

    /// A pod of a pool.
    pub(crate) fn pod(&self, pool: &str, ordinal: i32) -> String {
        format!("{}-{pool}-{ordinal}", self.cluster)
    }

    /// A pod's volume.
    pub(crate) fn claim(&self, pod: &str) -> String {
        format!("data-{pod}")
    }

    /// The Service by which pods have names.
    pub(crate) fn headless(&self) -> String {
        format!("{}-brokers", self.cluster)
    }

    /// The Service where clients of a listener begin.
    pub(crate) fn bootstrap(&self, listener: &str) -> String {
        format!("{}-{listener}-bootstrap", self.cluster)
    }

    /// The Service of one broker of a listener.
    pub(crate) fn of_broker(&self, listener: &str, id: i32) -> String {
        format!("{}-{listener}-{id}", self.cluster)
    }

    /// A pod's host name.
    pub(crate) fn host(&self, pod: &str) -> String {
        format!("{pod}.{}", self.service(&self.headless()))
    }

    /// A Service's host name.
    pub(crate) fn service(&self, name: &str) -> String {
        format!("{name}.{}.svc.{}", self.namespace, self.domain)
    }

    /// Where the operator finds the brokers.
    pub(crate) fn replication(&self) -> String {
        format!("{}:{REPLICATION_PORT}", self.service(&self.headless()))
    }

    /// Labels of everything that belongs to the cluster.
    pub(crate) fn labels(&self) -> BTreeMap<String, String> {
        [
            ("app.kubernetes.io/name", "freshet"),
            ("app.kubernetes.io/instance", &self.cluster),
            (MANAGED_BY, crate::context::MANAGER),
            (CLUSTER, &self.cluster),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into()
    }

    /// What finds the cluster's pods.
    pub(crate) fn selector(&self) -> Value {
        json!({ CLUSTER: self.cluster, "app.kubernetes.io/name": "freshet" })
    }

    /// What finds everything that belongs to the cluster.
    pub(crate) fn label_selector(&self) -> String {
        format!(
            "{CLUSTER}={},{MANAGED_BY}={}",
            self.cluster,
            crate::context::MANAGER
        )
    }
}
