//! `Topic`: one topic of a cluster.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

use crate::cluster::SecretName;
use crate::config::ConfigMap;

/// A topic: what it shall be like. The operator makes it so, and keeps it so.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq)]
#[kube(
    group = "freshet.dev",
    version = "v1",
    kind = "Topic",
    plural = "topics",
    namespaced,
    status = "TopicStatus",
    derive = "PartialEq",
    doc = "A topic of a Freshet cluster, or of any cluster that speaks Kafka's protocol.",
    category = "freshet",
    shortname = "ft",
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].status"),
    printcolumn(name = "Cluster", type_ = "string", json_path = ".spec.clusterRef.name"),
    printcolumn(name = "Partitions", type_ = "integer", json_path = ".status.partitions"),
    printcolumn(name = "Replicas", type_ = "integer", json_path = ".status.replicas"),
    printcolumn(name = "Reason", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].reason"),
    printcolumn(name = "Topic", type_ = "string", json_path = ".status.topicName", priority = 1),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    validation = Rule::new("has(self.spec.topicName) || self.metadata.name.size() <= 249")
        .message("a topic's name has at most 249 characters: give it another one in spec.topicName")
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.clusterRef) != has(self.external)")
        .message("give either clusterRef or external, and not both"),
    validation = Rule::new("has(self.clusterRef) == has(oldSelf.clusterRef) && (!has(self.clusterRef) || self.clusterRef == oldSelf.clusterRef)")
        .message("a topic stays in its cluster: clusterRef cannot change. Make another Topic there"),
    validation = Rule::new("has(self.topicName) == has(oldSelf.topicName) && (!has(self.topicName) || self.topicName == oldSelf.topicName)")
        .message("a topic cannot be renamed: topicName cannot change. Make another Topic"),
    validation = Rule::new("!has(oldSelf.partitions) || (has(self.partitions) && self.partitions >= oldSelf.partitions)")
        .message("partitions only grow: records of one that goes would be lost, and keys would find other ones")
)]
pub struct TopicSpec {
    /// The Cluster that has the topic. One of another namespace must allow it
    /// (`spec.allowedTopics`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster_ref: Option<ClusterRef>,

    /// A cluster that no Cluster object describes: any that speaks Kafka's protocol.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external: Option<External>,

    /// The topic's name, if it cannot be that of the object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 249), regex(pattern = r"^[a-zA-Z0-9._-]+$"))]
    #[x_kube(validation = Rule::new("self != '.' && self != '..'").message("a topic cannot be called . or .."))]
    pub topic_name: Option<String>,

    /// Partitions; without it the cluster's `num.partitions`. Only grows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100_000))]
    pub partitions: Option<i32>,

    /// Copies of each partition; without it the cluster's `default.replication.factor`. When it
    /// changes the brokers copy or drop.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000))]
    pub replicas: Option<i32>,

    /// The topic's own settings, by Kafka's names, such as `retention.ms`. What is not named has the
    /// cluster's default.
    #[serde(default, skip_serializing_if = "ConfigMap::is_empty")]
    #[schemars(extend("maxProperties" = 200))]
    pub config: ConfigMap,

    /// What happens to the topic and its records when this object is deleted.
    #[serde(default)]
    pub deletion_policy: DeletionPolicy,

    /// The operator looks, and changes nothing.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub paused: bool,
}

/// A Cluster object.
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Eq, Hash)]
#[serde(rename_all = "camelCase")]
pub struct ClusterRef {
    /// Its name.
    #[schemars(length(min = 1, max = 63))]
    pub name: String,
    /// Its namespace, if it is another one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub namespace: Option<String>,
}

/// A cluster known by its address only.
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Eq, Hash)]
#[serde(rename_all = "camelCase")]
pub struct External {
    /// Brokers to begin with, `host:port`.
    #[schemars(length(min = 1, max = 32))]
    #[schemars(inner(length(min = 3, max = 261)))]
    pub bootstrap_servers: Vec<String>,
    /// A Secret of the Topic's own namespace, for brokers behind TLS or passwords. Its entry
    /// `client.properties` says how they are reached, by the names of Kafka's own clients
    /// (`security.protocol`, `sasl.jaas.config`, …). Files that it names are entries of the same Secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<SecretName>,
}

/// What becomes of what an object described.
#[derive(
    schemars::JsonSchema, Serialize, Deserialize, Debug, Clone, Copy, PartialEq, Eq, Default,
)]
pub enum DeletionPolicy {
    /// It is deleted, records and all.
    #[default]
    Delete,
    /// It stays as it is.
    Retain,
}

/// What is there.
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Default)]
#[serde(rename_all = "camelCase")]
pub struct TopicStatus {
    /// Generation of the spec that all of this is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// What is the case, and why.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".to_owned()]))]
    pub conditions: Vec<Condition>,
    /// The topic's name in the cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub topic_name: Option<String>,
    /// The topic's id, as clients know it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub topic_id: Option<String>,
    /// Partitions it has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partitions: Option<i32>,
    /// Copies that each partition has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replicas: Option<i32>,
    /// A change of the number of copies that is under way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replicas_change: Option<ReplicasChange>,
}

/// Copies that are being made or dropped.
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct ReplicasChange {
    /// Copies that there shall be.
    pub target_replicas: i32,
    /// Partitions that are not there yet.
    pub partitions_left: i32,
}
