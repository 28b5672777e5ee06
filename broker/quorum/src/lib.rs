//! The replicated metadata log behind one narrow trait.
//!
//! Floor 3. [`Quorum`] is all that the broker knows of agreement: propose, read barrier, watch the
//! image. [`Solo`] keeps it with one voter on a local disk; a replicated one takes its place
//! behind the same trait. [`identity`] decides whether a directory belongs to this broker at all.
//! Decision 0005 has the reasons, `docs/formats/metadata-log.md` the bytes.

pub mod identity;
mod solo;
mod store;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use freshet_types::{ErrorKind, Machine, Offset};
use tokio::sync::watch;

pub use solo::{Solo, SoloOptions};
pub use store::StoreError;

/// A machine whose committed state readers see as an immutable image.
pub trait Published: Machine<Request: Send, Reply: Send, Record: Send, TimerKey: Send> {
    /// Cheap to share and to make.
    type Image: Send + Sync + 'static;

    /// The state after all records applied so far. `end` is the offset after the last of them.
    fn image(&self, end: Offset) -> Arc<Self::Image>;

    /// A record's bytes in the log.
    fn encode(record: &Self::Record) -> Bytes;

    /// Reads a record back; the text says what is wrong with it.
    fn decode(bytes: &Bytes) -> Result<Self::Record, String>;
}

/// Why the quorum did not answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum QuorumError {
    /// Too many proposals wait.
    #[error("too many metadata changes are waiting: try again")]
    Busy,
    /// A write failed; nothing is agreed any more until the process restarts. Whether the change
    /// happened is unknown.
    #[error("the metadata log failed: {0}")]
    Storage(Arc<str>),
    /// The broker is stopping.
    #[error("the broker is stopping")]
    Stopped,
}

impl QuorumError {
    /// What it means to the caller.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Busy => ErrorKind::Busy,
            Self::Storage(_) | Self::Stopped => ErrorKind::Unavailable,
        }
    }
}

/// An answer on its way.
pub type Agreed<'a, T> = Pin<Box<dyn Future<Output = Result<T, QuorumError>> + Send + 'a>>;

/// Agreement on one machine.
pub trait Quorum<M: Published>: Send + Sync {
    /// Has the machine decide a request. The reply comes when its records are committed and the
    /// image that holds them is published.
    fn propose(&self, request: M::Request) -> Agreed<'_, M::Reply>;

    /// Ends when the published image holds everything that was committed before the call.
    fn barrier(&self) -> Agreed<'_, ()>;

    /// The committed image, now and whenever it changes.
    fn watch(&self) -> watch::Receiver<Arc<M::Image>>;
}
