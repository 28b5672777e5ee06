//! A real Kubernetes, as `cargo xtask kube` raises it, and a cluster that the operator runs on it.

mod cluster;
mod ctl;

pub use cluster::{KubeCluster, PodSeen};
pub use ctl::{Kubectl, missing_for_kube};
