//! The cluster as the clients of one listener see it: a broker that has no such listener is not there
//! for them.

use freshet_metadata::{Broker, BrokerListener, MetadataImage, Partition};
use freshet_types::NodeId;

/// An image, through one listener.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ClusterView<'a> {
    pub(crate) image: &'a MetadataImage,
    /// The listener's name.
    pub(crate) listener: &'a str,
}

/// Who leads a partition, for clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Leader {
    /// Can be reached.
    Here(NodeId),
    /// Nobody leads, or who does is gone.
    Nobody,
    /// Leads, and has no listener of this name.
    OutOfReach,
}

impl<'a> ClusterView<'a> {
    /// All registered brokers with their addresses.
    pub(crate) fn brokers(self) -> impl Iterator<Item = (&'a Broker, &'a BrokerListener)> {
        let address = move |broker: &'a Broker| Some((broker, broker.listener(self.listener)?));
        self.image.brokers().map(AsRef::as_ref).filter_map(address)
    }

    /// Those that are not fenced.
    pub(crate) fn live(self) -> impl Iterator<Item = (&'a Broker, &'a BrokerListener)> {
        self.brokers().filter(|(broker, _)| !broker.fenced)
    }

    /// Whether a broker is there, not fenced, and can be reached.
    pub(crate) fn is_live(self, node: NodeId) -> bool {
        let broker = self.image.broker(node);
        broker.is_some_and(|b| !b.fenced && b.listener(self.listener).is_some())
    }

    /// Where requests for the controller go. Every broker takes them, so the choice only saves a
    /// step: the active controller, if it is a broker as well, else `own`, else anybody alive. `None`
    /// when nobody is: clients look for the node among those that they are told.
    pub(crate) fn controller(self, active: Option<NodeId>, own: NodeId) -> Option<NodeId> {
        let first = active.into_iter().chain([own]);
        let mut first = first.filter(|node| self.is_live(*node));
        let anybody = || self.live().next().map(|(broker, _)| broker.node);
        first.next().or_else(anybody)
    }

    /// Who leads a partition.
    pub(crate) fn leader(self, partition: &Partition) -> Leader {
        let broker = partition.leader.and_then(|node| self.image.broker(node));
        match broker {
            None => Leader::Nobody,
            Some(broker) => match broker.listener(self.listener) {
                Some(_) => Leader::Here(broker.node),
                None => Leader::OutOfReach,
            },
        }
    }

    /// Replicas that are out of reach: on brokers that are fenced, gone or have no such listener, or
    /// in directories that failed.
    pub(crate) fn offline(self, partition: &Partition) -> Vec<i32> {
        let replicas = partition.replicas.iter().zip(&partition.directories);
        let offline = replicas.filter(|(node, directory)| {
            let broker = self.image.broker(**node);
            !(self.is_live(**node) && broker.is_some_and(|b| b.has_online(**directory)))
        });
        offline.map(|(node, _)| node.0).collect()
    }
}

#[cfg(test)]
mod tests;
