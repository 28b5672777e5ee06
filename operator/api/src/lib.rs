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
mod definitions;
mod topic;

pub use cluster::{
    AllowedTopics, AtOnce, Balancing, BrokerStatus, Cluster, ClusterSpec, ClusterStatus,
    FillingStatus, From, Listener, ListenerStatus, ListenerType, LostNode, LostVolume,
    MaintenanceWindow, Monitoring, Pool, PoolStatus, PoolTemplate, Role, Rolling, RollingStatus,
    SecretName, Storage, Tiering, VolumeRetention, Weekday,
};
pub use condition::{ConditionType, READY};
pub use config::{ConfigMap, ConfigValue};
pub use definitions::{GROUP, definitions};
pub use topic::{
    ClusterRef, DeletionPolicy, External, ReplicasChange, Topic, TopicSpec, TopicStatus,
};
