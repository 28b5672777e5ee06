//! What moves partitions from broker to broker.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

/// What moves partitions from broker to broker.
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Eq, Default)]
#[serde(rename_all = "camelCase")]
pub struct Balancing {
    /// Whether brokers that are added get their share of the partitions that are there, replicas and
    /// preferred leaders. Without it they get new partitions only. Moves that have begun when it is unset go on,
    /// no others begin.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub fill_new_brokers: bool,
}
