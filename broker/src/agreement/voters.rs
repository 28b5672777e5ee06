//! The voters for the faces: whoever is asked, the active controller answers.

use std::sync::Arc;

use freshet_peers::quorum::Relay;
use freshet_quorum::{Peer, PeerId, QuorumStatus};
use freshet_server::{QuorumFace, VotersAnswer};

/// See the module.
pub(super) struct Voters(pub(super) Arc<Relay>);

impl QuorumFace for Voters {
    fn status(&self) -> VotersAnswer<'_, QuorumStatus> {
        Box::pin(async { Ok(self.0.status().await) })
    }

    fn add(&self, peer: Peer, as_voter: bool) -> VotersAnswer<'_, ()> {
        Box::pin(self.0.add(peer, as_voter))
    }

    fn remove(&self, id: PeerId) -> VotersAnswer<'_, ()> {
        Box::pin(self.0.remove(id))
    }
}
