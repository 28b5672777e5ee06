//! Listeners: how clients reach brokers.

use std::collections::BTreeMap;

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One way in.
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("self.type != 'Internal' || !has(self.nodePort)")
        .message("nodePort is for type NodePort and LoadBalancer"),
    validation = Rule::new("!(self.name in ['replication', 'controller'])")
        .message("replication and controller are the listeners that brokers have for each other")
)]
pub struct Listener {
    /// Its name.
    #[schemars(length(min = 1, max = 12), regex(pattern = "^[a-z][a-z0-9]*$"))]
    pub name: String,
    /// From where.
    #[serde(rename = "type", default)]
    pub kind: ListenerType,
    /// The port on each pod.
    #[schemars(range(min = 1024, max = 65_535))]
    #[x_kube(validation = Rule::new("!(self in [9090, 9091, 9644])")
        .message("9090, 9091 and 9644 are used by the brokers themselves"))]
    pub port: i32,
    /// What clients are told as each broker's host: `{id}`, `{pod}`, `{cluster}` and `{namespace}` are replaced.
    /// Without it the broker's name in the cluster, its node's address, or that of its load balancer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub advertised_host: Option<String>,
    /// What clients are told as each broker's port, if it is not the Service's: this number plus the
    /// broker's id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65_000))]
    pub advertised_port_base: Option<i32>,
    /// The bootstrap Service's port on each node; without it a free one. Brokers get free ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65_535))]
    pub node_port: Option<i32>,
    /// Annotations of its Services, such as those that load balancers read.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 32))]
    pub annotations: BTreeMap<String, String>,
}

/// From where clients come.
#[derive(JsonSchema, Serialize, Deserialize, Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ListenerType {
    /// From the same Kubernetes.
    #[default]
    Internal,
    /// By a port of each node.
    NodePort,
    /// By a load balancer for each broker, and one to begin with.
    LoadBalancer,
}
