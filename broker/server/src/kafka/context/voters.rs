//! The metadata quorum as administrators see it: who votes, how far everybody is.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use freshet_quorum::{Peer, PeerId, QuorumStatus, VotersError};
use freshet_types::NodeId;

/// An answer of the quorum on its way.
pub type VotersAnswer<'a, T> = Pin<Box<dyn Future<Output = Result<T, VotersError>> + Send + 'a>>;

/// Ways to other controllers and back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoundTrips {
    /// What controllers were told (`freshet.quorum.round.trip.ms`).
    pub limit: Duration,
    /// To whom it takes how long, but for outliers.
    pub usual: Vec<(NodeId, Duration)>,
}

/// Whoever can tell of the voters and change them. Only the active controller knows how far others
/// are, and only it changes anything: an implementation may ask it, or answer
/// [`VotersError::NotLeader`].
pub trait QuorumFace: Send + Sync {
    /// The quorum at this moment.
    fn status(&self) -> VotersAnswer<'_, QuorumStatus>;

    /// How far it is from here to the other voters; none where that is not measured, as on nodes that
    /// are no controllers.
    fn round_trips(&self) -> Option<RoundTrips> {
        None
    }

    /// Takes somebody in, as a voter or to listen.
    fn add(&self, peer: Peer, as_voter: bool) -> VotersAnswer<'_, ()>;

    /// Has somebody leave.
    fn remove(&self, id: PeerId) -> VotersAnswer<'_, ()>;
}
