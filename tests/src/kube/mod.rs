//! A real Kubernetes, as `cargo xtask kube` raises it, and a cluster that the operator runs on it.

mod blows;
mod cluster;
mod ctl;
mod guest;
mod operator;
mod pid;
mod scale;
mod soak;
mod work;

pub use cluster::{KubeCluster, PodSeen};
pub use ctl::{Kubectl, image_tag, missing_for_kube};
pub use guest::{Guest, end_node, start_node};
pub use scale::kube_scale;
pub use soak::kube_soak;
pub use work::{PROGRESS, Work};
