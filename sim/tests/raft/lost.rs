//! Disks that are gone while their votes still count.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use freshet_types::NodeId;
use parking_lot::Mutex;

use crate::net::Node;

/// The nodes that have lost a disk which may still be a voter. Clones are the same.
///
/// A quorum promises nothing once half of its voters have lost their disks, so whoever takes one more
/// away must ask here first.
#[derive(Debug, Clone, Default)]
pub(crate) struct Lost(Arc<Mutex<BTreeSet<NodeId>>>);

impl Lost {
    pub(crate) fn add(&self, node: NodeId) {
        self.0.lock().insert(node);
    }

    pub(crate) fn forget(&self, node: NodeId) {
        self.0.lock().remove(&node);
    }

    pub(crate) fn is_in(&self, node: NodeId) -> bool {
        self.0.lock().contains(&node)
    }

    /// Whether this node may lose its disk: no more than `most` are gone then.
    pub(crate) fn allows(&self, node: NodeId, most: usize) -> bool {
        let mut gone = self.0.lock().clone();
        gone.insert(node);
        gone.len() <= most
    }

    pub(crate) fn nodes(&self) -> Vec<NodeId> {
        self.0.lock().iter().copied().collect()
    }

    /// Ends when the leader has answered that this disk is taken in, and no earlier one of its node
    /// votes. What a node reads in its own log may not be agreed to.
    pub(crate) async fn confirm(&self, raft: &Node) {
        loop {
            for peer in raft.peers() {
                if raft.join(&peer, false).await.is_ok() {
                    return;
                }
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}
