//! Where the parts of a cluster are on disk, and its addresses.

use std::path::PathBuf;

use crate::place;

/// The network that nodes have their addresses in, and the bridge that bears them. The first node's address
/// is also the control plane's.
pub(crate) const NODES: &str = "10.200.0.0/24";
pub(crate) const NODE_BRIDGE: &str = "freshet-nodes";
/// The network of the pods, of all nodes alike: they share a machine, and so a bridge.
pub(crate) const PODS: &str = "10.244.0.0/16";
pub(crate) const POD_BRIDGE: &str = "freshet-pods";
pub(crate) const SERVICES: &str = "10.96.0.0/16";
/// The service that the API server gives itself: the first address of `SERVICES`.
pub(crate) const API_SERVICE: &str = "10.96.0.1";
pub(crate) const DNS: &str = "10.96.0.10";
/// The image of the process that holds a pod together.
pub(crate) const PAUSE: &str = "freshet.dev/pause:1";

/// The address that the control plane listens on.
pub(crate) fn control() -> String {
    Node(1).address()
}

/// How many nodes one machine may pretend to be; their numbers are one digit.
pub(crate) const MOST_NODES: u8 = 9;

/// A node, by its number from 1.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize,
)]
pub(crate) struct Node(pub(crate) u8);

impl Node {
    pub(crate) fn name(self) -> String {
        format!("node-{}", self.0)
    }

    pub(crate) fn zone(self) -> String {
        format!("zone-{}", self.0)
    }

    pub(crate) fn address(self) -> String {
        format!("10.200.0.{}", self.0)
    }

    /// Where its kubelet says that it is well.
    pub(crate) fn healthz(self) -> u16 {
        10300 + u16::from(self.0)
    }

    pub(crate) fn kubelet(self) -> String {
        format!("kubelet-{}", self.0)
    }

    pub(crate) fn containerd(self) -> String {
        format!("containerd-{}", self.0)
    }
}

/// The folders of `cargo xtask kube` in the cache.
#[derive(Debug, Clone)]
pub(crate) struct Layout {
    root: PathBuf,
}

impl Layout {
    /// The one that a user has.
    pub(crate) fn of_user() -> Self {
        Self {
            root: place::cache().join("kube"),
        }
    }

    #[cfg(test)]
    pub(crate) fn at(root: &str) -> Self {
        Self { root: root.into() }
    }

    pub(crate) fn root(&self) -> &PathBuf {
        &self.root
    }

    /// The programs; they outlive every cluster.
    pub(crate) fn bin(&self) -> PathBuf {
        self.root.join("bin")
    }

    /// Everything that a cluster writes; it goes with the cluster.
    pub(crate) fn state(&self) -> PathBuf {
        self.root.join("state")
    }

    pub(crate) fn kubeconfig(&self) -> PathBuf {
        self.kubeconfigs().join("admin.conf")
    }

    pub(crate) fn kubeconfigs(&self) -> PathBuf {
        self.state().join("kubeconfigs")
    }

    pub(crate) fn pki(&self) -> PathBuf {
        self.state().join("pki")
    }

    pub(crate) fn config(&self) -> PathBuf {
        self.state().join("config")
    }

    pub(crate) fn logs(&self) -> PathBuf {
        self.state().join("logs")
    }

    /// Sockets, and what else does not outlive the processes.
    pub(crate) fn run(&self) -> PathBuf {
        self.state().join("run")
    }

    /// Which pod has which address.
    pub(crate) fn ipam(&self) -> PathBuf {
        self.state().join("ipam")
    }

    pub(crate) fn volumes(&self) -> PathBuf {
        self.state().join("volumes")
    }

    /// The folder of one node.
    pub(crate) fn node(&self, node: Node) -> PathBuf {
        self.state().join(node.name())
    }

    /// Where a node's containerd listens.
    pub(crate) fn socket(&self, node: Node) -> PathBuf {
        self.run().join(format!("containerd-{}.sock", node.0))
    }
}
