//! Proposals and their answers as bytes. JSON: it is our own, both ends are of the same house, and
//! what is carried here is small and seldom beside the records themselves.

use bytes::Bytes;
use freshet_metadata::{Reply, Request};
use freshet_quorum::QuorumError;
use freshet_types::NodeId;
use serde::{Deserialize, Serialize};

/// What the controller says to a proposal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) enum Carried {
    /// Decided and committed.
    Done {
        /// An image of this version holds what was decided.
        version: u64,
        /// What the machine says.
        reply: Reply,
    },
    /// Too many wait. Nothing was changed.
    Busy,
    /// Nothing was changed: somebody else decides.
    NotLeader {
        /// Who, if it is known.
        leader: Option<NodeId>,
    },
    /// It does not fit. Nothing was changed.
    TooLarge {
        /// What it would have taken.
        bytes: u64,
    },
    /// Whether anything was changed is unknown.
    Unknown,
}

impl Carried {
    pub(super) fn of(error: &QuorumError) -> Self {
        match error {
            QuorumError::Busy => Self::Busy,
            QuorumError::NotLeader { leader } => Self::NotLeader { leader: *leader },
            QuorumError::TooLarge { bytes } => Self::TooLarge {
                bytes: *bytes as u64,
            },
            QuorumError::Deposed | QuorumError::Storage(_) | QuorumError::Stopped => Self::Unknown,
        }
    }

    pub(super) fn to_bytes(&self) -> Option<Bytes> {
        serde_json::to_vec(self).ok().map(Bytes::from)
    }

    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        serde_json::from_slice(bytes).ok()
    }
}

pub(super) fn request_bytes(request: &Request) -> Option<Bytes> {
    serde_json::to_vec(request).ok().map(Bytes::from)
}

pub(super) fn read_request(bytes: &[u8]) -> Option<Request> {
    serde_json::from_slice(bytes).ok()
}
