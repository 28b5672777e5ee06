//! Pools: pods that are alike.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    Affinity, ResourceRequirements, Toleration, TopologySpreadConstraint,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Pods that are alike.
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.roles) == has(oldSelf.roles) && (!has(self.roles) || self.roles == oldSelf.roles)")
        .message("the roles of a pool cannot change: make another pool, and take this one away when it is empty")
)]
pub struct Pool {
    /// Part of the names of its pods, `CLUSTER-POOL-N`.
    #[schemars(
        length(min = 1, max = 16),
        regex(pattern = "^[a-z]([-a-z0-9]*[a-z0-9])?$")
    )]
    pub name: String,

    /// What its pods do; without it both.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1, max = 2))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub roles: Vec<Role>,

    /// How many; without it `spec.replicas`. Brokers that go are emptied first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000))]
    pub replicas: Option<i32>,

    /// Where they keep what they have.
    pub storage: Storage,

    /// Processors and memory, as in a pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<ResourceRequirements>,

    /// What else their pods are like.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<PoolTemplate>,
}

/// What a process does.
#[derive(
    JsonSchema, Serialize, Deserialize, Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord,
)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Keeps records, and serves clients.
    Broker,
    /// Keeps the metadata. Those that do nothing else all vote; without such, three of the others, or one.
    Controller,
}

/// The volume of each pod.
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("isQuantity(string(self.size)) && quantity(string(self.size)).isGreaterThan(quantity('0'))")
        .message("size is a quantity above 0, such as 100Gi"),
    validation = Rule::new("quantity(string(self.size)).compareTo(quantity(string(oldSelf.size))) >= 0")
        .message("volumes only grow"),
    validation = Rule::new("has(self.class) == has(oldSelf.class) && (!has(self.class) || self.class == oldSelf.class)")
        .message("the class of a volume cannot change: make another pool")
)]
pub struct Storage {
    /// How large, such as `100Gi`. It may grow later, if the class allows that.
    // Without a bound the API server holds the rules for too costly, and refuses the definition.
    #[schemars(extend("maxLength" = 32))]
    pub size: Quantity,
    /// The StorageClass; without it the default one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub class: Option<String>,
    /// What becomes of volumes when the Cluster is deleted.
    #[serde(default)]
    pub on_deletion: VolumeRetention,
    /// What becomes of a volume that is bound to a node, when that node is gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lost_node: Option<LostNode>,
}

/// What becomes of a volume whose node is gone: the Node object is deleted, it does not just not answer.
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct LostNode {
    /// Whether its broker gets an empty volume elsewhere.
    #[serde(default)]
    pub volume: LostVolume,
    /// For how many minutes the node must have been gone.
    #[serde(default = "LostNode::minutes")]
    #[schemars(range(min = 1, max = 10_080))]
    pub after_minutes: i32,
}

impl LostNode {
    const fn minutes() -> i32 {
        5
    }
}

impl Default for LostNode {
    fn default() -> Self {
        Self {
            volume: LostVolume::default(),
            after_minutes: Self::minutes(),
        }
    }
}

/// What becomes of a volume whose node is gone.
#[derive(JsonSchema, Serialize, Deserialize, Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LostVolume {
    /// Its claim and its pod are deleted and made anew, if other brokers have all that was on it.
    #[default]
    Replace,
    /// It stays; the pod waits for the node.
    Keep,
}

/// What becomes of volumes.
#[derive(JsonSchema, Serialize, Deserialize, Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum VolumeRetention {
    /// They stay, with all records; a Cluster of the same name finds them again.
    #[default]
    Retain,
    /// They are deleted.
    Delete,
}

/// What pods are like besides.
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Default)]
#[serde(rename_all = "camelCase")]
pub struct PoolTemplate {
    /// More labels.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 32))]
    pub labels: BTreeMap<String, String>,
    /// More annotations.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 32))]
    pub annotations: BTreeMap<String, String>,
    /// Labels of the nodes they may run on.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 32))]
    pub node_selector: BTreeMap<String, String>,
    /// Taints they stand.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tolerations: Vec<Toleration>,
    /// As in a pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub affinity: Option<Affinity>,
    /// As in a pod. Without it pods spread over zones and nodes as well as may be.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub topology_spread_constraints: Vec<TopologySpreadConstraint>,
    /// As in a pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority_class_name: Option<String>,
}
