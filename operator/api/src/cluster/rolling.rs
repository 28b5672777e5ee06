//! How pods are restarted for changes.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How pods are restarted for changes.
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Eq, Default)]
#[serde(rename_all = "camelCase")]
pub struct Rolling {
    /// Which pods restart at the same time.
    #[serde(default)]
    pub at_once: AtOnce,
}

/// Pods that restart at the same time.
#[derive(JsonSchema, Serialize, Deserialize, Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AtOnce {
    /// One.
    #[default]
    Pod,
    /// Those of one rack, which is the zone of their nodes, if the brokers say that all of them may; else
    /// one of them.
    Rack,
}
