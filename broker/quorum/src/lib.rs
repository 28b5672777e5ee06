//! The replicated metadata log behind one narrow trait.
//!
//! Floor 3. [`Quorum`] is all that the broker knows of agreement: propose, read barrier, watch the
//! image. [`Solo`] keeps it with one voter on a local disk; a replicated one takes its place
//! behind the same trait. [`identity`] decides whether a directory belongs to this broker at all.
//! Decision 0003 has the reasons, `docs/formats/metadata-log.md` the bytes.

mod agreement;
pub mod identity;
mod solo;
mod store;

pub use agreement::{Agreeable, Agreed, Leadership, Quorum, QuorumError};
pub use solo::{Solo, SoloOptions};
pub use store::StoreError;
