//! The Kubernetes resources of Freshet: group `freshet.dev`, version `v1`.
//!
//! | Kind | What it asks for |
//! |---|---|
//! | [`Cluster`] | brokers and controllers, where they keep what, and how clients reach them |
//! | [`Topic`] | one topic of a cluster, here or elsewhere |
//!
//! Only types: what a schema can say is said here, as types, ranges and CEL rules, and ends up in
//! `crds/`. What needs to look at more than one object is the operator's to judge.

#![expect(
    unreachable_pub,
    reason = "the derive of a schema repeats each public type within a function"
)]

mod cluster;
mod condition;
mod config;
mod topic;

pub use cluster::{
    AllowedTopics, BrokerStatus, Cluster, ClusterSpec, ClusterStatus, From, Listener,
    ListenerStatus, ListenerType, MaintenanceWindow, Monitoring, Pool, PoolStatus, PoolTemplate,
    Role, RollingStatus, SecretName, Storage, Tiering, VolumeRetention, Weekday,
};
pub use condition::{ConditionType, READY};
pub use config::{ConfigMap, ConfigValue};
pub use topic::{
    ClusterRef, DeletionPolicy, External, ReplicasChange, Topic, TopicSpec, TopicStatus,
};

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt;

/// The API group of all kinds.
pub const GROUP: &str = "freshet.dev";

/// Every definition, in the order in which they are installed.
pub fn definitions() -> Vec<CustomResourceDefinition> {
    vec![Cluster::crd(), Topic::crd()]
}
