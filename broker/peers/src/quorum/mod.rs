//! The quorum between processes: letters of controllers, and proposals to whoever decides.
//!
//! ```text
//! Raft ─ letter ─► TcpLink ══ one API of ours ══► Door, or the brokers' own listener
//!                     ▲                                    │
//! everybody ─► Relay ─┘ proposal                           ▼
//!                │                                      PeerRoom ─► Raft
//!                └─► the local Raft, when it decides, and always for the image
//! ```
//!
//! | Part | What it does |
//! |---|---|
//! | [`TcpLink`] | brings one request to a node and its answer back |
//! | [`Door`] | a listener that only nodes of the cluster talk to |
//! | [`PeerRoom`] | answers what comes in, by whichever listener |
//! | [`FailureDetector`] | has the active controller fence a broker as soon as its process is gone |
//! | [`Relay`] | a quorum for those who do not care where it is decided |
//! | [`RoundTrips`] | measures how far it is to the other controllers |
//! | [`ManifestDesk`] | brings questions about manifests to whoever keeps them |

mod carried;
mod detector;
mod door;
mod frames;
mod link;
mod manifests;
mod pool;
mod relay;
mod room;
mod round_trips;
mod voters;

pub use detector::FailureDetector;
pub use door::{Door, Face};
pub use link::TcpLink;
pub use manifests::{ManifestDesk, ManifestDeskParts};
pub use pool::Caller;
pub use relay::Relay;
pub use room::PeerRoom;
pub use round_trips::RoundTrips;

/// What a [`freshet_wire::PeerRequest`] is about.
mod kind {
    /// A letter of the quorum, for [`freshet_quorum::Raft::receive`].
    pub(super) const LETTER: i8 = 1;
    /// A metadata request, for the active controller.
    pub(super) const PROPOSAL: i8 = 2;
    /// What an administrator asks of the quorum itself, for the active controller.
    pub(super) const VOTERS: i8 = 3;
    /// A question about a manifest, for the host of its shard.
    pub(super) const MANIFEST: i8 = 4;
}

#[cfg(test)]
mod tests;
