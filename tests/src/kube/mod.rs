//! A real Kubernetes, as `cargo xtask kube` raises it, and a cluster that the operator runs on it.

mod cluster;
mod ctl;
mod guest;

pub use cluster::{KubeCluster, PodSeen};
pub use ctl::{Kubectl, missing_for_kube};
pub use guest::{Guest, end_node, start_node};
