//! The replicated metadata log behind one narrow trait.
//!
//! Floor 3. [`Quorum`] is all that the broker knows of agreement: propose, read barrier, watch the
//! image. [`Solo`] keeps it with one voter on a local disk, [`Raft`] with several; the same files serve
//! both, so that one can become the other. [`identity`] decides whether a directory belongs to this broker at all.
//! Decision 0003 has the reasons, `docs/formats/metadata-log.md` the bytes.

mod agreement;
mod guard;
pub mod identity;
mod raft;
mod solo;
mod store;

pub use agreement::{Agreeable, Agreed, Leadership, Moment, Quorum, QuorumError};
#[cfg(feature = "simulation")]
pub use guard::{Guard, without};
#[cfg(feature = "simulation")]
pub use raft::Gate;
pub use raft::{
    Asked, Census, Endpoint, ForeignController, Greeting, LinkError, MessageError, Named, Peer,
    PeerId, PeerLink, QuorumStatus, Raft, RaftDoors, RaftError, RaftOptions, ReplicaStatus, Seat,
    VotersError, load_dice,
};
pub use solo::{Solo, SoloOptions};
pub use store::StoreError;
