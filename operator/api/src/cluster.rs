//! `Cluster`: brokers and controllers, as pools of pods.

mod balancing;
mod listener;
mod pool;
mod rolling;
mod status;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::ConfigMap;

pub use balancing::Balancing;
pub use listener::{Listener, ListenerType};
pub use pool::{LostNode, LostVolume, Pool, PoolTemplate, Role, Storage, VolumeRetention};
pub use rolling::{AtOnce, Rolling};
pub use status::{
    BrokerStatus, ClusterStatus, FillingStatus, ListenerStatus, PoolStatus, RollingStatus,
};

/// A cluster: what it shall be like. The operator makes it so, and keeps it so.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq)]
#[kube(
    group = "freshet.dev",
    version = "v1",
    kind = "Cluster",
    plural = "clusters",
    namespaced,
    status = "ClusterStatus",
    derive = "PartialEq",
    doc = "A Freshet cluster: pools of brokers and controllers, and how clients reach them.",
    category = "freshet",
    shortname = "fc",
    scale(
        spec_replicas_path = ".spec.replicas",
        status_replicas_path = ".status.replicas",
        label_selector_path = ".status.selector"
    ),
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].status"),
    printcolumn(name = "Brokers", type_ = "string", json_path = ".status.brokers"),
    printcolumn(name = "Reason", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].reason"),
    printcolumn(name = "Bootstrap", type_ = "string", json_path = ".status.bootstrapServers"),
    printcolumn(name = "Version", type_ = "string", json_path = ".status.version", priority = 1),
    printcolumn(name = "Cluster-Id", type_ = "string", json_path = ".status.clusterId", priority = 1),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    validation = Rule::new("self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$') && self.metadata.name.size() <= 32")
        .message("a cluster's name is part of the names of its Services: a letter first, then letters, digits and dashes, 32 at most"),
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("self.pools.filter(p, !has(p.replicas)).size() == (has(self.replicas) ? 1 : 0)")
        .message("spec.replicas is for the one pool that has no replicas of its own: give it if, and only if, there is one"),
    validation = Rule::new("self.pools.exists(p, !has(p.roles) || 'controller' in p.roles)")
        .message("a cluster needs controllers: one pool must have the role controller"),
    validation = Rule::new("self.pools.exists(p, !has(p.roles) || 'broker' in p.roles)")
        .message("a cluster needs brokers: one pool must have the role broker"),
    validation = Rule::new("!has(self.listeners) || self.listeners.all(l, self.listeners.exists_one(m, m.port == l.port))")
        .message("each listener needs a port of its own"),
    validation = Rule::new("!has(oldSelf.clusterId) || (has(self.clusterId) && self.clusterId == oldSelf.clusterId)")
        .message("clusterId cannot change: disks and buckets belong to the cluster of that id")
)]
pub struct ClusterSpec {
    /// Pods of the pool that does not say how many. What `kubectl scale` and autoscalers change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000))]
    pub replicas: Option<i32>,

    /// Pods that are alike.
    #[schemars(length(min = 1, max = 16))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".to_owned()]))]
    pub pools: Vec<Pool>,

    /// How clients reach brokers. Without any there is one, called `internal`, on port 9092, for
    /// clients in the same Kubernetes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".to_owned()]))]
    pub listeners: Vec<Listener>,

    /// Settings of brokers, by Kafka's names. Those that brokers can change while they run are
    /// changed so; others restart them, one by one.
    #[serde(default, skip_serializing_if = "ConfigMap::is_empty")]
    #[schemars(extend("maxProperties" = 500))]
    pub config: ConfigMap,

    /// Object storage for cold segments.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tiering: Option<Tiering>,

    /// The broker's image; without it that of the operator's own version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 500))]
    pub image: Option<String>,

    /// The level of the metadata's format (the feature `freshet.metadata.version`), such as `1`. It is
    /// set once all brokers run a version that can work with it; an image of an older version that
    /// cannot does not start then. Without it the level stays where it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = "^[1-9][0-9]{0,3}$"))]
    pub metadata_version: Option<String>,

    /// When images are pulled: as in a pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = "^(Always|IfNotPresent|Never)$"))]
    pub image_pull_policy: Option<String>,

    /// Secrets to pull images with.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub image_pull_secrets: Vec<SecretName>,

    /// The cluster's id, for a cluster that had one before: its disks or its bucket are there. Without
    /// it a new one is drawn, see `status.clusterId`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = "^[A-Za-z0-9_-]{22}$"))]
    pub cluster_id: Option<String>,

    /// Which namespaces may have Topics of this cluster. Its own always may.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allowed_topics: Option<AllowedTopics>,

    /// When pods may be restarted for changes. Without any: at any time. What is broken is mended at
    /// any time.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub maintenance_windows: Vec<MaintenanceWindow>,

    /// How pods are restarted for changes. Without it one by one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rolling: Option<Rolling>,

    /// What moves partitions from broker to broker, beside what has to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub balancing: Option<Balancing>,

    /// The operator looks, and changes nothing.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub paused: bool,

    /// While this is true the API server refuses to delete the Cluster (unless its whole namespace is deleted). The
    /// chart's policy sees to it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub deletion_protection: bool,

    /// What Prometheus shall be told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub monitoring: Option<Monitoring>,

    /// Whether a NetworkPolicy keeps everybody but the cluster's own pods and the operator from the
    /// ports of controllers.
    #[serde(default = "yes")]
    pub network_policy: bool,
}

fn yes() -> bool {
    true
}

/// A Secret of the same namespace.
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Eq, Hash)]
pub struct SecretName {
    /// Its name.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
}

/// Object storage.
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Tiering {
    /// Where: `s3://bucket/prefix`, `gs://…`, `az://…`.
    #[schemars(length(min = 6, max = 1_000))]
    #[schemars(regex(pattern = "^(s3|gs|az)://"))]
    pub url: String,
    /// A Secret whose entries say who asks, and of which server: `AWS_ACCESS_KEY_ID`,
    /// `AWS_SECRET_ACCESS_KEY`, `AWS_REGION`, `AWS_ENDPOINT_URL`, … It is mounted as files: keys for S3 that
    /// change there count within two minutes, without a restart. Without it the pods' own identity counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials: Option<SecretName>,
    /// Whether Topics use it that do not say (`remote.storage.enable`): the operator says it for each of
    /// them. `freshet.remote.storage.enable` in `config` is the brokers' own default, for all topics.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub default_for_topics: bool,
}

/// Which namespaces may have Topics.
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("(self.from == 'Selector') == has(self.selector)")
    .message("a selector belongs to from: Selector, and only to it"))]
pub struct AllowedTopics {
    /// Whose.
    pub from: From,
    /// Labels of those namespaces.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selector: Option<LabelSelector>,
}

/// Whose Topics.
#[derive(JsonSchema, Serialize, Deserialize, Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum From {
    /// Those of the cluster's own namespace.
    #[default]
    Same,
    /// Those of all namespaces.
    All,
    /// Those of namespaces with certain labels.
    Selector,
}

/// A time of the week, in UTC.
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct MaintenanceWindow {
    /// On which days it begins; without any: every day.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 7))]
    pub days: Vec<Weekday>,
    /// When it begins, `HH:MM` in UTC.
    #[schemars(regex(pattern = "^([01][0-9]|2[0-3]):[0-5][0-9]$"))]
    pub start: String,
    /// How long it lasts, in minutes; a day at most.
    #[schemars(range(min = 1, max = 1_440))]
    pub minutes: i32,
}

/// A day of the week.
#[expect(missing_docs, reason = "they are the days of the week")]
#[derive(JsonSchema, Serialize, Deserialize, Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weekday {
    Monday,
    Tuesday,
    Wednesday,
    Thursday,
    Friday,
    Saturday,
    Sunday,
}

/// What Prometheus shall be told.
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Eq, Default)]
#[serde(rename_all = "camelCase")]
pub struct Monitoring {
    /// Whether there is a PodMonitor, for the Prometheus operator.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub pod_monitor: bool,
    /// Labels that the PodMonitor has besides, by which a Prometheus picks it.
    #[serde(default, skip_serializing_if = "std::collections::BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 32))]
    pub labels: std::collections::BTreeMap<String, String>,
}
