//! Who takes part.

use std::fmt;

use freshet_types::{NodeId, TopicId};
use serde::{Deserialize, Serialize};

/// One disk of one node. A node whose disk was lost comes back as somebody else: it must not vote
/// for what the lost one had promised (KIP-853).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PeerId {
    /// The node.
    pub node: NodeId,
    /// The id of its metadata directory.
    pub directory: TopicId,
}

impl fmt::Display for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.node, self.directory)
    }
}

/// An address that a peer listens on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    /// The listener's name.
    pub name: String,
    /// Host name or address.
    pub host: String,
    /// Port.
    pub port: u16,
}

/// Somebody to talk to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Peer {
    /// Who.
    pub id: PeerId,
    /// Where, in the order of preference.
    pub endpoints: Vec<Endpoint>,
}
