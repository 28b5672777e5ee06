//! A quorum of several: openraft keeps the log, the machine decides on the leader.
//!
//! ```text
//! propose ─► leader ─decide─► entry ─► openraft ─► log ─► keeper ─► files
//!                                         │  ▲
//!                          PeerLink ◄─────┘  └───── receive
//!                                         │ committed
//!                                         ▼
//!                           state ─► image ─► whoever watches
//! ```
//!
//! Nothing outside of this folder knows openraft. `docs/quorum.md` tells the whole story, decision
//! 0005 why it is openraft and which.

mod census;
mod doze;
mod footing;
mod leader;
mod node;
mod options;
mod peer;
mod post;
mod status;
mod storage;
mod voters;

pub use census::{Census, ForeignController, Greeting, Named};
#[cfg(feature = "simulation")]
pub use footing::gate::Gate;
pub use footing::runtime::load_dice;
pub use node::{Raft, RaftDoors, RaftError};
pub use options::RaftOptions;
pub use peer::{Endpoint, Peer, PeerId};
pub use post::link::{Asked, LinkError, PeerLink};
pub use post::message::MessageError;
pub use status::{QuorumStatus, ReplicaStatus};
pub use storage::keeper::Seat;
pub use voters::VotersError;

#[cfg(test)]
mod tests;
