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
mod inbox;
mod keeper;
mod leader;
mod link;
mod log;
mod message;
mod node;
mod options;
mod peer;
mod runtime;
mod state;
mod status;
mod types;
mod voters;
mod watch;

pub use census::{Census, ForeignController, Greeting};
pub use keeper::Seat;
pub use link::{Asked, LinkError, PeerLink};
pub use message::MessageError;
pub use node::{Raft, RaftDoors, RaftError};
pub use options::RaftOptions;
pub use peer::{Endpoint, Peer, PeerId};
pub use runtime::load_dice;
pub use status::{QuorumStatus, ReplicaStatus};
pub use voters::VotersError;

#[cfg(test)]
mod tests;
